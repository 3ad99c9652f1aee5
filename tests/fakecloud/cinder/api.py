"""The front of Cinder: tokens, microversions, routes; the parts behind it answer."""

from __future__ import annotations

import re

from ..keystone import Keystone
from ..lifecycle import Lifecycle
from ..service import Context, Route, Router, minor
from ..state import State
from ..wire import ApiError, Reply, Request, bad_request, no_such_path, unauthorized
from .actions import Actions
from .attachments import Attachments
from .metadata import Metadata
from .project import ProjectApi
from .snapshots import Snapshots
from .volumes import Volumes

MAXIMUM = 71
_PROJECT = re.compile(r"[0-9a-f]{32}")


class Cinder:
    """The block storage service."""

    def __init__(self, state: State, lifecycle: Lifecycle, keystone: Keystone) -> None:
        self._keystone = keystone
        parts = (Volumes, Actions, Metadata, Snapshots, Attachments, ProjectApi)
        routes = [route for part in parts for route in part(state, lifecycle).routes()]
        self._router = Router([Route("GET", "", self._versions, "volume/v3"), *routes])

    def kind(self, request: Request, rest: str) -> str:
        if rest in ("", "v3"):
            return f"{request.method} volume"
        found = self._router.find(request.method, _segments(rest)[1])
        return found[1] if found else f"{request.method} volume/?"

    def serve(self, request: Request, rest: str, request_id: str) -> Reply:
        """The answer to a request; `rest` is the path below /volume/."""
        if not rest:
            reply = self._root(request)
            reply.headers = [*_version_headers("3.0"), ("x-openstack-request-id", request_id)]
            return reply
        user = self._keystone.user(request.headers.get("x-auth-token"))
        if user is None:
            return _with_id(unauthorized(self._keystone.auth_url), request_id)
        if rest == "v3":
            return _with_id(Reply(302, headers=[("Location", f"{self._keystone.base}/volume/v3/")]), request_id)
        project, segments = _segments(rest)
        found = self._router.find(request.method, segments)
        if found is None or not rest.startswith("v3/") or (project and segments in ([], [""])):
            return _with_id(no_such_path(), request_id)
        context = Context(request, self._keystone.base, request_id, user, project_in_path=bool(project))
        route, _, ids = found
        try:
            version = self._negotiate(request, context)
        except ApiError as error:
            return _with_id(error.reply(), request_id)
        try:
            if project and project != user.project.id:
                raise bad_request("Malformed request url")
            context.params = request.params()
            reply = route.handler(context, *ids)
        except ApiError as error:
            reply = error.reply()
        reply.headers = [*reply.headers, *_version_headers(version), ("x-openstack-request-id", request_id)]
        return reply

    def _negotiate(self, request: Request, context: Context) -> str:
        header = request.headers.get("openstack-api-version")
        if header is None:
            return "3.0"
        wanted = next((h.split() for h in header.split(",") if "volume" in h), [])
        if len(wanted) != 2:
            raise bad_request(
                "The server could not comply with the request since it is either malformed or otherwise incorrect."
            )
        text = f"3.{MAXIMUM}" if wanted[1] == "latest" else wanted[1]
        try:
            version = minor(text, 3)
        except ValueError as error:
            raise bad_request(str(error)) from None
        if version is None or version > MAXIMUM:
            message = f"Version {text} is not supported by the API. Minimum is 3.0 and maximum is 3.{MAXIMUM}."
            raise ApiError(406, message, _version_headers(text) if version is not None else ())
        context.version = version
        return text

    def _root(self, request: Request) -> Reply:
        reply = self._versions(None)
        return Reply(300, reply.body) if request.method == "GET" else no_such_path()

    def _versions(self, _: Context | None) -> Reply:
        document = {
            "id": "v3.0",
            "status": "CURRENT",
            "version": f"3.{MAXIMUM}",
            "min_version": "3.0",
            "updated": "2023-08-31T00:00:00Z",
            "links": [
                {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
                {"rel": "self", "href": f"{self._keystone.base}/volume/v3/"},
            ],
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
        }
        return Reply(200, {"versions": [document]})


def _segments(rest: str) -> tuple[str, list[str]]:
    """The project, where the path below v3/ names one, and what comes after it."""
    segments = rest.removeprefix("v3/").split("/")
    if _PROJECT.fullmatch(segments[0]):
        return segments[0], segments[1:]
    return "", segments


def _version_headers(version: str) -> list[tuple[str, str]]:
    return [("OpenStack-API-Version", f"volume {version}"), ("Vary", "OpenStack-API-Version")]


def _with_id(reply: Reply, request_id: str) -> Reply:
    reply.headers = [*reply.headers, ("x-openstack-request-id", request_id)]
    return reply
