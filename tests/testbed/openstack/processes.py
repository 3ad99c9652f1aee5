"""The processes of the services: started, looked at, stopped; each is known by the pid that it was started with."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterable
from pathlib import Path

from . import api
from .devcloud.plan import Plan
from .errors import BedError

HERE = Path(__file__).resolve().parent
START_PATIENCE = 180.0
"""How long a service may take to be ready, in seconds."""
STOP_PATIENCE = 8.0
"""How long a service may take to end by itself, in seconds."""
UNWANTED = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "http_proxy", "https_proxy", "all_proxy")


def ports_be_free(plan: Plan, services: Iterable[str]) -> None:
    """Make sure that these services can listen where they are to.

    Raises:
        BedError: the address is not here, or a port is taken.
    """
    for service in services:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((plan.listen, plan.port(service)))
            except OSError as why:
                where = f"{plan.listen}:{plan.port(service)}" + (f" in namespace {plan.netns}" if plan.netns else "")
                raise BedError(f"{service} cannot listen on {where}: {why.strerror}") from why


def start(plan: Plan, service: str, environment: Path) -> None:
    """Start the process of a service, in the calling thread's network namespace."""
    plan.ready(service).unlink(missing_ok=True)
    python = environment / "bin/python"
    # the services reach each other directly; and what they import is compiled once, not at every start
    settings = {key: value for key, value in os.environ.items() if key not in UNWANTED and key.lower() not in UNWANTED}
    settings |= {"PYTHONPATH": str(HERE), "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}
    log = os.open(plan.log(service), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    pid = os.posix_spawn(
        python,
        [str(python), "-m", f"devcloud.{service}", str(plan.state)],
        settings,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ],
        setsid=True,
    )
    os.close(log)
    plan.pid(service).write_text(f"{pid} {_began(pid)}\n")


def running(plan: Plan, service: str) -> int:
    """The pid of the service's process, 0 if there is none; a pid that went to somebody else does not count."""
    try:
        pid, began = plan.pid(service).read_text().split()
    except (OSError, ValueError):
        return 0
    return int(pid) if _began(int(pid)) == began else 0


def answers(plan: Plan, service: str) -> bool:
    """The process runs and is ready, and its API answers."""
    return bool(running(plan, service)) and plan.ready(service).exists() and api.responds(plan.url(service, "/"))


def wait_until_ready(plan: Plan, service: str) -> None:
    """Wait until the service takes requests.

    Raises:
        BedError: it ended, or it did not within `START_PATIENCE`; with the last lines of its log.
    """
    end = time.monotonic() + START_PATIENCE
    while not answers(plan, service):
        if not running(plan, service):
            raise BedError(f"{service} ended while it started; {last_lines(plan, service)}")
        if time.monotonic() > end:
            raise BedError(f"{service} did not answer within {START_PATIENCE:.0f} s; {last_lines(plan, service)}")
        time.sleep(0.05)


def stop(plan: Plan, services: Iterable[str]) -> None:
    """Stop these services, first by asking; return when they are gone."""
    pids = {service: pid for service in services if (pid := running(plan, service))}
    for pid in pids.values():
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + STOP_PATIENCE
    while left := [service for service in pids if running(plan, service)]:
        if time.monotonic() > end:
            for service in left:
                os.kill(pids[service], signal.SIGKILL)
            end = float("inf")
        time.sleep(0.02)
    for service in pids:
        plan.pid(service).unlink(missing_ok=True)
        plan.ready(service).unlink(missing_ok=True)


def last_lines(plan: Plan, service: str, count: int = 25) -> str:
    """The end of the service's log, with its name, for an error."""
    path = plan.log(service)
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return f"the end of {path}:\n" + "\n".join(lines[-count:])


def resident_mib(pid: int) -> float:
    """Resident memory of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and the children that it has waited for, in seconds."""
    return sum(map(int, _stat(pid)[11:15])) / os.sysconf("SC_CLK_TCK")


def _began(pid: int) -> str:
    """When a process began, in ticks since the machine did; empty if it is gone or has ended."""
    with contextlib.suppress(ChildProcessError):
        # a child of ours that has ended would stay as a zombie
        os.waitpid(pid, os.WNOHANG)
    try:
        fields = _stat(pid)
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _stat(pid: int) -> list[str]:
    """The fields of proc(5)'s stat from the third on, "state"."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
