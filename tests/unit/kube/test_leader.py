from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from openstack_csi.kube.leader import LeaderElection
from openstack_csi.kube.rest import Rest
from tests.fakekube import FakeKube
from tests.unit.kube.helpers import FakeClock

LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/csi"


class Candidate:
    def __init__(self, rest: Rest, identity: str, log: list[str], **settings: Any) -> None:
        self.identity = identity
        self.log = log
        self.started = threading.Event()
        self.stopped = threading.Event()
        self.election = LeaderElection(
            rest,
            "kube-system",
            "csi",
            identity,
            on_started=self._start,
            on_stopped=self._stop,
            **settings,
        )

    def _start(self) -> None:
        self.log.append(f"{self.identity} started")
        self.started.set()

    def _stop(self) -> None:
        self.log.append(f"{self.identity} stopped")
        self.stopped.set()

    @property
    def leads(self) -> bool:
        return self.election.is_leader


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def candidate(rest: Rest, clock: FakeClock, log: list[str]) -> Callable[[str], Candidate]:
    """Make candidates of one fake clock, to be stepped by the test."""
    return lambda identity: Candidate(rest, identity, log, clock=clock)


def test_the_first_candidate_leads_and_the_second_waits(
    kube: FakeKube, candidate: Callable[[str], Candidate], log: list[str]
) -> None:
    a, b = candidate("a"), candidate("b")
    a.election.step()
    b.election.step()
    assert (a.leads, b.leads, log) == (True, False, ["a started"])
    assert b.election.holder == "a"
    spec = kube.get(LEASE)["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("a", 15, 0)
    datetime.datetime.strptime(spec["renewTime"], "%Y-%m-%dT%H:%M:%S.%f%z")


def test_a_leader_that_renews_is_never_replaced(
    candidate: Callable[[str], Candidate], clock: FakeClock, log: list[str]
) -> None:
    a, b = candidate("a"), candidate("b")
    for _ in range(100):
        clock.advance(a.election.step())
        b.election.step()
    assert log == ["a started"]


def test_a_silent_leader_is_replaced_when_its_lease_was_seen_unchanged_for_its_length(
    kube: FakeKube, candidate: Callable[[str], Candidate], clock: FakeClock, log: list[str]
) -> None:
    a, b = candidate("a"), candidate("b")
    a.election.step()
    clock.advance(14)
    b.election.step()  # sees the lease for the first time, however old it is
    clock.advance(14.9)
    b.election.step()
    assert not b.leads
    clock.advance(0.1)
    b.election.step()
    assert b.leads
    assert not a.leads
    assert kube.get(LEASE)["spec"]["leaseTransitions"] == 1


def test_the_servers_timestamps_do_not_matter(
    kube: FakeKube, candidate: Callable[[str], Candidate], clock: FakeClock
) -> None:
    a, b = candidate("a"), candidate("b")
    a.election.step()
    kube.patch(LEASE, {"spec": {"renewTime": "1999-01-01T00:00:00.000000Z"}})
    b.election.step()
    assert not b.leads


def test_a_leader_that_cannot_renew_stops_before_another_can_start(
    kube: FakeKube, candidate: Callable[[str], Candidate], clock: FakeClock, log: list[str]
) -> None:
    a, b = candidate("a"), candidate("b")
    a.election.step()
    b.election.step()
    kube.fail(verb="update", status=500)
    while not a.stopped.is_set():
        clock.advance(0.1)
        a.election.step()
        b.election.step()
    kube.heal()
    stopped_at = clock()
    while not b.leads:
        clock.advance(0.1)
        b.election.step()
    assert log == ["a started", "a stopped", "b started"]
    assert clock() - stopped_at >= 4.9


def test_leading_ends_with_the_renew_deadline_even_while_a_call_hangs(
    candidate: Callable[[str], Candidate], clock: FakeClock
) -> None:
    a = candidate("a")
    a.election.step()
    clock.advance(9.9)
    assert a.leads
    clock.advance(0.1)
    assert not a.leads


def test_a_lost_answer_of_a_renewal_does_not_end_the_leadership(
    kube: FakeKube, candidate: Callable[[str], Candidate], clock: FakeClock, log: list[str]
) -> None:
    a = candidate("a")
    a.election.step()
    kube.fail(verb="update", drop="after", times=1)
    for _ in range(20):
        clock.advance(a.election.step())
    assert a.leads
    assert log == ["a started"]


@pytest.mark.parametrize("change", ["taken", "deleted"])
def test_a_lease_that_somebody_else_took_or_deleted_ends_the_leadership_at_once(
    change: str, kube: FakeKube, candidate: Callable[[str], Candidate], clock: FakeClock, log: list[str]
) -> None:
    a = candidate("a")
    a.election.step()
    if change == "taken":
        kube.patch(LEASE, {"spec": {"holderIdentity": "b"}})
    else:
        kube.delete(LEASE)
    clock.advance(1)
    a.election.step()
    assert log == ["a started", "a stopped"]


def test_a_released_lease_is_taken_at_the_next_poll_after_the_work_has_ended(
    kube: FakeKube, candidate: Callable[[str], Candidate], log: list[str]
) -> None:
    a, b = candidate("a"), candidate("b")
    a.election.step()
    b.election.step()
    a.election.release()
    assert not a.leads
    assert kube.get(LEASE)["spec"]["holderIdentity"] == ""
    assert b.election.step() <= 2
    assert log == ["a started", "a stopped", "b started"]


def test_polls_and_renewals_are_spread(candidate: Callable[[str], Candidate]) -> None:
    a = candidate("a")
    pauses = {a.election.step() for _ in range(20)}
    assert len(pauses) == 20
    assert all(1 <= pause <= 2 for pause in pauses)


def test_a_server_that_is_down_at_the_start_is_waited_for(
    kube: FakeKube, candidate: Callable[[str], Candidate], log: list[str]
) -> None:
    a = candidate("a")
    kube.fail(status=503, times=2)
    for _ in range(3):
        a.election.step()
    assert log == ["a started"]


def test_of_many_candidates_for_a_free_lease_one_wins(rest: Rest, clock: FakeClock, log: list[str]) -> None:
    candidates = [Candidate(rest, f"c{i}", log, clock=clock) for i in range(8)]
    threads = [threading.Thread(target=candidate.election.step) for candidate in candidates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sum(candidate.leads for candidate in candidates) == 1
    assert len(log) == 1


def test_in_real_time_a_stopped_leader_is_followed_within_two_seconds(rest: Rest, log: list[str]) -> None:
    a, b = Candidate(rest, "a", log), Candidate(rest, "b", log, retry=0.2)
    a.election.start()
    assert a.started.wait(10)
    b.election.start()
    begun = time.monotonic()
    a.election.stop()
    assert b.started.wait(2)
    assert time.monotonic() - begun < 2
    b.election.stop()
    assert log == ["a started", "a stopped", "b started", "b stopped"]


def test_in_real_time_a_leader_whose_calls_hang_stops_before_its_lease_is_over(kube: FakeKube, rest: Rest) -> None:
    a = Candidate(rest, "a", [], lease=3, renew=1, retry=0.1)
    a.election.start()
    assert a.started.wait(10)
    kube.fail(delay=10)
    begun = time.monotonic()
    assert a.stopped.wait(10)
    assert time.monotonic() - begun < 2
    kube.heal()
    a.election.stop()


def test_times_that_cannot_be_safe_are_refused(rest: Rest) -> None:
    with pytest.raises(ValueError, match="retry < renew < lease"):
        Candidate(rest, "a", [], lease=10, renew=10)
