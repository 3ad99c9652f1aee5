"""Start, look at and stop the OpenStack of the test bed; for other programs. Standard library only, Python 3.11.

One bed is one state folder. Everything about it is read back from there, so any process can ask about it later.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from . import content, processes, servers, settings
from .devcloud import loops
from .devcloud.drivers import inject as rules
from .devcloud.plan import FILE, Plan
from .errors import BedError
from .install import MANILA_PACKAGES, PACKAGES, environment, install, packages_be_installed
from .namespace import inside
from .servers import ServerInfo

__all__ = [
    "MANILA_PACKAGES",
    "PACKAGES",
    "BedError",
    "ServerInfo",
    "clouds_yaml",
    "delete_server",
    "down",
    "ensure_server",
    "environment",
    "inject",
    "install",
    "packages_be_installed",
    "status",
    "up",
]

SERVICES = ("keystone", "cinder", "nova", "manila")
"""Every process that there can be, in the order in which they are set up; Placement is part of Nova's."""

CONTENT: dict[str, Callable[[Plan], None]] = {
    "keystone": content.identity,
    "cinder": content.volumes,
    "nova": content.compute,
    "manila": content.shares,
}

Progress = Callable[[str], None]


def up(
    state: Path,
    listen: str = "127.0.0.1",
    netns: str | None = None,
    progress: Progress = print,
    *,
    services: Sequence[str] = ("keystone", "cinder", "nova"),
    zones: Sequence[str] = ("az1", "az2"),
    fresh: bool = True,
    base_port: int = 15000,
    max_disks: int = 27,
    debug: bool = False,
) -> None:
    """Let the cloud run and answer; start what is missing, nothing if all is well.

    Args:
        state: the folder of the bed; it is made, and belongs to the bed alone.
        listen: the address that every service listens on; the catalog names it too.
        netns: name of the network namespace to run in (below /run/netns).
        progress: told what happened, a line at a time.
        services: which processes are wanted, of `SERVICES`.
        zones: availability zones, the first is the default; not named as a service, as they name back ends too.
        fresh: begin with an empty cloud if nothing runs yet, instead of with what the last one left.
        base_port: the first of eight TCP ports.
        max_disks: how many disks a server can have, its root disk included.
        debug: let the services log at DEBUG.

    Raises:
        BedError: a service ended or did not answer, with the end of its log; or another bed runs in this folder.
    """
    wanted = Plan(
        state=state.resolve(),
        listen=listen,
        netns=netns or "",
        base_port=base_port,
        services=tuple(name for name in SERVICES if name in services),
        zones=tuple(zones),
        max_disks=max_disks,
        debug=debug,
    )
    folder = install(progress)
    with _alone(wanted.state), inside(wanted.netns):
        plan = _settled(wanted, fresh=fresh)
        missing = [service for service in plan.services if not _is_well(plan, service)]
        if not missing:
            progress(f"OpenStack answers already at {plan.auth_url}")
            return
        _start(plan, missing, folder, progress)


def down(state: Path) -> None:
    """Stop every process of the bed, and release its mounts and loop devices; logs and data stay."""
    plan = _plan(state)
    if plan is None:
        return
    with _alone(plan.state):
        processes.stop(plan, SERVICES)
        _be_released(plan.state)


def status(state: Path) -> dict[str, Any]:
    """Say what runs: where it listens, and pid, answer, memory (MiB) and CPU time (seconds) of each process."""
    plan = _plan(state)
    if plan is None:
        return {"running": False, "services": {}}
    runs = any(processes.running(plan, service) for service in plan.services)
    # the namespace may be gone once nothing runs in it
    with inside(plan.netns if runs else ""):
        found = {service: _describe(plan, service) for service in plan.services}
    return {
        "running": all(one["answers"] for one in found.values()),
        "state": str(plan.state),
        "listen": plan.listen,
        "netns": plan.netns,
        "auth_url": plan.auth_url,
        "clouds_yaml": str(plan.clouds),
        "services": found,
    }


def ensure_server(state: Path, name: str, zone: str) -> ServerInfo:
    """Let a Nova server of this name be active in this zone, in the project `demo`.

    Raises:
        BedError: it could not be made, or is there in another zone.
    """
    plan = _running_plan(state)
    with inside(plan.netns):
        return servers.be_there(plan, name, zone)


def delete_server(state: Path, name: str) -> None:
    """Let no server of this name be there; what was attached to it is available again."""
    plan = _running_plan(state)
    with inside(plan.netns):
        servers.be_gone(plan, name)


