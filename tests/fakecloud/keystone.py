"""Keystone: version discovery, tokens by password and application credential, the catalog."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .model import User
from .service import Route, Router
from .state import State, fixed_id
from .wire import Reply, Request, no_such_path, unauthorized

ENDPOINTS = (
    ("keystone", "identity", "/identity/v3"),
    ("cinder", "block-storage", "/volume/v3"),
    ("cinderv3", "volumev3", "/volume/v3/{project}"),
    ("nova", "compute", "/compute/v2.1"),
)
ROLES = {True: ("admin", "manager", "member", "reader"), False: ("member", "reader")}
APPLICATION_CREDENTIAL = fixed_id("application credential").replace("-", "")


@dataclass(slots=True)
class Token:
    """A login. `expires` is a time of the cloud's clock."""

    id: str
    user: User
    method: str
    expires: float
    body: dict[str, Any]


class Keystone:
    """The identity service, and the tokens that the other two look at."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.base = ""
        self._tokens: dict[str, Token] = {}
        self._router = Router(
            [
                Route("GET", "", self._versions, "identity"),
                Route("GET", "v3", self._version, "identity/v3"),
                Route("GET", "v3/", self._version, "identity/v3"),
                Route("POST", "v3/auth/tokens", self._login, "auth/tokens"),
                Route("GET", "v3/auth/tokens", self._show, "auth/tokens"),
                Route("DELETE", "v3/auth/tokens", self._revoke, "auth/tokens"),
                Route("GET", "v3/auth/catalog", self._catalog, "auth/catalog"),
            ]
        )

    @property
    def auth_url(self) -> str:
        return f"{self.base}/identity/v3"

    def user(self, token_id: str | None) -> User | None:
        """Whose valid token that is."""
        token = self._token(token_id)
        return token.user if token else None

    def revoke_all(self) -> None:
        """Make every token invalid, as a rotation of Keystone's keys does."""
        self._tokens.clear()

    def kind(self, request: Request, rest: str) -> str:
        found = self._router.find(request.method, rest.split("/"))
        return found[1] if found else f"{request.method} identity/?"

    def serve(self, request: Request, rest: str, request_id: str) -> Reply:
        """The answer to a request; `rest` is the path below /identity/."""
        found = self._router.find(request.method, rest.split("/"))
        reply = found[0].handler(request) if found else no_such_path()
        reply.headers = [*reply.headers, ("Vary", "X-Auth-Token"), ("x-openstack-request-id", request_id)]
        return reply

    def _versions(self, _: Request) -> Reply:
        return Reply(300, {"versions": {"values": [self._document()]}}, [("Location", f"{self.auth_url}/")])

    def _version(self, _: Request) -> Reply:
        return Reply(200, {"version": self._document()})

    def _document(self) -> dict[str, Any]:
        return {
            "id": "v3.14",
            "status": "stable",
            "updated": "2020-04-07T00:00:00Z",
            "links": [{"rel": "self", "href": f"{self.auth_url}/"}],
            "media-types": [
                {"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"},
            ],
        }

    def _login(self, request: Request) -> Reply:
        try:
            auth = json.loads(request.body)["auth"]
            identity = auth["identity"]
            methods = list(identity["methods"])
        except (ValueError, KeyError, TypeError):
            return _error(400, "Bad Request", "'identity' is a required property")
        if methods == ["application_credential"]:
            return self._login_by_credential(identity.get("application_credential", {}))
        if methods != ["password"]:
            return unauthorized(self.auth_url)
        return self._login_by_password(identity.get("password", {}).get("user", {}), auth.get("scope", {}))

    def _login_by_credential(self, credential: dict[str, Any]) -> Reply:
        given = credential.get("id")
        if given != APPLICATION_CREDENTIAL and credential.get("name") != "csi":
            return _error(404, "Not Found", f"Could not find Application Credential: {given}.")
        if credential.get("secret") != self._state.config.secret:
            return unauthorized(self.auth_url)
        extra = {"application_credential": {"id": APPLICATION_CREDENTIAL, "name": "csi", "restricted": True}}
        return self._issue(self._state.users["demo"], "application_credential", extra)

    def _login_by_password(self, who: dict[str, Any], scope: dict[str, Any]) -> Reply:
        users = self._state.users.values()
        user = next((u for u in users if who.get("id") == u.id or who.get("name") == u.name), None)
        if user is None or who.get("password") != self._state.config.password:
            return unauthorized(self.auth_url)
        project = scope.get("project", {}) if isinstance(scope, dict) else {}
        if project and project.get("id") != user.project.id and project.get("name") != user.project.name:
            return unauthorized(self.auth_url)
        return self._issue(user, "password", {})

    def _issue(self, user: User, method: str, extra: dict[str, Any]) -> Reply:
        seconds = self._state.config.token_seconds
        wall = self._state.timeline.wall()
        domain = {"id": "default", "name": "Default"}
        body = {
            "methods": [method],
            "user": {"id": user.id, "name": user.name, "domain": domain, "password_expires_at": None},
            "audit_ids": [self._state.new_id()[:22]],
            "expires_at": _date(wall + seconds),
            "issued_at": _date(wall),
            "project": {"id": user.project.id, "name": user.project.name, "domain": domain},
            "is_domain": False,
            "roles": [{"id": fixed_id("role " + r).replace("-", ""), "name": r} for r in ROLES[user.admin]],
            "catalog": self._catalog_of(user),
            **extra,
        }
        token = Token(
            "gAAAA" + self._state.new_id().replace("-", ""),
            user,
            method,
            self._state.timeline.now() + seconds,
            {"token": body},
        )
        self._tokens[token.id] = token
        return Reply(201, token.body, [("X-Subject-Token", token.id)])

    def _token(self, token_id: str | None) -> Token | None:
        token = self._tokens.get(token_id or "")
        return token if token is not None and token.expires > self._state.timeline.now() else None

    def _asking(self, request: Request) -> Token | None:
        return self._token(request.headers.get("x-auth-token"))

    def _show(self, request: Request) -> Reply:
        if self._asking(request) is None:
            return unauthorized(self.auth_url)
        subject = self._token(request.headers.get("x-subject-token"))
        if subject is None:
            return _error(404, "Not Found", "Could not recognize Fernet token")
        return Reply(200, subject.body, [("X-Subject-Token", subject.id)])

    def _revoke(self, request: Request) -> Reply:
        if self._asking(request) is None:
            return unauthorized(self.auth_url)
        if self._tokens.pop(request.headers.get("x-subject-token", ""), None) is None:
            return _error(404, "Not Found", "Could not recognize Fernet token")
        return Reply(204)

    def _catalog(self, request: Request) -> Reply:
        token = self._asking(request)
        if token is None:
            return unauthorized(self.auth_url)
        links = {"self": f"{self.auth_url}/auth/catalog"}
        return Reply(200, {"catalog": token.body["token"]["catalog"], "links": links})

    def _catalog_of(self, user: User) -> list[dict[str, Any]]:
        return [
            {
                "id": fixed_id("service " + name).replace("-", ""),
                "name": name,
                "type": type_,
                "endpoints": [
                    {
                        "id": fixed_id(f"endpoint {name} {region} {interface}").replace("-", ""),
                        "interface": interface,
                        "region": region,
                        "region_id": region,
                        "url": self.base + path.format(project=user.project.id),
                    }
                    for region in self._state.config.regions
                    for interface in (("public", "internal", "admin") if name == "keystone" else ("public", "internal"))
                ],
            }
            for name, type_, path in ENDPOINTS
        ]


def _error(status: int, title: str, message: str) -> Reply:
    return Reply(status, {"error": {"code": status, "message": message, "title": title}})


def _date(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
