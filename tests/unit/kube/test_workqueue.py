from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from openstack_csi import errors
from openstack_csi.kube.workqueue import WorkQueue, run_workers
from tests.unit.kube.helpers import FakeClock


@pytest.fixture
def queue(clock: FakeClock) -> WorkQueue:
    return WorkQueue("test", clock=clock, draw=lambda: 1.0)


def test_a_key_added_twice_is_given_once_in_the_order_of_first_adds(queue: WorkQueue) -> None:
    for key in ("a", "b", "a"):
        queue.add(key)
    assert [queue.get(0), queue.get(0), queue.get(0)] == ["a", "b", None]


def test_a_key_added_while_it_is_worked_on_comes_again_when_it_is_done(queue: WorkQueue) -> None:
    queue.add("a")
    assert queue.get(0) == "a"
    queue.add("a")
    queue.add("a")
    assert queue.get(0) is None
    queue.done("a")
    assert queue.get(0) == "a"
    queue.done("a")
    assert queue.get(0) is None


def test_a_delayed_key_comes_when_it_is_due_at_its_earliest_time(queue: WorkQueue, clock: FakeClock) -> None:
    queue.add_after("a", 10)
    queue.add_after("a", 5)
    queue.add_after("a", 20)
    clock.advance(4.9)
    assert queue.get(0) is None
    clock.advance(0.1)
    assert queue.get(0) == "a"
    queue.done("a")
    clock.advance(100)
    assert queue.get(0) is None


