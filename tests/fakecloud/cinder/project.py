"""What a project finds in Cinder: types, zones, limits and quotas, messages; and an administrator, pools."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..clock import stamp
from ..config import Quota
from ..lifecycle import MESSAGE_SECONDS, Lifecycle
from ..model import Message, VolumeType
from ..service import Context, Route
from ..state import State
from ..wire import ApiError, Reply, forbidden, not_found
from . import checks, views
from .queries import Page, check_filters, dictionary, next_links

MESSAGE_FILTERS = ("resource_uuid", "resource_type", "event_id", "request_id", "message_level")


class ProjectApi:
    """The small read paths."""

    def __init__(self, state: State, _: Lifecycle) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        return [
            Route("GET", "types", self._types),
            Route("GET", "types/{id}", self._type),
            Route("GET", "types/{id}/extra_specs", self._extra_specs),
            Route("GET", "os-availability-zone", self._zones),
            Route("GET", "limits", self._limits),
            Route("GET", "os-quota-sets/{id}", self._quota),
            Route("PUT", "os-quota-sets/{id}", self._set_quota),
            Route("GET", "scheduler-stats/get_pools", self._pools),
            Route("GET", "os-services", self._services),
            Route("GET", "messages", self._messages),
            Route("GET", "messages/{id}", self._message),
        ]

    def _types(self, context: Context) -> Reply:
        wanted = dictionary(context.params.get("extra_specs", "{}")) or {}
        types = [t for t in self._state.types.values() if wanted.items() <= t.config.extra_specs.items()]
        return Reply(200, {"volume_types": [views.type_view(context, t) for t in types[::-1]]})

    def _type(self, context: Context, type_id: str) -> Reply:
        if type_id == "default":
            type_ = self._state.types[self._state.config.default_type]
            return Reply(200, {"volume_type": views.type_view(context, type_, extension=False)})
        return Reply(200, {"volume_type": views.type_view(context, self._find_type(type_id))})

    def _extra_specs(self, context: Context, type_id: str) -> Reply:
        specs = views.visible_specs(context, self._find_type(type_id).config.extra_specs)
        return Reply(200, {"extra_specs": specs})

    def _find_type(self, type_id: str) -> VolumeType:
        for type_ in self._state.types.values():
            if type_.id == type_id:
                return type_
        raise not_found(f"Volume type {type_id} could not be found.")

    def _zones(self, _: Context) -> Reply:
        zones = [{"zoneName": z, "zoneState": {"available": True}} for z in self._state.config.zones]
        return Reply(200, {"availabilityZoneInfo": zones})

    def _limits(self, context: Context) -> Reply:
        volumes, gigabytes, snapshots = self._state.used(context.user.project)
        quota = self._state.quotas[context.user.project.id]
        absolute = {
            "maxTotalVolumes": quota.volumes,
            "maxTotalSnapshots": quota.snapshots,
            "maxTotalVolumeGigabytes": quota.gigabytes,
            "maxTotalBackups": 10,
            "maxTotalBackupGigabytes": 1000,
            "totalVolumesUsed": volumes,
            "totalGigabytesUsed": gigabytes,
            "totalSnapshotsUsed": snapshots,
            "totalBackupsUsed": 0,
            "totalBackupGigabytesUsed": 0,
        }
        return Reply(200, {"limits": {"rate": [], "absolute": absolute}})

    def _quota(self, context: Context, project_id: str) -> Reply:
        if not context.admin and project_id != context.user.project.id:
            raise forbidden("volume_extension:quotas:show")
        usage = context.params.get("usage", "").lower() in ("1", "true")
        used = self._used(project_id) if usage else {}
        body: dict[str, Any] = {"id": project_id}
        for key, limit in self._quota_of(project_id).items():
            body[key] = {"limit": limit, "in_use": used.get(key, 0), "reserved": 0} if usage else limit
        return Reply(200, {"quota_set": body})

    def _set_quota(self, context: Context, project_id: str) -> Reply:
        if not context.admin:
            raise forbidden("volume_extension:quotas:update")
        given = checks.body(context, "quota_set")
        known = {field.name for field in dataclasses.fields(Quota)}
        changes = {key: int(value) for key, value in given.items() if key in known}
        before = self._state.quotas.get(project_id, self._state.config.quota)
        self._state.quotas[project_id] = dataclasses.replace(before, **changes)
        return Reply(200, {"quota_set": self._quota_of(project_id)})

    def _quota_of(self, project_id: str) -> dict[str, int]:
        quota = dataclasses.asdict(self._state.quotas.get(project_id, self._state.config.quota))
        by_type = {f"{k}_{t}": -1 for t in self._state.types for k in ("volumes", "gigabytes", "snapshots")}
        return {**quota, "backups": 10, "backup_gigabytes": 1000, "groups": 10, **by_type}

    def _used(self, project_id: str) -> dict[str, int]:
        project = next((p for p in self._state.projects.values() if p.id == project_id), None)
        if project is None:
            return {}
        used: dict[str, int] = {}
        for name in ("", *self._state.types):
            volumes, gigabytes, snapshots = self._state.used(project, name)
            tail = f"_{name}" if name else ""
            used |= {f"volumes{tail}": volumes, f"gigabytes{tail}": gigabytes, f"snapshots{tail}": snapshots}
        return used

    def _pools(self, context: Context) -> Reply:
        if not context.admin:
            raise forbidden("scheduler_extension:scheduler_stats:get_pools")
        hosts = {
            host: zone
            for zone in self._state.config.zones
            for type_ in self._state.types.values()
            if (host := self._state.host_of(type_, zone))
        }
        detail = context.params.get("detail", "").lower() in ("1", "true")
        pools: list[dict[str, Any]] = []
        for host, zone in sorted(hosts.items()):
            backend = host.partition("#")[2]
            used = sum(v.size for v in self._state.volumes.values() if v.host == host)
            facts = {
                "volume_backend_name": backend,
                "total_capacity_gb": 1_000_000.0,
                "free_capacity_gb": 1_000_000.0 - used,
                "allocated_capacity_gb": used,
                "availability_zone": zone,
            }
            pools.append({"name": host, "capabilities": facts} if detail else {"name": host})
        return Reply(200, {"pools": pools})

    def _services(self, context: Context) -> Reply:
        if not context.admin:
            raise forbidden("volume_extension:services:index")
        facts = {"status": "enabled", "state": "up", "updated_at": stamp(self._state.timeline.wall())}
        hosts = [("cinder-scheduler", "fakecloud", self._state.config.default_zone)]
        hosts += [("cinder-volume", f"fakecloud@{z}", z) for z in self._state.config.zones]
        return Reply(200, {"services": [{"binary": b, "host": h, "zone": z, **facts} for b, h, z in hosts]})

    def _messages(self, context: Context) -> Reply:
        checks.since(context, 3)
        maximum = self._state.config.max_limit
        page = Page.of(context, maximum)
        check_filters(context, MESSAGE_FILTERS)
        visible = [m for m in self._state.messages.values() if m.project is context.user.project][::-1]
        shown = page.cut([m for m in page.after_marker(visible, _no_message) if _fits(m, context.params)])
        body: dict[str, Any] = {"messages": [views.message_view(context, m, MESSAGE_SECONDS) for m in shown]}
        if links := next_links(context, "messages", shown, maximum):
            body["messages_links"] = links
        return Reply(200, body)

    def _message(self, context: Context, message_id: str) -> Reply:
        checks.since(context, 3)
        message = self._state.messages.get(message_id)
        if message is None or (message.project is not context.user.project and not context.admin):
            raise _no_message(message_id)
        return Reply(200, {"message": views.message_view(context, message, MESSAGE_SECONDS)})


def _fits(message: Message, wanted: dict[str, str]) -> bool:
    facts = {
        "resource_uuid": message.volume_id,
        "resource_type": "VOLUME",
        "event_id": message.event_id,
        "request_id": message.request_id,
        "message_level": "ERROR",
    }
    return all(facts.get(key) == value for key, value in wanted.items())


def _no_message(message_id: str) -> ApiError:
    return not_found(f"Message {message_id} could not be found.")
