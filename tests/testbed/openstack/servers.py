"""Nova servers of the project `demo`, for nodes to be: booted from a volume, without a network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import api
from .content import FLAVOR
from .devcloud.plan import Plan
from .errors import BedError

PATIENCE = 120.0
"""How long a server or volume may take to reach a state, in seconds."""


@dataclass(frozen=True)
class ServerInfo:
    """A server.

    Attributes:
        id: its id in Nova.
        directory: its folder on this machine: dev/disk/by-id links to its disks, config-drive holds its metadata.
    """

    id: str
    directory: Path


def be_there(plan: Plan, name: str, zone: str) -> ServerInfo:
    """Let an active server of this name be in this zone.

    Raises:
        BedError: it cannot be made, or it is there in another zone.
    """
    demo = api.log_in(plan.auth_url, "demo", "demo")
    server = _find(demo, name)
    if server and server["status"] == "ERROR":
        _delete(demo, server["id"])
        server = None
    ident = server["id"] if server else _create(demo, name, zone)
    active = wait_for(
        f"server {name} to be active",
        lambda: demo.get("compute", f"/servers/{ident}")["server"],
        lambda found: found["status"] == "ACTIVE",
    )
    its_zone = active["OS-EXT-AZ:availability_zone"]
    if its_zone != zone:
        raise BedError(f"server {name} is there already, in zone {its_zone} instead of {zone}")
    return ServerInfo(ident, plan.nodes / ident)


def be_gone(plan: Plan, name: str) -> None:
    """Let no server of this name be there; its volumes stay, but for the one that it was booted from."""
    demo = api.log_in(plan.auth_url, "demo", "demo")
    server = _find(demo, name)
    if server:
        _delete(demo, server["id"])


def wait_for(what: str, look: Callable[[], dict[str, Any]], done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Look until it is done; return what was seen then.

    Raises:
        BedError: the thing went to an error state, or it was not done within `PATIENCE`.
    """
    end = time.monotonic() + PATIENCE
    while True:
        found = look()
        if done(found):
            return found
        if "error" in found["status"].lower():
            raise BedError(f"waited for {what}: it is {found['status']}: {found.get('fault', {}).get('message', '')}")
        if time.monotonic() > end:
            raise BedError(f"waited {PATIENCE:.0f} s for {what}: it is {found['status']}")
        time.sleep(0.05)


def is_gone(session: api.Session, service: str, path: str) -> bool:
    """Whether a resource answers 404."""
    try:
        session.get(service, path)
    except api.ApiError as error:
        if error.status == 404:
            return True
        raise
    return False


def wait_until_gone(session: api.Session, service: str, path: str) -> None:
    """Wait until a resource answers 404.

    Raises:
        BedError: it did not within `PATIENCE`.
    """
    end = time.monotonic() + PATIENCE
    while not is_gone(session, service, path):
        if time.monotonic() > end:
            raise BedError(f"waited {PATIENCE:.0f} s for {path} to be gone")
        time.sleep(0.05)


def _find(demo: api.Session, name: str) -> dict[str, Any] | None:
    # Nova takes the name as a regular expression
    found: list[dict[str, Any]] = demo.get("compute", f"/servers/detail?name=^{name}$")["servers"]
    return found[0] if found else None


def _create(demo: api.Session, name: str, zone: str) -> str:
    volume = {"name": f"{name}-root", "size": 1, "availability_zone": zone}
    root = demo.post("block-storage", "/volumes", {"volume": volume})["volume"]["id"]
    wait_for(
        f"the root volume of server {name}",
        lambda: demo.get("block-storage", f"/volumes/{root}")["volume"],
        lambda found: found["status"] == "available",
    )
    demo.post("block-storage", f"/volumes/{root}/action", {"os-set_bootable": {"bootable": True}})
    disk = {
        "uuid": root,
        "source_type": "volume",
        "destination_type": "volume",
        "boot_index": 0,
        "delete_on_termination": True,
    }
    server = {
        "name": name,
        "flavorRef": _flavor(demo),
        "networks": "none",
        "availability_zone": zone,
        "block_device_mapping_v2": [disk],
    }
    return str(demo.post("compute", "/servers", {"server": server})["server"]["id"])


def _flavor(demo: api.Session) -> str:
    flavors = demo.get("compute", "/flavors")["flavors"]
    return str(next(flavor["id"] for flavor in flavors if flavor["name"] == FLAVOR))


def _delete(demo: api.Session, ident: str) -> None:
    demo.call("DELETE", "compute", f"/servers/{ident}")
    wait_until_gone(demo, "compute", f"/servers/{ident}")
