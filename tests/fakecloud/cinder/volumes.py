"""Volumes: create, look at, list, change, delete."""

from __future__ import annotations

import json
from typing import Any

from ..lifecycle import Lifecycle
from ..model import Volume, VolumeType
from ..service import Context, Route
from ..state import State
from ..wire import HTML, ApiError, Reply, bad_request, not_found
from . import checks, quota, views
from .queries import VOLUME_FILTERS, Page, check_filters, next_links, ordered, volume_filter

STRICT_SINCE = 53
"""The microversion from which a create with a key that nobody knows is refused; before it, the key is ignored."""
DELETABLE = ("available", "error", "error_restoring", "error_extending", "error_managing")
NOT_DELETABLE = (
    "must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, "
    "or be disassociated from snapshots after volume transfer."
)
NO_MULTIATTACH = (
    "multiattach parameter has been removed. The default behavior is to use multiattach enabled volume types. "
    "Contact your administrator to create a multiattach enabled volume type and use it to create multiattach volumes."
)


class Volumes:
    """The /volumes paths, without their actions and metadata."""

    def __init__(self, state: State, lifecycle: Lifecycle) -> None:
        self._state = state
        self._lifecycle = lifecycle

    def routes(self) -> list[Route]:
        return [
            Route("GET", "volumes", self._list),
            Route("GET", "volumes/detail", self._detail),
            Route("GET", "volumes/summary", self._summary),
            Route("POST", "volumes", self._create),
            Route("GET", "volumes/{id}", self._show),
            Route("PUT", "volumes/{id}", self._update),
            Route("DELETE", "volumes/{id}", self._delete),
        ]

    def _show(self, context: Context, volume_id: str) -> Reply:
        volume = find(self._state, context, volume_id)
        return Reply(200, f'{{"volume": {views.volume_text(context, volume)}}}')

    def _detail(self, context: Context) -> Reply:
        shown, rest = self._select(context, "volumes/detail")
        texts = ", ".join([views.volume_text(context, v) for v in shown])
        tail = "".join(f", {json.dumps(k)}: {json.dumps(v)}" for k, v in rest.items())
        return Reply(200, f'{{"volumes": [{texts}]{tail}}}')

    def _list(self, context: Context) -> Reply:
        shown, rest = self._select(context, "volumes")
        return Reply(200, {"volumes": [views.volume_summary(context, v) for v in shown], **rest})

    def _visible(self, context: Context) -> list[Volume]:
        if context.admin and context.params.pop("all_tenants", "0").lower() in ("1", "true"):
            return list(self._state.volumes.values())
        project = context.user.project
        return [v for v in self._state.volumes.values() if v.project is project]

    def _select(self, context: Context, path: str) -> tuple[list[Volume], dict[str, Any]]:
        """One page of the volumes that the query asks for, and what else the answer says of the list."""
        maximum = self._state.config.max_limit
        page = Page.of(context, maximum)
        counted = context.params.pop("with_count", "false").lower() in ("1", "true") and context.version >= 45
        visible = ordered(context, self._visible(context))
        check_filters(context, VOLUME_FILTERS)
        test = volume_filter(context.params)
        found = [v for v in page.after_marker(visible, _no_volume) if test(v)]
        shown = page.cut(found)
        rest: dict[str, Any] = {}
        if links := next_links(context, path, shown, maximum):
            rest["volumes_links"] = links
        if counted:
            rest["count"] = len([v for v in visible if test(v)])
        return shown, rest

    def _summary(self, context: Context) -> Reply:
        checks.since(context, 12)
        volumes = self._visible(context)
        summary: dict[str, Any] = {"total_count": len(volumes), "total_size": sum(v.size for v in volumes)}
        if context.version >= 36:
            metadata: dict[str, list[str]] = {}
            for key, value in sorted({item for v in volumes for item in v.metadata.items()}):
                metadata.setdefault(key, []).append(value)
            summary["metadata"] = metadata
        return Reply(200, {"volume-summary": summary})

    def _create(self, context: Context) -> Reply:
        given = checks.body(context, "volume")
        if context.version >= STRICT_SINCE:
            checks.known_keys("volume", given, checks.CREATE_KEYS)
        volume = self._new(context, given)
        self._check_origin(context, given, volume)
        if volume.zone not in self._state.config.zones:
            raise bad_request(f"Availability zone '{volume.zone}' is invalid.")
        quota.check_volume(self._state, volume.project, volume.size)
        self._lifecycle.create(volume, context.request_id)
        return Reply(202, {"volume": views.volume_view(context, volume)})

    def _new(self, context: Context, given: dict[str, Any]) -> Volume:
        """The volume as the request describes it; its size is 0 where that does not say one."""
        size = 0 if given.get("size") is None else checks.size("size", given["size"])
        metadata = checks.metadata(given.get("metadata"))
        name, description = checks.text("name", given), checks.text("description", given)
        if given.get("multiattach"):
            raise bad_request(NO_MULTIATTACH)
        if given.get("availability_zone") == "":
            raise checks.wrong("availability_zone", "", "'' should be non-empty")
        type_ = self._type(given.get("volume_type") or self._state.config.default_type)
        return Volume(
            id=self._state.new_id(),
            number=self._state.new_number(),
            project=context.user.project,
            user=context.user,
            name=name,
            description=description,
            size=size,
            zone=given.get("availability_zone") or self._state.config.default_zone,
            type=type_,
            created_at=self._state.timeline.wall(),
            metadata=metadata,
            multiattach=type_.config.multiattach,
            snapshot_id=checks.reference("snapshot_id", given),
            source_volid=checks.reference("source_volid", given),
        )

    def _check_origin(self, context: Context, given: dict[str, Any], volume: Volume) -> None:
        """A copy is at least as large as what it is made from, and as large where no size is given."""
        least, words = 0, ""
        if volume.snapshot_id is not None:
            snapshot = self._state.snapshot(volume.snapshot_id, context.user)
            if snapshot is None:
                raise not_found(f"Snapshot {volume.snapshot_id} could not be found.")
            least, words = snapshot.size, "the snapshot size {}GB. They must be >= original snapshot size."
        elif volume.source_volid is not None:
            source = find(self._state, context, volume.source_volid)
            least, words = source.size, "original volume size  {}GB. They must be >= original volume size."
        volume.size = volume.size or least
        if not volume.size:
            raise bad_request(
                "The server could not comply with the request since it is either malformed or otherwise incorrect."
            )
        if volume.size < least:
            raise bad_request(
                f"Invalid input received: Volume size '{volume.size}'GB cannot be smaller than {words.format(least)}"
            )

    def _type(self, wanted: str) -> VolumeType:
        for type_ in self._state.types.values():
            if wanted in (type_.name, type_.id):
                return type_
        kind = "" if checks.is_uuid(wanted) else "with name "
        raise not_found(f"Volume type {kind}{wanted} could not be found.")

    def _update(self, context: Context, volume_id: str) -> Reply:
        given = checks.body(context, "volume")
        checks.known_keys("volume", given, checks.UPDATE_KEYS)
        if not given:
            raise checks.wrong("volume", given, "{} is not valid under any of the given schemas")
        metadata = checks.metadata(given["metadata"]) if "metadata" in given else None
        name, description = checks.text("name", given), checks.text("description", given)
        volume = find(self._state, context, volume_id)
        if name is not None:
            volume.name = name
        if description is not None:
            volume.description = description
        if metadata is not None:
            volume.metadata = metadata
        self._lifecycle.changed(volume)
        return Reply(200, {"volume": views.volume_view(context, volume)})

    def _delete(self, context: Context, volume_id: str) -> Reply:
        volume = find(self._state, context, volume_id)
        cascade = context.params.get("cascade", "").lower() in ("1", "true")
        force = context.params.get("force", "").lower() in ("1", "true") and context.version >= 23
        if force and not context.admin:
            raise ApiError(403, "Policy doesn't allow volume:force_delete to be performed.")
        delete(self._state, self._lifecycle, volume, cascade=cascade, force=force)
        return Reply(202, content_type=HTML)


def delete(state: State, lifecycle: Lifecycle, volume: Volume, *, cascade: bool = False, force: bool = False) -> None:
    """Begin to delete a volume, or refuse it as Cinder does."""
    snapshots = state.snapshots_of(volume)
    fitting = force or volume.status in DELETABLE or volume.host is None
    if not fitting or volume.attached or (snapshots and not cascade):
        status = "" if force else f"status must be {' or '.join(DELETABLE)} and"
        raise bad_request(f"Invalid volume: Volume {status} {NOT_DELETABLE}")
    for snapshot in snapshots:
        lifecycle.delete_snapshot(snapshot)
    lifecycle.delete(volume)


def find(state: State, context: Context, volume_id: str) -> Volume:
    """The volume, where this user may see it; else 404."""
    volume = state.volume(volume_id, context.user)
    if volume is None:
        raise _no_volume(volume_id)
    return volume


def _no_volume(volume_id: str) -> ApiError:
    return not_found(f"Volume {volume_id} could not be found.")