def test_retries_of_a_key_wait_longer_and_longer_until_it_is_forgotten(queue: WorkQueue) -> None:
    assert [queue.retry("a") for _ in range(10)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert queue.retry("b") == 1
    queue.forget("a")
    assert queue.retry("a") == 1


def test_a_retry_after_moves_the_keys_time_even_to_later(queue: WorkQueue, clock: FakeClock) -> None:
    queue.retry("a")
    assert queue.retry("a", after=30) == 31
    clock.advance(30)
    assert queue.get(0) is None
    clock.advance(1)
    assert queue.get(0) == "a"


def test_an_add_does_not_wait_for_a_retry(queue: WorkQueue) -> None:
    queue.retry("a", after=1000)
    queue.add("a")
    assert queue.get(0) == "a"


def test_depth_and_age_tell_of_keys_without_a_worker(queue: WorkQueue, clock: FakeClock) -> None:
    assert (queue.depth, queue.oldest_age) == (0, 0)
    queue.add("a")
    clock.advance(3)
    queue.add("b")
    assert (queue.depth, queue.oldest_age) == (2, 3)
    queue.get(0)
    assert (queue.depth, queue.oldest_age) == (1, 0)


def test_waits_work_and_retries_are_observed(clock: FakeClock) -> None:
    seen: list[tuple[str, float]] = []
    queue = WorkQueue(clock=clock, draw=lambda: 1.0, observer=lambda what, seconds: seen.append((what, seconds)))
    queue.add("a")
    clock.advance(2)
    queue.get(0)
    clock.advance(3)
    queue.retry("a")
    queue.done("a")
    assert seen == [("wait", 2), ("retry", 1), ("work", 3)]


def test_a_waiting_worker_gets_a_delayed_key_in_real_time() -> None:
    queue = WorkQueue()
    queue.add_after("late", 0.05)
    queue.add_after("early", 0.01)
    assert [queue.get(5), queue.get(5)] == ["early", "late"]
    queue.close(0)


def test_close_wakes_waiting_workers_drops_what_waits_and_drains_what_is_worked_on() -> None:
    queue = WorkQueue()
    queue.add("busy")
    queue.get()
    got: list[str | None] = []
    waiter = threading.Thread(target=lambda: got.append(queue.get()))
    waiter.start()
    queue.add_after("later", 1000)
    assert not queue.close(0.01)
    waiter.join(5)
    assert got == [None]
    queue.add("too late")
    queue.done("busy")
    assert queue.close(0)
    assert queue.get(0) is None


def test_workers_retry_what_fails_and_go_on() -> None:
    queue = WorkQueue(start=0.001, maximum=0.01)
    visits: Counter[str] = Counter()
    finished = threading.Semaphore(0)

    def reconcile(key: str) -> None:
        visits[key] += 1
        if visits[key] == 1:
            raise errors.Unavailable("not now", retry_after=0.01)
        if visits[key] == 2:
            raise ZeroDivisionError
        queue.forget(key)
        finished.release()

    workers = run_workers(queue, reconcile, 3, "test")
    for key in "abc":
        queue.add(key)
    assert all(finished.acquire(timeout=10) for _ in range(3))
    assert workers.stop(10)
    assert visits == {"a": 3, "b": 3, "c": 3}


def test_no_key_is_with_two_workers_and_no_add_is_lost_under_load() -> None:
    queue = WorkQueue(start=0.0005, maximum=0.001)
    keys = [f"k{i}" for i in range(20)]
    wanted = dict.fromkeys(keys, 0)  # written by the adder alone
    seen = dict.fromkeys(keys, 0)  # what a visit that began after the add has read
    busy: set[str] = set()
    overlaps: list[str] = []
    chance = random.Random(1)

    def reconcile(key: str) -> None:
        if key in busy:
            overlaps.append(key)
        busy.add(key)
        seen[key] = wanted[key]
        time.sleep(0)
        busy.discard(key)
        if chance.random() < 0.1:
            raise errors.Aborted("again")

    workers = run_workers(queue, reconcile, 8, "load")
    for _ in range(5000):
        key = chance.choice(keys)
        wanted[key] += 1
        if chance.random() < 0.5:
            queue.add(key)
        else:
            queue.add_after(key, chance.random() * 0.001)
    end = time.monotonic() + 10
    while seen != wanted and time.monotonic() < end:
        time.sleep(0.005)
    assert workers.stop(10)
    assert seen == wanted
    assert overlaps == []


class QueueMachine(RuleBasedStateMachine):
    """The queue against its meaning: who is wanted now, who is wanted when, who is with a worker."""

    keys = st.sampled_from("abcd")

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.queue = WorkQueue(clock=self.clock, draw=lambda: 1.0)
        self.wanted: set[str] = set()  # by an add, or a time that has come, since the last visit began
        self.due: dict[str, float] = {}
        self.working: set[str] = set()

    def teardown(self) -> None:
        self.queue.close(0)

    @rule(key=keys)
    def add(self, key: str) -> None:
        self._come_due()
        self.queue.add(key)
        self.wanted.add(key)

    @rule(key=keys, seconds=st.integers(0, 20))
    def add_after(self, key: str, seconds: int) -> None:
        self._come_due()
        self.queue.add_after(key, seconds)
        self.due[key] = min(self.due.get(key, float("inf")), self.clock() + seconds)

    @rule(key=keys, after=st.none() | st.integers(0, 20))
    def retry(self, key: str, after: int | None) -> None:
        self._come_due()
        self.due[key] = self.clock() + self.queue.retry(key, after)

    @rule(key=keys)
    def forget(self, key: str) -> None:
        self.queue.forget(key)
        assert self.queue.failures(key) == 0

    @rule(seconds=st.integers(0, 30))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def get(self) -> None:
        self._come_due()
        key = self.queue.get(0)
        if key is None:
            assert not self.wanted - self.working
            return
        assert key in self.wanted - self.working
        self.wanted.remove(key)
        self.working.add(key)

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        self._come_due()
        key = data.draw(st.sampled_from(sorted(self.working)))
        self.queue.done(key)
        self.working.remove(key)

    @invariant()
    def depth_counts_no_key_twice(self) -> None:
        assert self.queue.depth <= len(self.wanted - self.working) + len(self.due)

    def _come_due(self) -> None:
        for key, due in list(self.due.items()):
            if due <= self.clock():
                del self.due[key]
                self.wanted.add(key)


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestQueueMachine = QueueMachine.TestCase
