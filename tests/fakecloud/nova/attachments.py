"""A server's volumes: attach, look at, list, detach.

An attach is checked in two halves, as in Nova. The API itself looks at server, volume and what is attached already. The
rest (device name, number of disks, zone, multiattach, the reservation in Cinder) is the conductor's: up to version
2.100 the API waits for it and hands on its refusal; from 2.101 on it answers 202 with no body, and a refusal is seen
only in that nothing is attached.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from string import ascii_lowercase
from typing import Any

from ..cinder.checks import is_uuid
from ..lifecycle import Lifecycle
from ..model import Attachment, Server, Volume
from ..service import Context, Route
from ..state import State
from ..wire import HTML, ApiError, Reply, bad_request, not_found
from . import views

MULTIATTACH_SINCE = 60
NOT_WAITED_FOR_SINCE = 101
FIT_STATES = ("active", "paused", "stopped", "resized", "soft-delete", "shelved", "shelved_offloaded")
DEVICE = re.compile(r"(^/dev/x{0,1}[a-z]{0,1}d{0,1})([a-z]+)[0-9]*$")
KEYS = {"volumeId", "device"}
UNFIT_TO_DETACH = (
    "Invalid volume: Invalid input received: Invalid volume: Unable to detach volume. Volume status must be 'in-use' "
    "and attach_status must be 'attached' to detach. (HTTP 400) (Request-ID: {})"
)


class VolumeAttachments:
    """The /servers/{id}/os-volume_attachments paths."""

    def __init__(self, state: State, lifecycle: Lifecycle) -> None:
        self._state = state
        self._lifecycle = lifecycle

    def routes(self) -> list[Route]:
        path = "servers/{id}/os-volume_attachments"
        return [
            Route("GET", path, self._list, "os-volume_attachments"),
            Route("POST", path, self._attach, "os-volume_attachments"),
            Route("GET", path + "/{id}", self._show, "os-volume_attachments/{id}"),
            Route("DELETE", path + "/{id}", self._detach, "os-volume_attachments/{id}"),
        ]

    def _list(self, context: Context, server_id: str) -> Reply:
        check_numbers(context)
        server = find(self._state, context, server_id)
        maximum = self._state.config.max_limit
        limit = min(int(context.params.get("limit") or maximum) or maximum, maximum)
        offset = int(context.params.get("offset") or 0)
        shown = server.attachments[offset : offset + limit]
        return Reply(200, {"volumeAttachments": [views.attachment_view(context, a) for a in shown]})

    def _show(self, context: Context, server_id: str, volume_id: str) -> Reply:
        attachment = _of(find(self._state, context, server_id), volume_id)
        return Reply(200, {"volumeAttachment": views.attachment_view(context, attachment)})

    def _attach(self, context: Context, server_id: str) -> Reply:
        given = _body(context)
        server = find(self._state, context, server_id)
        check_fit(server, "attach_volume")
        volume = self._volume(context, given["volumeId"])
        self._check_already_attached(server, volume)
        if context.version >= NOT_WAITED_FOR_SINCE:
            with suppress(ApiError):  # the conductor's refusal stays in its log
                self._reserve(context, server, volume, given)
            return Reply(202, content_type=HTML)
        attachment = self._reserve(context, server, volume, given)
        return Reply(200, {"volumeAttachment": views.attached_view(context, attachment)})

    def _volume(self, context: Context, volume_id: str) -> Volume:
        volume = self._state.volume(volume_id, context.user)
        if volume is None:
            raise not_found(f"Volume {volume_id} could not be found.")
        return volume

    def _check_already_attached(self, server: Server, volume: Volume) -> None:
        servers = [a.server.id for a in self._state.attachments_of(volume)]
        if servers and not volume.multiattach:
            raise bad_request(
                f"Invalid volume: volume {volume.id} is already attached to instances: {' '.join(servers)}"
            )
        if server.id in servers:
            raise bad_request(f"Invalid volume: volume {volume.id} already attached")

    def _reserve(self, context: Context, server: Server, volume: Volume, given: dict[str, Any]) -> Attachment:
        """The conductor's half: everything else that can be wrong, then the reservation."""
        device = self._device(server, given.get("device"))
        if not self._state.config.cross_az_attach and server.zone != volume.zone:
            raise bad_request(
                f"Invalid volume: Instance {server.id} and volume {volume.id} are not in the same availability_zone. "
                f"Instance is in {server.zone}. Volume is in {volume.zone}"
            )
        if volume.multiattach and context.version < MULTIATTACH_SINCE:
            raise bad_request("Multiattach volumes are only supported starting with compute API version 2.60.")
        if "error" in volume.status:
            raise bad_request(
                "Invalid input received: Invalid volume: Volume attachments can not be created if the volume is in an "
                f"error state. The Volume {volume.id} currently has a status of: {volume.status}  "
                f"(HTTP 400) (Request-ID: {context.request_id})"
            )
        fit = ("available", "in-use", "downloading") if volume.multiattach else ("available", "downloading")
        if volume.status not in fit:
            raise bad_request(
                f"Invalid input received: Invalid volume: Volume {volume.id} status must be {' or '.join(fit)} to "
                f"reserve, but the current status is {volume.status}. (HTTP 400) (Request-ID: {context.request_id})"
            )
        attachment = Attachment(
            id=self._state.new_id(),
            mapping_id=self._state.new_id(),
            volume=volume,
            server=server,
            device=device,
            delete_on_termination=bool(given.get("delete_on_termination", False)),
            tag=given.get("tag"),
        )
        self._lifecycle.attach(attachment)
        return attachment

    def _device(self, server: Server, wanted: str | None) -> str:
        """The device name that the disk gets, on the bus that the server has; a root disk is always there."""
        used = {"a"} | {_letters(a.device) for a in server.attachments}
        maximum = self._state.config.max_disks
        if 0 <= maximum < len(used) + 1:
            raise ApiError(
                403,
                f"The maximum allowed number of disk devices ({maximum}) to attach to a single instance has been "
                "exceeded.",
            )
        letters = _letters(wanted) if wanted else _first_free(used)
        if letters in used:
            raise ApiError(409, f"The supplied device path ({wanted}) is in use.")
        return self._state.config.device_prefix + letters

    def _detach(self, context: Context, server_id: str, volume_id: str) -> Reply:
        server = find(self._state, context, server_id)
        self._volume(context, volume_id)
        attachment = _of(server, volume_id)
        if attachment.root:
            raise bad_request("Cannot detach a root device volume")
        check_fit(server, "detach_volume")
        if attachment.volume.status != "in-use" or not attachment.volume.attached:
            raise bad_request(UNFIT_TO_DETACH.format(context.request_id))
        self._lifecycle.detach(attachment)
        return Reply(202)


