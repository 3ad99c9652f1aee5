"""What every role's process has: a start that may have to wait, HTTP for probes and scrapes, and an orderly end.

The first SIGTERM or SIGINT asks: the role stops its parts in the reverse order of their start, and leaves with 0 within
`STOP_SECONDS`. The second does not ask. The handler only writes to a pipe that the others look at, for it interrupts
the main thread anywhere, with any lock held.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from openstack_csi.backoff import Backoff
from openstack_csi.config import HostPort
from openstack_csi.errors import DriverError
from openstack_csi.ops import logs, memory
from openstack_csi.ops.health import Health, HttpServer, Progress
from openstack_csi.ops.metrics import Metrics

log = logging.getLogger(__name__)

T = TypeVar("T")

STOP_SECONDS = 1.9
"""From the signal to the exit, whatever a part is doing; it is found again by the next process."""

DRAIN_SECONDS = 1.0
"""What running calls get of it."""

RETRY_SECONDS = (1.0, 15.0)
"""First and longest pause between two attempts of something that must succeed before the role can serve."""

_FAILED = 1


class Stopped(Exception):
    """The end was asked for while something was waited for."""


class Stop:
    """The wish that the process ends, and what is to be stopped then."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._asked = False
        self._steps: list[tuple[str, Callable[[], object]]] = []

    def listen(self) -> None:
        """Take SIGTERM and SIGINT from now on; for the main thread alone."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        # The interpreter itself writes to the pipe, at once: a signal that comes just before the main thread sleeps in
        # `asked` would else have its handler run only after that sleep, which has no other end.
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def ask(self) -> None:
        """Wish that the process ends."""
        self._asked = True
        os.write(self._write, b"s")

    def asked(self, within: float | None = None) -> bool:
        """Whether the end was wished, after waiting `within` seconds for it; None waits without end."""
        if not self._asked:
            select.select([self._read], [], [], within)
        return self._asked

    def then(self, name: str, step: Callable[[], object]) -> None:
        """Have `step` called at the end; the last one added is the first called."""
        self._steps.append((name, step))

    def run_steps(self) -> None:
        """Stop everything. A step that fails is told, and does not keep the others from being stopped."""
        began = time.monotonic()
        for name, step in reversed(self._steps):
            try:
                step()
            except Exception:
                log.exception("could not stop in order", extra={"part": name})
        log.info("stopped", extra={"seconds": round(time.monotonic() - began, 3)})

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            os._exit(128 + number)
        self.ask()


def run(log_format: str, log_level: str, start: Callable[[Stop], None]) -> int:
    """Run a role until it is asked to end: `start` starts its parts and returns. Does not return itself.

    Leaves with 0, or with 1 when the role could not start and waiting would not help.
    """
    logs.set_up(log_format, log_level)
    memory.be_frugal()
    stop = Stop()
    stop.listen()
    code = 0
    try:
        start(stop)
        stop.asked()
    except Stopped:
        log.info("stopped before it was ready")
    except (DriverError, OSError) as fault:
        log.error("cannot start: %s", fault)
        code = _FAILED
    except Exception:
        log.exception("cannot start")
        code = _FAILED
    impatient = threading.Timer(STOP_SECONDS, _leave, (code,))
    impatient.daemon = True
    impatient.start()
    stop.run_steps()
    return _leave(code)


def until(attempt: Callable[[], T], progress: Progress, stop: Stop) -> T:
    """What `attempt` returns, repeated while it raises DriverError; each new reason is logged once, and is what
    `progress` tells meanwhile.

    Raises:
        Stopped: the end was asked for.
    """
    backoff = Backoff(*RETRY_SECONDS)
    while True:
        try:
            result = attempt()
        except DriverError as fault:
            if progress.wait_for(str(fault)):
                log.error("not ready: %s", fault)
            if stop.asked(within=backoff.next(fault.retry_after)):
                raise Stopped from None
        else:
            progress.done()
            return result


def serve_http(address: HostPort | None, health: Health, metrics: Metrics) -> None:
    """Serve /metrics, /healthz and /readyz to the very end, when there is an address.

    Raises:
        OSError: the address cannot be had.
    """
    if address is None:
        return
    server = HttpServer(address, health, metrics.page)
    server.start()
    log.info("serving metrics and health", extra={"address": f"{address.host}:{server.port}"})


def _leave(code: int) -> int:
    """End the process now, with what was logged written out.

    Not by returning: the interpreter would wait for worker threads, and one that waits for the cloud may have minutes
    to go.
    """
    logging.shutdown()
    os._exit(code)
