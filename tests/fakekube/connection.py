"""HTTP/1.1 as far as API clients speak it: requests with a length, answers with a length or in chunks.

`http.server` spends more time on a request than all the rest of the fake does; a simulation of thousands of claims
would measure it instead of the driver.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes


class Connection:
    """One client's connection; requests come one after the other."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._file = sock.makefile("rb", 1 << 16)

    def read(self) -> Request | None:
        """The next request, None when the client has gone."""
        line = self._file.readline()
        if not line:
            return None
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = {}
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length") or 0)
        body = self._file.read(length) if length else b""
        parts = urlsplit(target)
        return Request(method, parts.path, dict(parse_qsl(parts.query)), headers, body)

    def answer(self, status: int, body: bytes, headers: str = "") -> None:
        self._sock.sendall(_head(status, f"Content-Length: {len(body)}\r\n{headers}") + body)

    def begin_stream(self) -> None:
        self._sock.sendall(_head(200, "Transfer-Encoding: chunked\r\n"))

    def stream(self, data: bytes) -> None:
        self._sock.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def end_stream(self) -> None:
        self._sock.sendall(b"0\r\n\r\n")

    def has_peer(self) -> bool:
        """Whether the client is still there, as far as can be seen without waiting."""
        try:
            return self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def close(self) -> None:
        """Close it, also under a thread that reads or writes."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _head(status: int, headers: str) -> bytes:
    line = f"HTTP/1.1 {status} {_PHRASES.get(status, 'Status')}\r\nContent-Type: application/json\r\n{headers}\r\n"
    return line.encode("latin-1")
