"""Which keys are to be looked at, and when: the queue between informers, the board and the workers.

A key is in at most one of two hands: `ready` (wanted now, in order) or `working` (with a worker). An add of a ready
key is the same wish; an add of a working key is remembered (`again`) and makes it ready when the worker is done. So a
key is never with two workers, and no add is lost. Beside that stands a heap of times at which keys are to be added;
one thread, started with the first delay, wakes workers when they are due. Each call first adds what is due by then, so
that the outcome depends on the clock alone and not on when that thread ran.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, TypeAlias

from openstack_csi import backoff
from openstack_csi.errors import DriverError

log = logging.getLogger(__name__)

START_SECONDS = 1.0
MAXIMUM_SECONDS = 300.0
DRAIN_SECONDS = 30.0

Observer: TypeAlias = Callable[[Literal["wait", "work", "retry"], float], None]


class WorkQueue:
    """Keys for workers.

    Args:
        name: for logs and metrics.
        clock: monotonic seconds.
        start: seconds, the most that the first retry of a key waits; doubled with each further one.
        maximum: seconds, the most that any retry waits.
        draw: a number in [0, 1), the jitter.
        observer: told ("wait", seconds ready before a worker came), ("work", seconds with the worker) and
            ("retry", seconds of delay).
    """

    def __init__(
        self,
        name: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
        start: float = START_SECONDS,
        maximum: float = MAXIMUM_SECONDS,
        draw: Callable[[], float] = backoff.draw,
        observer: Observer | None = None,
    ) -> None:
        self.name = name
        self._clock = clock
        self._start = start
        self._maximum = maximum
        self._draw = draw
        self._observer = observer
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # for workers: a key is ready, or the queue is closed
        self._idle = threading.Condition(self._lock)  # for close(): no key is with a worker
        self._heap_changed = threading.Condition(self._lock)  # for the timekeeper
        self._ready: OrderedDict[str, float] = OrderedDict()  # key → since when; a dict's front is slow to take
        self._working: dict[str, float] = {}  # key → since when
        self._again: set[str] = set()
        self._failures: dict[str, int] = {}
        self._due: dict[str, float] = {}  # key → when it is to be added
        self._heap: list[tuple[float, int, str]] = []  # entries that differ from _due are void
        self._order = itertools.count()
        self._timekeeper: threading.Thread | None = None
        self._closed = False

    def add(self, key: str) -> None:
        """Want the key looked at now."""
        with self._lock:
            self._add_due()
            self._add(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Want the key looked at in so many seconds, or sooner if that was already wanted."""
        with self._lock:
            self._add_due()
            due = self._clock() + seconds
            if due < self._due.get(key, float("inf")):
                self._set_due(key, due)

    def retry(self, key: str, after: float | None = None) -> float:
        """Want the key looked at again after a failure, in place of any earlier delay of it.

        Args:
            key: the key.
            after: seconds that must pass (Retry-After); None for the key's own growing delay.

        Returns:
            The seconds that it will wait.
        """
        with self._lock:
            self._add_due()
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            seconds = backoff.delay(failures, after, start=self._start, maximum=self._maximum, draw=self._draw)
            self._set_due(key, self._clock() + seconds)
        self._observe("retry", seconds)
        return seconds

    def forget(self, key: str) -> None:
        """Start the key's retry delays anew; to be called when it reached its end state, or is gone."""
        with self._lock:
            self._failures.pop(key, None)

    def failures(self, key: str) -> int:
        """How often the key was retried since it was forgotten."""
        with self._lock:
            return self._failures.get(key, 0)

    def get(self, timeout: float | None = None) -> str | None:
        """Take the next key; it is the caller's alone until `done`.

        Args:
            timeout: seconds to wait for one; None waits until there is one.

        Returns:
            The key, or None when the time is up or the queue was closed.
        """
        with self._lock:
            self._add_due()
            if not self._changed.wait_for(lambda: self._ready or self._closed, timeout) or self._closed:
                return None
            key, since = self._ready.popitem(last=False)
            now = self._clock()
            self._working[key] = now
        self._observe("wait", now - since)
        return key

    def done(self, key: str) -> None:
        """Give the key back; if it was added meanwhile it is ready again."""
        with self._lock:
            self._add_due()
            worked = self._clock() - self._working.pop(key)
            if key in self._again:
                self._again.remove(key)
                self._add(key)
            if not self._working:
                self._idle.notify_all()
        self._observe("work", worked)

    def close(self, timeout: float = DRAIN_SECONDS) -> bool:
        """Give out no more keys, drop those that wait, and wait for the workers to give theirs back.

        Returns:
            Whether they all did within `timeout` seconds.
        """
        with self._lock:
            self._closed = True
            self._ready.clear()
            self._again.clear()
            self._due.clear()
            self._heap.clear()
            self._changed.notify_all()
            self._heap_changed.notify_all()
            return self._idle.wait_for(lambda: not self._working, timeout)

    @property
    def depth(self) -> int:
        """Keys that wait for a worker now."""
        with self._lock:
            return len(self._ready)

    @property
    def oldest_age(self) -> float:
        """Seconds that the first of them has waited, 0 when none waits."""
        with self._lock:
            return self._clock() - next(iter(self._ready.values())) if self._ready else 0.0

    def _add(self, key: str) -> None:
        if self._closed:
            return
        if key in self._working:
            self._again.add(key)
        elif key not in self._ready:
            self._ready[key] = self._clock()
            self._changed.notify()

    def _set_due(self, key: str, due: float) -> None:
        if self._closed:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, next(self._order), key))
        if self._timekeeper is None:
            self._timekeeper = threading.Thread(target=self._keep_time, name=f"timer-{self.name}", daemon=True)
            self._timekeeper.start()
        elif self._heap[0][0] == due:
            self._heap_changed.notify()

    def _add_due(self) -> float | None:
        """Add every key that is due; seconds until the next one is, None if there is none."""
        while self._heap:
            due, _, key = self._heap[0]
            current = self._due.get(key) == due
            if current and due > self._clock():
                return due - self._clock()
            heapq.heappop(self._heap)
            if current:
                del self._due[key]
                self._add(key)
        return None

    def _keep_time(self) -> None:
        with self._lock:
            while not self._closed:
                self._heap_changed.wait(self._add_due())

    def _observe(self, what: Literal["wait", "work", "retry"], seconds: float) -> None:
        if self._observer is not None:
            self._observer(what, seconds)


