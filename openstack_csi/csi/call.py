"""What a handler may know of the call that it serves: until when it may work, and whether the caller still listens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc

from openstack_csi.errors import Aborted

T = TypeVar("T")

DEFAULT_TIMEOUT = 60.0  # seconds, when the caller named no deadline
MARGIN = 0.5  # seconds kept back, so that our own words about the timeout reach the caller before gRPC's
_NEVER = 1e9  # seconds; gRPC shows "no deadline" as a deadline in some billions of years


@dataclass(frozen=True)
class Call:
    """One call that is served. `deadline` is the time of the clock at which it should have its answer."""

    deadline: float
    context: grpc.ServicerContext

    def heard(self, step: Callable[[Callable[[], None]], T]) -> Callable[[Callable[[], None]], T]:
        """The step, for a caller that may hang up: that wakes who waits for the step, and it is not taken again.

        What it has begun goes on in the cloud, and the next call finds it.
        """

        def heard_step(wake: Callable[[], None]) -> T:
            if not self.context.add_callback(wake):
                raise Aborted("the caller has gone")
            return step(wake)

        return heard_step


def call_of(context: grpc.ServicerContext, clock: Callable[[], float] = time.monotonic) -> Call:
    """The call behind a gRPC context."""
    return Call(clock() + patience(context.time_remaining()), context)


def patience(remaining: float | None) -> float:
    """Seconds that a handler may take when its caller waits `remaining` more (None: the caller named no deadline).

    A caller with less than twice the margin gets half of its time.
    """
    if remaining is None or remaining > _NEVER:
        remaining = DEFAULT_TIMEOUT
    return remaining - min(MARGIN, remaining / 2)
