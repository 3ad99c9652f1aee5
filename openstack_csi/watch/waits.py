"""When to say what is being waited for: not at once, and then not with each wake."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from openstack_csi.kube.workqueue import WorkQueue
from openstack_csi.watch.config import WatchConfig


@dataclass
class _Wait:
    since: float
    told: float | None = None


class Waits:
    """The keys of a queue that wait for the cloud or for others."""

    def __init__(self, queue: WorkQueue, config: WatchConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._config = config
        self._clock = clock
        self._waits: dict[str, _Wait] = {}

    def is_time_to_tell(self, key: str) -> bool:
        """Whether the wait has lasted long enough to be told (again); also has the key looked at when it will have.

        That look is the safety net too: a wake that got lost costs a minute, not a volume.
        """
        now = self._clock()
        wait = self._waits.setdefault(key, _Wait(now))
        due = wait.since + self._config.tell_after if wait.told is None else wait.told + self._config.tell_again
        if now < due:
            self._queue.add_after(key, due - now)
            return False
        wait.told = now
        self._queue.add_after(key, self._config.tell_again)
        return True

    def began(self, key: str) -> float:
        """When the wait began, by the clock; now where nothing is waited for."""
        wait = self._waits.get(key)
        return wait.since if wait else self._clock()

    def begin(self, key: str) -> None:
        """Count the wait from now, unless it has begun."""
        self._waits.setdefault(key, _Wait(self._clock()))

    def forget(self, key: str) -> None:
        """It is over."""
        self._waits.pop(key, None)
