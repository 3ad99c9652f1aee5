"""How Nova shows servers and their volumes, by microversion and by who asks."""

from __future__ import annotations

from hashlib import sha224
from typing import Any

from ..clock import stamp, stamp_seconds
from ..model import Attachment, Server
from ..service import Context

VM_STATES = {
    "ACTIVE": ("active", 1),
    "SHUTOFF": ("stopped", 4),
    "BUILD": ("building", 0),
    "ERROR": ("error", 0),
    "PAUSED": ("paused", 3),
    "SUSPENDED": ("suspended", 4),
    "SHELVED_OFFLOADED": ("shelved_offloaded", 4),
}
"""Nova's inner state and the hypervisor's power state behind each status."""


def links(context: Context, server: Server) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": f"{context.base}/compute/v2.1/servers/{server.id}"},
        {"rel": "bookmark", "href": f"{context.base}/compute/servers/{server.id}"},
    ]


def server_summary(context: Context, server: Server) -> dict[str, Any]:
    return {"id": server.id, "name": server.name, "links": links(context, server)}


def server_detail(context: Context, server: Server, *, listed: bool = False) -> dict[str, Any]:
    """A server with all its facts; in a list it has no groups."""
    vm_state, power_state = VM_STATES[server.status]
    host = f"compute-{server.zone}"
    view: dict[str, Any] = {
        **server_summary(context, server),
        "status": server.status,
        "tenant_id": server.project.id,
        "user_id": server.user.id,
        "metadata": {},
        "hostId": sha224((server.project.id + host).encode()).hexdigest(),
        "image": "",
        "flavor": _flavor(context),
        "created": stamp_seconds(server.created_at),
        "updated": stamp_seconds(server.updated_at),
        "addresses": {},
        "accessIPv4": "",
        "accessIPv6": "",
        "OS-DCF:diskConfig": "MANUAL",
        "OS-EXT-AZ:availability_zone": server.zone,
        "config_drive": "",
        "key_name": None,
        "OS-SRV-USG:launched_at": None if server.status == "BUILD" else stamp(server.created_at),
        "OS-SRV-USG:terminated_at": None,
        "OS-EXT-STS:task_state": server.task_state,
        "OS-EXT-STS:vm_state": vm_state,
        "OS-EXT-STS:power_state": power_state,
        "os-extended-volumes:volumes_attached": [_volume_of(context, a) for a in server.attachments],
    }
    if server.status in ("ACTIVE", "BUILD"):
        view["progress"] = 0
    if context.admin:
        view |= _for_admins(context, server, host)
    return _add_by_version(context, server, view, listed=listed)


def _flavor(context: Context) -> dict[str, Any]:
    if context.version < 47:
        return {"id": "1", "links": [{"rel": "bookmark", "href": f"{context.base}/compute/flavors/1"}]}
    return {
        "vcpus": 1,
        "ram": 512,
        "disk": 0,
        "ephemeral": 0,
        "swap": 0,
        "original_name": "node",
        "extra_specs": {},
    }


def _volume_of(context: Context, attachment: Attachment) -> dict[str, Any]:
    if context.version < 3:
        return {"id": attachment.volume.id}
    return {"id": attachment.volume.id, "delete_on_termination": attachment.delete_on_termination}


def _for_admins(context: Context, server: Server, host: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "host": host,
        "instance_name": f"instance-{server.number:08x}",
        "hypervisor_hostname": host,
    }
    if context.version >= 3:
        facts |= {
            "hostname": server.name,
            "kernel_id": "",
            "launch_index": 0,
            "ramdisk_id": "",
            "reservation_id": f"r-{server.id[:8]}",
            "root_device_name": "/dev/vda",
            "user_data": None,
        }
    view = {f"OS-EXT-SRV-ATTR:{key}": value for key, value in facts.items()}
    return view | {"host_status": "UP"} if context.version >= 16 else view


def _add_by_version(context: Context, server: Server, view: dict[str, Any], *, listed: bool) -> dict[str, Any]:
    by_version: tuple[tuple[int, str, Any], ...] = (
        (9, "locked", False),
        (19, "description", None),
        (26, "tags", []),
        (63, "trusted_image_certificates", None),
        (73, "locked_reason", None),
        (90, "OS-EXT-SRV-ATTR:hostname", server.name),
        (96, "pinned_availability_zone", server.zone),
        (100, "scheduler_hints", {}),
    )
    for version, key, value in by_version:
        if context.version >= version:
            view[key] = value
    if context.version >= 71 and not listed:
        view["server_groups"] = []
    return view


def attachment_view(context: Context, attachment: Attachment) -> dict[str, Any]:
    """A volume of a server, in the lists and alone."""
    view: dict[str, Any] = {
        "volumeId": attachment.volume.id,
        "serverId": attachment.server.id,
        "device": attachment.device,
    }
    if context.version >= 70:
        view["tag"] = attachment.tag
    if context.version >= 79:
        view["delete_on_termination"] = attachment.delete_on_termination
    if context.version >= 89:
        view |= {"attachment_id": attachment.id, "bdm_uuid": attachment.mapping_id}
    else:
        view["id"] = attachment.volume.id
    return view


def attached_view(context: Context, attachment: Attachment) -> dict[str, Any]:
    """The answer to an attach: it has an id at every version that has an answer at all."""
    view: dict[str, Any] = {
        "id": attachment.volume.id,
        "serverId": attachment.server.id,
        "volumeId": attachment.volume.id,
        "device": attachment.device,
    }
    if context.version >= 70:
        view["tag"] = attachment.tag
    if context.version >= 79:
        view["delete_on_termination"] = attachment.delete_on_termination
    return view