class Workers:
    """Threads that take keys from one queue."""

    def __init__(self, queue: WorkQueue, threads: list[threading.Thread]) -> None:
        self._queue = queue
        self._threads = threads

    def stop(self, timeout: float = DRAIN_SECONDS) -> bool:
        """Close the queue and wait for work under way; whether all ended within `timeout` seconds."""
        drained = self._queue.close(timeout)
        for thread in self._threads:
            if drained and thread is not threading.current_thread():
                thread.join()
        return drained


def run_workers(queue: WorkQueue, reconcile: Callable[[str], None], n: int, name: str) -> Workers:
    """Start n daemon threads that call `reconcile` with keys of the queue, until it is closed.

    An exception is logged and the key retried, a DriverError's Retry-After kept to. `reconcile` itself calls
    `queue.forget` where the key has reached its end state: only it knows that.
    """

    def work() -> None:
        while (key := queue.get()) is not None:
            try:
                reconcile(key)
            except DriverError as fault:
                seconds = queue.retry(key, fault.retry_after)
                log.warning(
                    "reconcile failed",
                    extra={"queue": name, "key": key, "error": str(fault), "next_try_in": round(seconds, 1)},
                )
            except Exception:
                queue.retry(key)
                log.exception("reconcile failed", extra={"queue": name, "key": key})
            finally:
                queue.done(key)

    threads = [threading.Thread(target=work, name=f"{name}-{i}", daemon=True) for i in range(n)]
    for thread in threads:
        thread.start()
    return Workers(queue, threads)
