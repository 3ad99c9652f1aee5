"""What goes between the HTTP server and the services: a request, a reply, an error with its OpenStack body."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

JSON = "application/json"
HTML = "text/html; charset=UTF-8"

FAULT_KEYS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    409: "conflictingRequest",
    413: "overLimit",
    429: "overLimit",
    503: "serviceUnavailable",
}
"""The outer key of an error's body, by status, as Cinder and Nova name it; everything else is a computeFault."""


@dataclass(slots=True)
class Request:
    """A request as it came. `path` has no query; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True)) if self.query else {}


@dataclass(slots=True)
class Reply:
    """An answer. `body` is JSON text, something that becomes JSON, or None for no body."""

    status: int
    body: Any = None
    headers: Sequence[tuple[str, str]] = ()
    content_type: str = JSON

    def payload(self) -> bytes:
        if self.body is None:
            return b""
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass
class ApiError(Exception):
    """An error in the form that Cinder and Nova share."""

    status: int
    message: str
    headers: Sequence[tuple[str, str]] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def reply(self) -> Reply:
        key = FAULT_KEYS.get(self.status, "computeFault")
        body = {key: {"code": self.status, "message": self.message, **self.extra}}
        return Reply(self.status, body, self.headers)


def bad_request(message: str) -> ApiError:
    return ApiError(400, message)


def not_found(message: str) -> ApiError:
    return ApiError(404, message)


def forbidden(rule: str) -> ApiError:
    return ApiError(403, f"Policy doesn't allow {rule} to be performed.")


def unauthorized(auth_url: str) -> Reply:
    """Keystone's answer, and that of the middleware before Cinder and Nova."""
    body = {
        "error": {
            "code": 401,
            "message": "The request you have made requires authentication.",
            "title": "Unauthorized",
        }
    }
    return Reply(401, body, [("WWW-Authenticate", f'Keystone uri="{auth_url}"')])


def no_such_path() -> Reply:
    """The answer of the services' URL map where nothing is."""
    body = {
        "message": "The resource could not be found.<br /><br />\n\n\n",
        "code": "404 Not Found",
        "title": "Not Found",
    }
    return Reply(404, body)
