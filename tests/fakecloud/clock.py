"""Time in the fake cloud: what will happen when, and what date it is then.

Nothing here waits and there is no timer thread. A change that takes time is put on the `Timeline` with its due moment;
`settle()`, called before each request and each look at the state, makes those happen that are due, in order, each at
its own due moment. So one thread is enough, an injected clock drives everything, and dates are exact however late one
looks.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]


class FakeClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, start: float = 1000.0) -> None:
        self._now = start

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


class Timeline:
    """The changes that are on their way, and the cloud's date.

    `whole_seconds` rounds dates as a MySQL DATETIME column does; without it they have microseconds, as in sqlite.
    """

    def __init__(self, clock: Clock, *, whole_seconds: bool = False) -> None:
        self._clock = clock
        self._whole_seconds = whole_seconds
        self._epoch = time.time() - clock()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._moment: float | None = None

    def now(self) -> float:
        """The clock's time in seconds; inside a change, the moment at which that was due."""
        return self._clock() if self._moment is None else self._moment

    def after(self, seconds: float, change: Callable[[], None]) -> None:
        """Let `change` happen that many seconds from now; with 0, at the next `settle()`."""
        self._count += 1
        heapq.heappush(self._due, (self.now() + seconds, self._count, change))

    def settle(self) -> None:
        """Let everything happen that is due."""
        limit = self._clock()
        while self._due and self._due[0][0] <= limit:
            self._moment, _, change = heapq.heappop(self._due)
            try:
                change()
            finally:
                self._moment = None

    def wall(self) -> float:
        """The date as the database would keep it, in seconds since 1970."""
        seconds = self._epoch + self.now()
        return float(round(seconds)) if self._whole_seconds else seconds


def stamp(wall: float) -> str:
    """A date as Cinder shows it: UTC, microseconds, no zone."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def stamp_seconds(wall: float) -> str:
    """A date as Nova shows it: UTC, whole seconds, Z."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
