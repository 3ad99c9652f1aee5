"""The front of Nova: tokens, microversions, routes; the parts behind it answer."""

from __future__ import annotations

from typing import Any

from ..keystone import Keystone
from ..lifecycle import Lifecycle
from ..service import Context, Route, Router, minor
from ..state import State
from ..wire import ApiError, Reply, Request, bad_request, no_such_path, unauthorized
from .attachments import VolumeAttachments
from .servers import Servers

MAXIMUM = 104


class Nova:
    """The compute service."""

    def __init__(self, state: State, lifecycle: Lifecycle, keystone: Keystone) -> None:
        self._state = state
        self._keystone = keystone
        routes = [
            Route("GET", "os-availability-zone", self._zones, "compute/os-availability-zone"),
            Route("GET", "limits", self._limits, "compute/limits"),
            *VolumeAttachments(state, lifecycle).routes(),
            *Servers(state, lifecycle).routes(),
        ]
        self._router = Router(routes)

    def kind(self, request: Request, rest: str) -> str:
        if rest in ("", "v2.1", "v2.1/"):
            return f"{request.method} compute"
        found = self._router.find(request.method, rest.removeprefix("v2.1/").split("/"))
        return found[1] if found else f"{request.method} compute/?"

    def serve(self, request: Request, rest: str, request_id: str) -> Reply:
        """The answer to a request; `rest` is the path below /compute/."""
        if not rest:
            return Reply(200, {"versions": [self._old(), self._document(short=True)]})
        if rest in ("v2.1", "v2.1/"):
            return _finish(Reply(200, {"version": self._document()}), "2.1", request_id)
        user = self._keystone.user(request.headers.get("x-auth-token"))
        if user is None:
            return _finish(unauthorized(self._keystone.auth_url), "", request_id)
        found = self._router.find(request.method, rest.removeprefix("v2.1/").split("/"))
        if found is None or not rest.startswith("v2.1/"):
            return _finish(no_such_path(), "", request_id)
        context = Context(request, self._keystone.base, request_id, user)
        version = ""
        try:
            version = _wanted(request)
            self._negotiate(context, version)
            context.params = request.params()
            route, _, ids = found
            return _finish(route.handler(context, *ids), version, request_id)
        except ApiError as error:
            reply = error.reply()
            reply.content_type = "application/json; charset=UTF-8"
            return _finish(reply, "" if "invalid format" in error.message else version, request_id)

    def _negotiate(self, context: Context, version: str) -> None:
        try:
            number = minor(version, 2)
        except ValueError as error:
            raise bad_request(str(error)) from None
        if number is None or not 1 <= number <= MAXIMUM:
            raise ApiError(
                406, f"Version {version} is not supported by the API. Minimum is 2.1 and maximum is 2.{MAXIMUM}."
            )
        context.version = number

    def _zones(self, _: Context) -> Reply:
        zones = [{"zoneName": z, "zoneState": {"available": True}, "hosts": None} for z in self._state.config.zones]
        return Reply(200, {"availabilityZoneInfo": zones})

    def _limits(self, context: Context) -> Reply:
        used = len([s for s in self._state.servers.values() if s.project is context.user.project])
        absolute = {
            "maxServerGroupMembers": 10,
            "maxServerGroups": 10,
            "maxServerMeta": 128,
            "maxTotalCores": 20,
            "maxTotalInstances": 10,
            "maxTotalKeypairs": 100,
            "maxTotalRAMSize": 51200,
            "totalCoresUsed": used,
            "totalInstancesUsed": used,
            "totalRAMUsed": used * 512,
            "totalServerGroupsUsed": 0,
        }
        return Reply(200, {"limits": {"rate": [], "absolute": absolute}})

    def _document(self, *, short: bool = False) -> dict[str, Any]:
        document: dict[str, Any] = {
            "id": "v2.1",
            "status": "CURRENT",
            "version": f"2.{MAXIMUM}",
            "min_version": "2.1",
            "updated": "2013-07-23T11:33:21Z",
            "links": [{"rel": "self", "href": f"{self._keystone.base}/compute/v2.1/"}],
        }
        if not short:
            document["links"].append(
                {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"},
            )
            document["media-types"] = [
                {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}
            ]
        return document

    def _old(self) -> dict[str, Any]:
        return {
            "id": "v2.0",
            "status": "DEPRECATED",
            "version": "",
            "min_version": "",
            "updated": "2025-07-04T12:00:00Z",
            "links": [{"rel": "self", "href": f"{self._keystone.base}/compute/v2/"}],
        }


def _wanted(request: Request) -> str:
    """The microversion that a request asks for, in the new header or in the old one."""
    header = request.headers.get("openstack-api-version", "")
    wanted = next((h.split()[-1] for h in header.split(",") if h.strip().startswith("compute")), "")
    wanted = wanted or request.headers.get("x-openstack-nova-api-version", "2.1")
    return f"2.{MAXIMUM}" if wanted == "latest" else wanted


def _finish(reply: Reply, version: str, request_id: str) -> Reply:
    headers = [*reply.headers, ("x-openstack-request-id", request_id), ("x-compute-request-id", request_id)]
    if version:
        headers += [
            ("OpenStack-API-Version", f"compute {version}"),
            ("X-OpenStack-Nova-API-Version", version),
            ("Vary", "OpenStack-API-Version"),
            ("Vary", "X-OpenStack-Nova-API-Version"),
        ]
    reply.headers = headers
    return reply
