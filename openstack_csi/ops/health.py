"""Whether the process is well: a list of named checks that /readyz, /healthz and Identity.Probe all read.

A check is a function that answers at once, with the empty text or the reason why not, from what others last saw: it
never asks the cloud or the API server itself, so a probe costs nothing and cannot hang. Readiness is every check;
liveness only says that the process answers, for restarting it would not bring a cloud back.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from openstack_csi.config import HostPort

Check = Callable[[], str]
"""Empty when well, else why not and what to do. Returns at once."""

_REQUEST_SECONDS = 10


class Health:
    """The checks, by name. Thread-safe: roles add theirs as their parts come up."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Have readiness ask `check` too; one of the same name is replaced."""
        self._checks[name] = check

    def report(self) -> Mapping[str, str]:
        """Every check with its reason, empty where it is well."""
        return {name: check() for name, check in tuple(self._checks.items())}

    def reason(self) -> str:
        """Why the process is not ready, in one line; empty when it is."""
        return "; ".join(f"{name}: {why}" for name, why in self.report().items() if why)


class Progress:
    """A check for what must be reached first: it tells what is waited for, until `done`."""

    def __init__(self, waiting_for: str) -> None:
        self._why = waiting_for

    def wait_for(self, why: str) -> bool:
        """Remember what stands in the way; True when that is news, and worth a log line."""
        news, self._why = why != self._why, why
        return news

    def done(self) -> None:
        """It is reached."""
        self._why = ""

    def __call__(self) -> str:
        """See `Check`."""
        return self._why


class HttpServer:
    """/metrics, /healthz and /readyz on one address, each request in its own thread."""

    def __init__(self, address: HostPort, health: Health, metrics: Callable[[], tuple[str, bytes]]) -> None:
        """Bind the address.

        Args:
            address: an empty host is every address, IPv6 included where the machine has it; port 0 is any.
            health: read by /readyz.
            metrics: content type and body of /metrics.

        Raises:
            OSError: the address cannot be had.
        """
        self._server = ThreadingHTTPServer(("", 0), _handler(health, metrics), bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = _listen(address)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port in use."""
        port: int = self._server.socket.getsockname()[1]
        return port

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def _listen(address: HostPort) -> socket.socket:
    if not address.host and socket.has_dualstack_ipv6():
        return socket.create_server(("", address.port), family=socket.AF_INET6, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.create_server((address.host, address.port), family=family)


def _handler(health: Health, metrics: Callable[[], tuple[str, bytes]]) -> type[BaseHTTPRequestHandler]:
    def healthz() -> tuple[int, str, bytes]:
        return 200, "text/plain; charset=utf-8", b"ok\n"

    def readyz() -> tuple[int, str, bytes]:
        report = health.report()
        lines = [f"{'-' if why else '+'} {name}: {why or 'ok'}\n" for name, why in report.items()]
        return 503 if any(report.values()) else 200, "text/plain; charset=utf-8", "".join(lines).encode()

    def metricz() -> tuple[int, str, bytes]:
        content_type, body = metrics()
        return 200, content_type, body

    pages = {"/healthz": healthz, "/readyz": readyz, "/metrics": metricz}

    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_SECONDS

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            status, content_type, body = page() if page else (404, "text/plain", " ".join(pages).encode() + b"\n")
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Probes and scrapes are too many to be news."""

    return Handler
