"""The bed's own HTTP client: enough of the OpenStack APIs to set the cloud up and to try it, without an SDK."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .devcloud.plan import PASSWORD, REGIONS
from .errors import BedError

TIMEOUT = 60.0
"""Seconds that one call may take."""

MICROVERSIONS = {
    "block-storage": ("OpenStack-API-Version", "volume 3.70"),
    "compute": ("OpenStack-API-Version", "compute 2.96"),
    "shared-file-system": ("X-OpenStack-Manila-API-Version", "2.65"),
}

# what is on this machine is not reached through a proxy
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ApiError(BedError):
    """A call was answered with an error.

    Attributes:
        status: the HTTP status.
        text: the body of the answer.
    """

    def __init__(self, method: str, url: str, status: int, text: str) -> None:
        super().__init__(f"{method} {url}: {status} {text[:500]}")
        self.status = status
        self.text = text


class NoAnswer(BedError):
    """Nobody answered a call, or not in time."""


@dataclass(frozen=True)
class Reply:
    """An answer: its headers, and its body read as JSON."""

    headers: http.client.HTTPMessage
    body: dict[str, Any]


def call(method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
    """Make one call.

    Raises:
        ApiError: the answer is an error.
        NoAnswer: there is no answer.
    """
    data = None if body is None else json.dumps(body).encode()
    kinds = {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(url, method=method, data=data, headers=kinds | dict(headers or {}))
    try:
        with _opener.open(request, timeout=TIMEOUT) as answer:
            text = answer.read()
            return Reply(answer.headers, json.loads(text) if text else {})
    except urllib.error.HTTPError as error:
        with error:
            raise ApiError(method, url, error.code, error.read().decode(errors="replace")) from None
    except (OSError, http.client.HTTPException) as why:
        raise NoAnswer(f"{method} {url}: no answer: {why}") from why


def responds(url: str) -> bool:
    """Whether something sound answers at this address, be it only with a refusal."""
    try:
        call("GET", url)
    except ApiError as error:
        return error.status < 500
    except NoAnswer:
        return False
    except ValueError:  # an answer, though not JSON
        return True
    return True


@dataclass(frozen=True)
class Session:
    """Somebody who is logged in; calls go to the endpoints that the catalog names."""

    token: str
    project_id: str
    user_id: str
    endpoints: Mapping[str, str]

    def call(self, method: str, service: str, path: str, body: Any = None) -> dict[str, Any]:
        """Call a service by its type in the catalog; return the body.

        Raises:
            ApiError: the answer is an error.
        """
        headers = {"X-Auth-Token": self.token}
        if service in MICROVERSIONS:
            name, value = MICROVERSIONS[service]
            headers[name] = value
        return call(method, self.endpoints[service] + path, body, headers).body

    def get(self, service: str, path: str) -> dict[str, Any]:
        """Call with GET."""
        return self.call("GET", service, path)

    def post(self, service: str, path: str, body: Any) -> dict[str, Any]:
        """Call with POST."""
        return self.call("POST", service, path, body)


def log_in(auth_url: str, user: str, project: str) -> Session:
    """Log in with the password that all users of the bed have."""
    default = {"id": "default"}
    identity = {
        "methods": ["password"],
        "password": {"user": {"name": user, "domain": default, "password": PASSWORD}},
    }
    return _log_in(auth_url, {"identity": identity, "scope": {"project": {"name": project, "domain": default}}})


def log_in_by_credential(auth_url: str, credential_id: str, secret: str) -> Session:
    """Log in with an application credential."""
    credential = {"id": credential_id, "secret": secret}
    return _log_in(
        auth_url, {"identity": {"methods": ["application_credential"], "application_credential": credential}}
    )


def _log_in(auth_url: str, auth: dict[str, Any]) -> Session:
    reply = call("POST", f"{auth_url}/auth/tokens", {"auth": auth})
    token = reply.body["token"]
    endpoints = {
        service["type"]: endpoint["url"]
        for service in token["catalog"]
        for endpoint in service["endpoints"]
        if endpoint["interface"] == "public" and endpoint["region"] == REGIONS[0]
    }
    return Session(reply.headers["X-Subject-Token"], token["project"]["id"], token["user"]["id"], endpoints)
