"""How Cinder shows its objects, by microversion and by who asks."""

from __future__ import annotations

import json
from typing import Any

from ..clock import stamp
from ..model import Attachment, Message, Snapshot, Volume, VolumeType
from ..service import Context
from ..state import fixed_id


def links(context: Context, collection: str, id_: str) -> list[dict[str, str]]:
    project = f"{context.user.project.id}/" if context.project_in_path else ""
    return [
        {"rel": "self", "href": f"{context.base}/volume/v3/{project}{collection}/{id_}"},
        {"rel": "bookmark", "href": f"{context.base}/volume/{project}{collection}/{id_}"},
    ]


def volume_text(context: Context, volume: Volume) -> str:
    """A volume's detailed view as JSON text, kept until the volume changes: lists of a thousand are asked often."""
    key = (context.version, context.admin, context.project_in_path and context.user.project.id)
    text = volume.rendered.get(key)
    if text is None:
        text = volume.rendered[key] = json.dumps(volume_detail(context, volume))
    return text


def volume_detail(context: Context, volume: Volume) -> dict[str, Any]:
    """A volume as GET shows it."""
    view = volume_view(context, volume)
    view["os-vol-tenant-attr:tenant_id"] = volume.project.id
    if context.admin:
        view["os-vol-host-attr:host"] = volume.host
        view["os-vol-mig-status-attr:migstat"] = None
        view["os-vol-mig-status-attr:name_id"] = None
    return view


def volume_view(context: Context, volume: Volume) -> dict[str, Any]:
    """A volume as the answers to a create and an update show it."""
    view: dict[str, Any] = {
        "id": volume.id,
        "status": volume.status,
        "size": volume.size,
        "availability_zone": volume.zone,
        "created_at": stamp(volume.created_at),
        "updated_at": _date(volume.updated_at),
        "name": volume.name,
        "description": volume.description,
        "volume_type": volume.type.name,
        "snapshot_id": volume.snapshot_id,
        "source_volid": volume.source_volid,
        "metadata": {**volume.metadata, **volume.admin_metadata},
        "links": links(context, "volumes", volume.id),
        "user_id": volume.user.id,
        "bootable": "true" if volume.bootable else "false",
        "encrypted": False,
        "replication_status": None,
        "consistencygroup_id": None,
        "multiattach": volume.multiattach,
        "attachments": [_attachment_in_volume(context, a) for a in volume.attachments.values() if a.attached_at],
    }
    if context.admin:
        view["migration_status"] = None
    return _add_by_version(context, volume, view)


def _add_by_version(context: Context, volume: Volume, view: dict[str, Any]) -> dict[str, Any]:
    if context.version >= 13:
        view["group_id"] = None
    if context.version >= 21 and context.admin:
        view["provider_id"] = None
    if context.version >= 48:
        view["shared_targets"] = volume.host is None
        view["service_uuid"] = fixed_id("service " + volume.host) if volume.host else None
    if context.version >= 61 and context.admin:
        view["cluster_name"] = None
    if context.version >= 63:
        view["volume_type_id"] = volume.type.id
    if context.version >= 65:
        view["consumes_quota"] = True
    return view


def _attachment_in_volume(context: Context, attachment: Attachment) -> dict[str, Any]:
    return {
        "id": attachment.volume.id,
        "attachment_id": attachment.id,
        "volume_id": attachment.volume.id,
        "server_id": attachment.server.id,
        "host_name": f"compute-{attachment.server.zone}" if context.admin else None,
        "device": attachment.device,
        "attached_at": _date(attachment.attached_at),
    }


def volume_summary(context: Context, volume: Volume) -> dict[str, Any]:
    return {"id": volume.id, "name": volume.name, "links": links(context, "volumes", volume.id)}


def snapshot_summary(context: Context, snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot in the short list, which is as long as the detailed one was in the first version."""
    return {
        "id": snapshot.id,
        "name": snapshot.name,
        "description": snapshot.description,
        "created_at": stamp(snapshot.created_at),
        "updated_at": _date(snapshot.updated_at),
        "volume_id": snapshot.volume.id,
        "status": snapshot.status,
        "size": snapshot.size,
        "metadata": snapshot.metadata,
    }


def snapshot_view(context: Context, snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as the answer to a create shows it."""
    view = snapshot_summary(context, snapshot)
    if context.version >= 14:
        view["group_snapshot_id"] = None
    if context.version >= 41:
        view["user_id"] = snapshot.user.id
    if context.version >= 65:
        view["consumes_quota"] = True
    return view


def snapshot_detail(context: Context, snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as GET shows it."""
    return {
        **snapshot_view(context, snapshot),
        "os-extended-snapshot-attributes:project_id": snapshot.project.id,
        "os-extended-snapshot-attributes:progress": "0%" if snapshot.status == "creating" else "100%",
    }


def attachment_summary(attachment: Attachment) -> dict[str, Any]:
    return {
        "id": attachment.id,
        "status": attachment.status,
        "instance": attachment.server.id,
        "volume_id": attachment.volume.id,
    }


def attachment_detail(attachment: Attachment) -> dict[str, Any]:
    connected = attachment.status != "reserved"
    return {
        **attachment_summary(attachment),
        "attached_at": _date(attachment.attached_at) or "",
        "detached_at": "",
        "attach_mode": "rw" if connected else "null",
        "connection_info": {"driver_volume_type": "fake", "attachment_id": attachment.id} if connected else {},
    }


def type_view(context: Context, type_: VolumeType, *, extension: bool = True) -> dict[str, Any]:
    """A volume type; who is no administrator sees only the extra specs that are for users."""
    specs = type_.config.extra_specs
    view: dict[str, Any] = {
        "id": type_.id,
        "name": type_.name,
        "is_public": True,
        "description": type_.config.description,
        "extra_specs": visible_specs(context, specs),
    }
    if context.admin:
        view["qos_specs_id"] = None
    if extension:
        view["os-volume-type-access:is_public"] = True
    return view


def visible_specs(context: Context, specs: Any) -> dict[str, str]:
    """The extra specs that this user may see."""
    return {k: v for k, v in specs.items() if context.admin or k in ("multiattach", "replication_enabled")}


def message_view(context: Context, message: Message, seconds: float) -> dict[str, Any]:
    """A user message, kept for `seconds`."""
    return {
        "id": message.id,
        "event_id": message.event_id,
        "user_message": message.text,
        "message_level": "ERROR",
        "created_at": stamp(message.created_at),
        "guaranteed_until": stamp(message.created_at + seconds),
        "request_id": message.request_id,
        "links": links(context, "messages", message.id),
        "resource_type": "VOLUME",
        "resource_uuid": message.volume_id,
    }


def _date(wall: float | None) -> str | None:
    return None if wall is None else stamp(wall)
