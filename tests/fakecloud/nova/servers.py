"""Servers: boot from a volume, look at, list, stop, start, delete."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

from ..lifecycle import Lifecycle
from ..model import Attachment, Server
from ..service import Context, Route
from ..state import State
from ..wire import ApiError, Reply, bad_request, forbidden
from . import views
from .attachments import check_fit, check_numbers, find

FILTERS = frozenset(
    [
        "name",
        "status",
        "flavor",
        "image",
        "ip",
        "ip6",
        "host",
        "project_id",
        "tenant_id",
        "user_id",
        "uuid",
        "all_tenants",
        "changes-since",
        "changes-before",
        "tags",
        "tags-any",
        "not-tags",
        "not-tags-any",
        "locked",
        "limit",
        "marker",
        "sort_key",
        "sort_dir",
        "availability_zone",
        "reservation_id",
        "deleted",
    ]
)


class Servers:
    """The /servers paths, without their volumes."""

    def __init__(self, state: State, lifecycle: Lifecycle) -> None:
        self._state = state
        self._lifecycle = lifecycle

    def routes(self) -> list[Route]:
        return [
            Route("GET", "servers", self._list),
            Route("GET", "servers/detail", self._detail),
            Route("POST", "servers", self._boot),
            Route("GET", "servers/{id}", self._show),
            Route("DELETE", "servers/{id}", self._delete),
            Route("POST", "servers/{id}/action", self._act),
        ]

    def _show(self, context: Context, server_id: str) -> Reply:
        return Reply(200, {"server": views.server_detail(context, find(self._state, context, server_id))})

    def _list(self, context: Context) -> Reply:
        shown, rest = self._select(context, "servers")
        return Reply(200, {"servers": [views.server_summary(context, s) for s in shown], **rest})

    def _detail(self, context: Context) -> Reply:
        shown, rest = self._select(context, "servers/detail")
        return Reply(200, {"servers": [views.server_detail(context, s, listed=True) for s in shown], **rest})

    def _select(self, context: Context, path: str) -> tuple[list[Server], dict[str, Any]]:
        """One page of the servers that the query asks for, newest first, and the link to the next one."""
        params = context.params
        _check_query(context)
        maximum = self._state.config.max_limit
        limit = min(int(params.get("limit") or maximum), maximum)
        everywhere = "all_tenants" in params
        project = None if everywhere else context.user.project
        found = [s for s in self._state.servers.values() if project in (None, s.project)][::-1]
        if "marker" in params:
            place = next((i for i, s in enumerate(found) if s.id == params["marker"]), None)
            if place is None:
                raise bad_request(f"marker [{params['marker']}] not found")
            found = found[place + 1 :]
        shown = [s for s in found if _fits(s, context)][:limit]
        rest: dict[str, Any] = {}
        if shown and len(shown) == limit:
            query = urlencode({**{k: v for k, v in params.items() if k != "marker"}, "marker": shown[-1].id})
            rest["servers_links"] = [{"rel": "next", "href": f"{context.base}/compute/v2.1/{path}?{query}"}]
        return shown, rest

    def _boot(self, context: Context) -> Reply:
        """A server with at most one volume, its root disk."""
        try:
            given = json.loads(context.request.body)["server"]
            name, zone = given["name"], given.get("availability_zone", self._state.config.default_zone)
        except (ValueError, KeyError, TypeError):
            raise bad_request("'server' is a required property") from None
        if zone not in self._state.config.zones:
            raise bad_request("The requested availability zone is not available")
        now = self._state.timeline.wall()
        server = Server(
            id=self._state.new_id(),
            number=self._state.new_number(),
            project=context.user.project,
            user=context.user,
            name=name,
            zone=zone,
            created_at=now,
            updated_at=now,
            status="BUILD",
        )
        self._lifecycle.boot(server, self._root_disk(context, server, given.get("block_device_mapping_v2") or []))
        href = views.links(context, server)
        body = {
            "id": server.id,
            "links": href,
            "OS-DCF:diskConfig": "MANUAL",
            "security_groups": [{"name": "default"}],
            "adminPass": server.id[:12],
        }
        return Reply(202, {"server": body}, [("Location", href[0]["href"])])

    def _root_disk(self, context: Context, server: Server, mappings: list[dict[str, Any]]) -> Attachment | None:
        if not mappings:
            return None
        volume = self._state.volume(str(mappings[0].get("uuid")), context.user)
        if volume is None:
            raise bad_request(f"Block Device Mapping is Invalid: failed to get volume {mappings[0].get('uuid')}.")
        return Attachment(
            id=self._state.new_id(),
            mapping_id=self._state.new_id(),
            volume=volume,
            server=server,
            device=f"{self._state.config.device_prefix}a",
            delete_on_termination=bool(mappings[0].get("delete_on_termination")),
            root=True,
        )

    def _delete(self, context: Context, server_id: str) -> Reply:
        server = find(self._state, context, server_id)
        if server.task_state != "deleting":
            self._lifecycle.delete_server(server)
        return Reply(204)

    def _act(self, context: Context, server_id: str) -> Reply:
        try:
            body = json.loads(context.request.body)
            name = next(iter(body))
        except (ValueError, TypeError, StopIteration):
            raise bad_request("Malformed request body") from None
        server = find(self._state, context, server_id)
        if name == "os-resetState":
            return self._reset(context, server, str((body[name] or {}).get("state")))
        status = {"os-stop": "SHUTOFF", "os-start": "ACTIVE"}.get(name)
        if status is None:
            raise bad_request(f"There is no such action: {name}")
        check_fit(server, name.removeprefix("os-"))
        if server.status == status:
            state = views.VM_STATES[server.status][0]
            action = name.removeprefix("os-")
            raise ApiError(409, f"Cannot '{action}' instance {server.id} while it is in vm_state {state}")
        self._lifecycle.set_server(server, status)
        return Reply(202)

    def _reset(self, context: Context, server: Server, state: str) -> Reply:
        if not context.admin:
            raise forbidden("os_compute_api:os-admin-actions:reset_state")
        if state not in ("active", "error"):
            raise bad_request(
                f"Invalid input for field/attribute state. Value: {state}. {state!r} is not one of ['active', 'error']"
            )
        self._lifecycle.set_server(server, state.upper())
        return Reply(202)


def _check_query(context: Context) -> None:
    for key in context.params:
        if context.version >= 75 and key not in FILTERS and not key.startswith("_"):
            raise bad_request(f"{key!r} does not match any of the regexes: '^_'")
    check_numbers(context)
    if "all_tenants" in context.params and not context.admin:
        raise forbidden("os_compute_api:servers:index:get_all_tenants")


def _fits(server: Server, context: Context) -> bool:
    params = context.params
    if "name" in params and not re.search(params["name"], server.name):
        return False
    if "status" in params and params["status"].upper() != server.status:
        return False
    return not (context.admin and "uuid" in params and params["uuid"] != server.id)
