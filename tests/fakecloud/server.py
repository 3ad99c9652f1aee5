"""A small HTTP/1.1 server: one thread, one event loop, keep-alive, no framework.

It exists for its price: a benchmark shares the machine's cores with it. A request is parsed by splitting bytes, handed
to the application, and answered in one write. What a fault does to the wire (wait, drop, lose the answer) is done here,
as the application's `Admission` says.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from .wire import Reply, Request

_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Admission:
    """What becomes of a request: it waits `wait` real seconds, then is dropped, or answered with `reply`, or has its
    effect and its own answer, which is lost on the way when `lose` is set."""

    kind: str
    wait: float = 0.0
    drop: bool = False
    lose: bool = False
    reply: Reply | None = None
    fault: str = ""
    arrived: float = 0.0


class Application(Protocol):
    """What the server asks; both are called in the server's thread."""

    def admit(self, request: Request) -> Admission: ...

    def answer(self, request: Request, admission: Admission) -> Reply | None: ...


class _Connection(asyncio.Protocol):
    """One client. A second request on the connection waits for the first one's answer."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._application = server.application
        self._buffer = bytearray()
        self._busy = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._server.connections.discard(self._transport)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._next()

    def _next(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        if len(self._buffer) < end + 4 + length:
            return
        method, target, _ = lines[0].split(" ", 2)
        path, _, query = target.partition("?")
        request = Request(method, path, query, headers, bytes(self._buffer[end + 4 : end + 4 + length]))
        del self._buffer[: end + 4 + length]
        self._busy = True
        admission = self._application.admit(request)
        if admission.wait > 0:
            self._server.loop.call_later(admission.wait, self._finish, request, admission)
        else:
            self._finish(request, admission)

    def _finish(self, request: Request, admission: Admission) -> None:
        reply = self._application.answer(request, admission)
        transport = self._transport
        if transport is None:
            return
        if reply is None:
            transport.abort()
            return
        transport.write(_encode(reply))
        self._busy = False
        if request.headers.get("connection", "").lower() == "close":
            transport.close()
        elif self._buffer:
            self._next()


def _encode(reply: Reply) -> bytes:
    payload = reply.payload()
    head = [
        f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Unknown')}",
        f"Content-Type: {reply.content_type}",
        f"Content-Length: {len(payload)}",
    ]
    head += [f"{name}: {value}" for name, value in reply.headers]
    return "\r\n".join([*head, "\r\n"]).encode("latin-1") + payload


class HttpServer:
    """The server in its thread. `start()` returns the port, which the kernel picks when it was 0."""

    def __init__(self, application: Application, host: str, port: int) -> None:
        self.application = application
        self.connections: set[asyncio.Transport] = set()
        self.loop = asyncio.new_event_loop()
        self._address = (host, port)
        self._thread = threading.Thread(target=self.loop.run_forever, name="fakecloud", daemon=True)
        self._listener: asyncio.Server | None = None

    def start(self) -> int:
        listening = socket.create_server(self._address, backlog=1024)
        port: int = listening.getsockname()[1]
        self._listener = self.loop.run_until_complete(
            self.loop.create_server(lambda: _Connection(self), sock=listening)
        )
        self._thread.start()
        return port

    def stop(self) -> None:
        """Close every connection and end the thread."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._close)
            self._thread.join()
        self.loop.close()

    def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for transport in list(self.connections):
            transport.abort()
        self.loop.call_soon(self.loop.stop)