def check_numbers(context: Context) -> None:
    """Refuse a limit or offset that is no number."""
    for key in ("limit", "offset"):
        value = context.params.get(key, "")
        if not re.fullmatch("[0-9]*", value):
            raise bad_request(
                f"Invalid input for query parameters {key}. Value: {value}. {value!r} does not match '^[0-9]*$'"
            )


def find(state: State, context: Context, server_id: str) -> Server:
    """The server, where this user may see it; else 404."""
    server = state.server(server_id, context.user)
    if server is None:
        raise not_found(f"Instance {server_id} could not be found.")
    return server


def check_fit(server: Server, action: str) -> None:
    """Refuse with 409 what a server cannot do in its state."""
    vm_state = views.VM_STATES[server.status][0]
    for name, state, fit in (
        ("vm_state", vm_state, vm_state in FIT_STATES),
        ("task_state", server.task_state, server.task_state is None),
    ):
        if not fit:
            raise ApiError(409, f"Cannot '{action}' instance {server.id} while it is in {name} {state}")


def _of(server: Server, volume_id: str) -> Attachment:
    for attachment in server.attachments:
        if attachment.volume.id == volume_id:
            return attachment
    raise not_found(f"Instance {server.id} is not attached to volume {volume_id}")


def _body(context: Context) -> dict[str, Any]:
    """The request's attachment, after the checks of Nova's schema."""
    try:
        body = json.loads(context.request.body)
    except ValueError:
        raise bad_request("Malformed request body") from None
    if not isinstance(body, dict) or "volumeAttachment" not in body:
        raise bad_request("'volumeAttachment' is a required property")
    given: dict[str, Any] = body["volumeAttachment"]
    known = KEYS | ({"tag"} if context.version >= 49 else set())
    known |= {"delete_on_termination"} if context.version >= 79 else set()
    unknown = [key for key in given if key not in known]
    if unknown:
        raise _wrong(
            "volumeAttachment", given, f"Additional properties are not allowed ({unknown[0]!r} was unexpected)"
        )
    if "volumeId" not in given:
        raise _wrong("volumeAttachment", given, "'volumeId' is a required property")
    if not is_uuid(given["volumeId"]):
        raise _wrong("volumeId", given["volumeId"], f"{given['volumeId']!r} is not a 'uuid'")
    device = given.get("device")
    if device is not None and not DEVICE.match(str(device)):
        raise _wrong("device", device, f"{device!r} does not match {DEVICE.pattern!r}")
    return given


def _wrong(name: str, value: Any, why: str) -> ApiError:
    return bad_request(f"Invalid input for field/attribute {name}. Value: {value}. {why}")


def _letters(device: str) -> str:
    match = DEVICE.match(device)
    return device if match is None else f"{match[2]}"


def _first_free(used: set[str]) -> str:
    """The first of a, b, … z, aa, ab, … that no disk has."""
    names = [f"{first}{last}" for first in ["", *ascii_lowercase] for last in ascii_lowercase]
    return next(name for name in names if name not in used)
