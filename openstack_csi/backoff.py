"""How long to wait before the next attempt, and until when attempts make sense.

Every layer that repeats something asks here, so that all of them behave alike: delays grow exponentially under *full
jitter* (the whole delay is drawn at random, which spreads a crowd best), the other side's Retry-After is a floor that
no draw goes below, and a deadline is a point on the monotonic clock that can be handed down a call chain.
"""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

draw = random.Random().random  # noqa: S311 - spreads load, guards nothing; own state, so seeds of the global one stay good
"""A number in [0, 1)."""

_LARGEST_EXPONENT = 60  # 2.0**60 s is past any maximum; larger powers would overflow after a long outage


def full_jitter(failures: int, *, start: float, maximum: float, draw: Callable[[], float] = draw) -> float:
    """Seconds to wait after so many failures in a row (0 for the first): anything up to start · 2^failures, capped.

    Args:
        failures: failures before this one.
        start: seconds, the most that is waited after the first failure.
        maximum: seconds, the most that is ever waited.
        draw: a number in [0, 1).
    """
    return draw() * min(maximum, start * 2.0 ** min(failures, _LARGEST_EXPONENT))


def spread(least: float, most: float) -> float:
    """Seconds drawn between the two, so that what began together does not go on together."""
    return least + draw() * (most - least)


def delay(
    failures: int,
    retry_after: float | None,
    *,
    start: float,
    maximum: float,
    draw: Callable[[], float] = draw,
) -> float:
    """Seconds to wait after so many failures when the other side may have asked for a time of its own.

    A given Retry-After is kept to, and up to `start` seconds are added: all who were told the same time would come
    back in one wave otherwise.
    """
    if retry_after is not None:
        return retry_after + draw() * start
    return full_jitter(failures, start=start, maximum=maximum, draw=draw)


class Backoff:
    """The delays of one thing that is repeated: `next()` after each failure, `reset()` after a success."""

    def __init__(self, start: float, maximum: float, *, draw: Callable[[], float] = draw) -> None:
        self._start = start
        self._maximum = maximum
        self._draw = draw
        self.failures = 0

    def next(self, retry_after: float | None = None) -> float:
        """Count a failure; seconds to wait before the next attempt."""
        seconds = delay(self.failures, retry_after, start=self._start, maximum=self._maximum, draw=self._draw)
        self.failures += 1
        return seconds

    def reset(self) -> None:
        """Forget the failures."""
        self.failures = 0


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time: `at` is a reading of `clock`."""

    at: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """The deadline that many seconds from now."""
        return cls(clock() + seconds, clock)

    @property
    def left(self) -> float:
        """Seconds until the deadline, never below 0."""
        return max(0.0, self.at - self.clock())

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return self.clock() >= self.at


def parse_retry_after(header: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Seconds of a Retry-After header (RFC 9110 section 10.2.3: seconds, or a date), None if absent or unreadable.

    Args:
        header: the header's value.
        now: wall-clock seconds since the epoch, for the form that is a date.
    """
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now())
    except ValueError:
        return None
