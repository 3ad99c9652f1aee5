"""What every role's process has: a way to be told to stop, things to stop in order, and HTTP for probes and scrapes.

The first SIGTERM or SIGINT asks: the role drains and leaves with 0. The second does not ask. The handler only writes
to a pipe that the main thread reads, for it may interrupt that thread anywhere, with any lock held.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Callable
from types import FrameType

from openstack_csi.config import HostPort
from openstack_csi.ops.health import Health, HttpServer
from openstack_csi.ops.metrics import Metrics

log = logging.getLogger(__name__)

STOP_SECONDS = 2.0
"""How long an orderly end may take in all, from the signal to the exit."""


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


def serve_http(address: HostPort | None, health: Health, metrics: Metrics, stop: Stop) -> None:
    """Serve /metrics, /healthz and /readyz when there is an address.

    Raises:
        OSError: the address cannot be had.
    """
    if address is None:
        return
    server = HttpServer(address, health, metrics.page)
    server.start()
    stop.then("http", server.stop)
    log.info("serving metrics and health", extra={"address": f"{address.host}:{server.port}"})


def leave(code: int) -> int:
    """End the process now, with what is logged written out.

    Not by returning: the interpreter would wait for worker threads, and one that waits for the cloud may have minutes
    to go. Whatever it was doing is found again by the next process.
    """
    logging.shutdown()
    os._exit(code)
