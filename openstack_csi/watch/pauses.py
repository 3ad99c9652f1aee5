"""How long a key rests after a failure, and what ends the rest early.

A key that failed comes back often before its time: with each change of its claim, each touch by another controller.
Until the time is up it is left alone, unless what failed has changed: another request is a new try.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from openstack_csi.errors import DriverError, Retry
from openstack_csi.kube.workqueue import WorkQueue
from openstack_csi.watch.config import WatchConfig


def pause_after(error: DriverError, failures: int, config: WatchConfig) -> float | None:
    """Seconds to rest after an error, as it advises; None leaves it to the queue's growing delay.

    Args:
        error: what was raised.
        failures: failures in a row before this one.
        config: the bounds.
    """
    if error.retry is Retry.NEVER:
        return config.retry_maximum
    if error.retry is Retry.SLOWLY:
        slow = min(config.retry_maximum, config.retry_slowly * 2.0 ** min(failures, 60))
        return max(slow, error.retry_after or 0.0)
    return error.retry_after


@dataclass(frozen=True)
class _Rest:
    until: float
    over: object


class Pauses:
    """The rests of a queue's keys."""

    def __init__(self, queue: WorkQueue, config: WatchConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._config = config
        self._clock = clock
        self._rests: dict[str, _Rest] = {}

    def rest(self, key: str, over: object, error: DriverError) -> float:
        """Let the key rest, and have it looked at again afterwards; the seconds that it rests.

        Args:
            key: the key.
            over: what failed; a rest ends early when it is another.
            error: how it failed.
        """
        after = pause_after(error, self._queue.failures(key), self._config)
        seconds = self._queue.retry(key, after)
        self._rests[key] = _Rest(self._clock() + seconds, over)
        return seconds

    def resting(self, key: str, over: object) -> bool:
        """Whether the key still rests over just that; if so it comes back in time."""
        rest = self._rests.get(key)
        if rest is None or rest.over != over:
            return False
        left = rest.until - self._clock()
        if left <= 0:
            return False
        self._queue.add_after(key, left)
        return True

    def forget(self, key: str) -> None:
        """The key reached its end, or is gone."""
        self._rests.pop(key, None)
        self._queue.forget(key)