def clouds_yaml(state: Path) -> Path:
    """The clouds.yaml of the bed, with the clouds admin, demo, other, demo-two (RegionTwo) and demo-appcred."""
    return _running_plan(state).clouds


def inject(state: Path, operation: str, **rule: Any) -> None:
    """Let calls of a back end fail or wait, see devcloud/drivers/inject.py.

    Args:
        state: the folder of the bed.
        operation: one of `inject.OPERATIONS`.
        rule: times (1), delay in seconds, error, match (part of a resource's id or name).

    Raises:
        ValueError: there is no such operation or key.
    """
    rules.write(_running_plan(state).inject, operation, rule)


def _start(plan: Plan, missing: list[str], folder: Path, progress: Progress) -> None:
    """Start these services side by side, and set each up as soon as it is ready."""
    began = time.monotonic()
    settings.write(plan, folder)
    silent = [service for service in missing if not processes.answers(plan, service)]
    processes.stop(plan, silent)
    processes.ports_be_free(plan, silent)
    for service in silent:
        processes.start(plan, service, folder)
    for service in missing:
        processes.wait_until_ready(plan, service)
        if not plan.filled(service).exists():
            CONTENT[service](plan)
            plan.filled(service).touch()
        progress(f"{service} is up after {time.monotonic() - began:.1f} s, {plan.url(service)}")


def _is_well(plan: Plan, service: str) -> bool:
    return processes.answers(plan, service) and plan.filled(service).exists()


def _settled(wanted: Plan, *, fresh: bool) -> Plan:
    """Settle between what is wanted and what is there; return the plan, written down.

    Raises:
        BedError: what runs, or is to be kept, was made for something else.
    """
    there = _plan(wanted.state)
    runs = there is not None and any(processes.running(there, service) for service in SERVICES)
    if there is not None and (runs or not fresh):
        all_services = tuple(name for name in SERVICES if name in wanted.services or name in there.services)
        plan = replace(wanted, services=all_services)
        if replace(there, services=all_services) != plan:
            raise BedError(f"the bed in {there.state} was made for something else: {_differences(there, plan)}")
    else:
        _be_empty(wanted.state)
        plan = wanted
    plan.state.mkdir(parents=True, exist_ok=True)
    plan.save()
    return plan


def _differences(there: Plan, wanted: Plan) -> str:
    pairs = [(field.name, getattr(there, field.name), getattr(wanted, field.name)) for field in fields(Plan)]
    return ", ".join(f"{name} is {old}, not {new}" for name, old, new in pairs if old != new and name != "services")


def _be_empty(state: Path) -> None:
    """Remove what an earlier bed left in its folder.

    Raises:
        BedError: the folder holds something, but no bed.
    """
    if not state.exists():
        return
    if any(state.iterdir()) and not (state / FILE).exists():
        raise BedError(f"{state} is not empty and holds no bed; choose another folder")
    _be_released(state)
    for where in _mounts():
        if where.is_relative_to(state):
            raise BedError(f"{where} is still mounted; nothing is removed below it")
    shutil.rmtree(state)


def _be_released(state: Path) -> None:
    """Unmount the shares below this folder, and release the loop devices whose files are below it."""
    for where in _mounts():
        if where.parent == state / "shares/mnt":
            subprocess.run(["umount", "--lazy", str(where)], check=True)
    for name in ("volumes", "shares"):
        for device in loops.below(state / name):
            file = loops.file_behind(device)
            if file is not None:
                loops.detach(device, file)


def _mounts() -> list[Path]:
    return [Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines()]


def _describe(plan: Plan, service: str) -> dict[str, Any]:
    pid = processes.running(plan, service)
    if not pid:
        return {"pid": 0, "answers": False, "log": str(plan.log(service))}
    return {
        "pid": pid,
        "answers": processes.answers(plan, service),
        "url": plan.url(service),
        "memory_mib": round(processes.resident_mib(pid)),
        "cpu_seconds": round(processes.cpu_seconds(pid), 1),
        "log": str(plan.log(service)),
    }


def _plan(state: Path) -> Plan | None:
    try:
        return Plan.load(state.resolve())
    except FileNotFoundError:
        return None


def _running_plan(state: Path) -> Plan:
    plan = _plan(state)
    if plan is None:
        raise BedError(f"there is no OpenStack in {state}; start it first")
    return plan


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Let no other program start or stop this bed meanwhile."""
    state.parent.mkdir(parents=True, exist_ok=True)
    with state.with_name(f"{state.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
