"""POST /volumes/{id}/action: what is done to a volume."""

from __future__ import annotations

import json
from typing import Any

from ..lifecycle import Lifecycle
from ..model import Volume
from ..service import Context, Route
from ..state import State
from ..wire import Reply, bad_request, forbidden
from . import checks, quota
from .volumes import delete, find

EXTEND_IN_USE = 42
STATUSES = [
    "creating",
    "available",
    "deleting",
    "error",
    "error_deleting",
    "error_managing",
    "managing",
    "attaching",
    "in-use",
    "detaching",
    "maintenance",
    "restoring-backup",
    "error_restoring",
    "reserved",
    "awaiting-transfer",
    "backing-up",
    "error_backing-up",
    "error_extending",
    "downloading",
    "uploading",
    "retyping",
    "extending",
]


class Actions:
    """The actions that a driver and an administrator need."""

    def __init__(self, state: State, lifecycle: Lifecycle) -> None:
        self._state = state
        self._lifecycle = lifecycle
        self._actions = {
            "os-extend": self._extend,
            "os-set_bootable": self._set_bootable,
            "os-update_readonly_flag": self._set_read_only,
            "os-reset_status": self._reset,
            "os-force_delete": self._force_delete,
        }

    def routes(self) -> list[Route]:
        return [Route("POST", "volumes/{id}/action", self._act)]

    def _act(self, context: Context, volume_id: str) -> Reply:
        try:
            body = json.loads(context.request.body)
            name = next(iter(body))
        except (ValueError, TypeError, StopIteration):
            raise bad_request("Malformed request body") from None
        action = self._actions.get(name)
        if action is None:
            raise bad_request(
                f"There is no such action: {name}. Verify the request body and Content-Type header and try again."
            )
        return action(context, volume_id, body[name] or {})

    def _extend(self, context: Context, volume_id: str, given: dict[str, Any]) -> Reply:
        size = checks.size("new_size", given.get("new_size"))
        volume = find(self._state, context, volume_id)
        in_use = context.version >= EXTEND_IN_USE and volume.status == "in-use"
        if size <= volume.size:
            raise bad_request(
                "Invalid input received: New size for extend must be greater than current size. "
                f"(current: {volume.size}, extended: {size})."
            )
        expected = {"status": "in-use" if in_use else "available"}
        if volume.status != expected["status"]:
            raise bad_request(
                f"Invalid volume: Volume {volume.id} status must be '{expected}' to extend, currently {volume.status}."
            )
        quota.check_extend(self._state, volume.project, volume.size, size)
        self._lifecycle.extend(volume, size, context.request_id)
        return Reply(202)

    def _set_bootable(self, context: Context, volume_id: str, given: dict[str, Any]) -> Reply:
        volume = find(self._state, context, volume_id)
        volume.bootable = _flag(given.get("bootable"))
        self._lifecycle.changed(volume)
        return Reply(200)

    def _set_read_only(self, context: Context, volume_id: str, given: dict[str, Any]) -> Reply:
        volume = find(self._state, context, volume_id)
        volume.admin_metadata["readonly"] = str(_flag(given.get("readonly")))
        self._lifecycle.changed(volume)
        return Reply(202)

    def _reset(self, context: Context, volume_id: str, given: dict[str, Any]) -> Reply:
        status = str(given.get("status", "")).lower()
        if status not in STATUSES:
            raise bad_request(f"Volume status: {status} is invalid, valid statuses are: {tuple(STATUSES)}.")
        volume = self._as_admin(context, volume_id, "reset_status")
        if status == "deleting":
            raise bad_request(f"Cannot reset-state to {status}")
        if status == "in-use" and not volume.attachments:
            raise bad_request("Cannot reset-state to in-use because volume does not have any attachments.")
        self._lifecycle.set_status(volume, status)
        return Reply(202)

    def _force_delete(self, context: Context, volume_id: str, _: dict[str, Any]) -> Reply:
        volume = self._as_admin(context, volume_id, "force_delete")
        delete(self._state, self._lifecycle, volume, force=True)
        return Reply(202)

    def _as_admin(self, context: Context, volume_id: str, action: str) -> Volume:
        volume = find(self._state, context, volume_id)
        if not context.admin:
            raise forbidden(f"volume_extension:volume_admin_actions:{action}")
        return volume


def _flag(value: Any) -> bool:
    return str(value).lower() in ("1", "true")
