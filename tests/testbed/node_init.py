"""The first process of a node: lays out the node's mounts, then keeps its services running, as systemd would.

Run as `python3 node_init.py PLAN` in network, mount, pid and UTS namespaces of the node's own; node.py writes the plan.
When this process dies, the kernel kills everything in the pid namespace, containers too, and drops the mounts with the
mount namespace: that is the node's power cut.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")  # those that a kubelet asks for
RESTART_SECONDS = 1.0
RUNTIME_SECONDS = 60.0


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    socket.sethostname(plan["name"])
    mounts_be_laid_out(plan)
    cgroups_be_fresh(Path(plan["cgroup"]))
    services = Services(plan)
    services.start("containerd")
    runtime_answers(plan["runtime"])
    for name in plan["services"]:
        if name != "containerd":
            services.start(name)
    services.be_kept()


def mounts_be_laid_out(plan: dict[str, Any]) -> None:
    """The node's own /proc, and its own folders at the usual paths."""
    mount("-t", "proc", "proc", "/proc")
    others_be_let_go()
    # The kubelet's folder must be on a shared mount for mounts made in a pod to reach the node. Some machines' root is
    # private; only this mount namespace's copy is changed.
    mount("--make-rshared", "/")
    for inside in plan["tmpfs"]:
        Path(inside).mkdir(parents=True, exist_ok=True)
        mount("-t", "tmpfs", "tmpfs", inside)
    for inside, outside in plan["binds"].items():
        for folder in (inside, outside):
            Path(folder).mkdir(parents=True, exist_ok=True)
        mount("--bind", outside, inside)
        # a stock Debian mounts /run, where the state is, without these
        mount("-o", "remount,bind,suid,dev,exec", inside)


def others_be_let_go() -> None:
    """Drop this namespace's copies of other programs' volumes and namespaces: they would keep both from their end."""
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        point, (kind, source) = line.split()[4], line.partition(" - ")[2].split()[:2]
        if kind == "nsfs" or (source.startswith("/dev/loop") and point != "/"):
            # one below another is gone with it
            subprocess.run(["umount", "--lazy", point], check=False, stderr=subprocess.DEVNULL)


def mount(*args: str) -> None:
    subprocess.run(["mount", *args], check=True)


def cgroups_be_fresh(cgroup: Path) -> None:
    """The node's control group below each hierarchy, without what a power cut left in it.

    A dead pod's group would be gone after a real reboot; here it stays, and costs the kubelet 3 s at its start.
    """
    for line in Path("/proc/mounts").read_text().splitlines():
        root, kind = Path(line.split()[1]), line.split()[2]
        if kind not in ("cgroup", "cgroup2"):
            continue
        group = root / cgroup.relative_to("/")
        for left, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):  # the group of a process that is still ending
                Path(left).rmdir()
        group.mkdir(parents=True, exist_ok=True)
        for folder in (root, group.parent, group):
            if kind == "cgroup2":
                controllers_be_passed_on(folder)
            elif folder != root:
                cpuset_be_filled(folder)


def controllers_be_passed_on(folder: Path) -> None:
    """In cgroup v2: offer the folder's controllers to those below it."""
    offered = (folder / "cgroup.controllers").read_text().split()
    for controller in set(CONTROLLERS) & set(offered):
        (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def cpuset_be_filled(folder: Path) -> None:
    """In cgroup v1: a new cpuset is empty, and takes no process until it is filled by hand."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (folder / name).exists():
            (folder / name).write_text((folder.parent / name).read_text())


def runtime_answers(path: str) -> None:
    """Wait for containerd's socket: a kubelet that finds none ends."""
    end = time.monotonic() + RUNTIME_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(path)
            return
        if time.monotonic() > end:
            sys.exit(f"containerd does not answer at {path} after {RUNTIME_SECONDS:.0f} s")
        time.sleep(0.05)


class Services:
    """The node's programs by their pid, each started again when it ends; and the reaper of every orphan."""

    def __init__(self, plan: dict[str, Any]):
        self._commands: dict[str, list[str]] = plan["services"]
        self._logs, self._pids = Path(plan["logs"]), Path(plan["pids"])
        self._names: dict[int, str] = {}
        self._pids.mkdir(parents=True, exist_ok=True)

    def start(self, name: str) -> None:
        with (self._logs / f"{os.uname().nodename}.{name}.log").open("a") as log:
            child = subprocess.Popen(self._commands[name], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._names[child.pid] = name
        (self._pids / name).write_text(f"{child.pid}\n")

    def be_kept(self) -> None:
        while True:
            pid, status = os.waitpid(-1, 0)
            name = self._names.pop(pid, None)
            if name:
                code = os.waitstatus_to_exitcode(status)
                print(f"{time.strftime('%T')} {name} ended with {code}; starting it again", flush=True)
                time.sleep(RESTART_SECONDS)
                self.start(name)


if __name__ == "__main__":
    main()
