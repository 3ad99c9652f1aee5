"""What a handler may know of the call that it serves: how long it has, and whether the caller still listens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

DEFAULT_TIMEOUT = 60.0  # seconds, when the caller named no deadline
MARGIN = 0.5  # seconds kept back, so that our own words about the timeout reach the caller before gRPC's
_NEVER = 1e9  # seconds; gRPC shows "no deadline" as a deadline in some billions of years


@dataclass(frozen=True)
class Call:
    """`deadline` is a time of the clock; `cancelled` is set once the caller is gone."""

    deadline: float
    cancelled: threading.Event


def call_of(context: grpc.ServicerContext, clock: Callable[[], float] = time.monotonic) -> Call:
    """The call behind a gRPC context."""
    cancelled = threading.Event()
    if not context.add_callback(cancelled.set):
        cancelled.set()
    return Call(clock() + patience(context.time_remaining()), cancelled)


def patience(remaining: float | None) -> float:
    """Seconds that a handler may wait when its caller waits `remaining` more (None: the caller named no deadline).

    A caller with less than twice the margin gets half of its time.
    """
    if remaining is None or remaining > _NEVER:
        remaining = DEFAULT_TIMEOUT
    return remaining - min(MARGIN, remaining / 2)
