"""A node from outside: started, cut off, entered, given images.

It runs under `unshare --kill-child`: killing that one process kills the node's first process and, with it, the node.
"""

import hashlib
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import control_plane, network
from .builds import programs
from .errors import BedError
from .images import Archive
from .layout import Layout, node_namespace
from .node_config import NodeSpec, be_written, first_process
from .pki import Authority
from .processes import Processes, first_child, run, succeeds, wait_until
from .progress import Say

UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--uts", "--propagation=private", "--kill-child=SIGKILL")
LOOPS = Path("/sys/block")


@dataclass(frozen=True)
class Node:
    """node-`index` of the bed."""

    layout: Layout
    processes: Processes
    index: int

    @property
    def name(self) -> str:
        return f"node-{self.index}"

    @property
    def pid(self) -> int | None:
        """The node's first process, None when the node is off."""
        outer = self.processes.alive(self.name)
        return first_child(outer) if outer else None

    def be(self, spec: NodeSpec) -> None:
        """Write down what the node is. A node that is there, but as another server, is switched off and forgotten."""
        server = self.layout.node(self.name) / "server"
        if server.exists() and server.read_text() != spec.server_id:
            self.cut_power()
            run(control_plane.kubectl(self.layout, "delete", "node", self.name, "--ignore-not-found"))
        authority = Authority(self.layout.pki)
        authority.issue(self.name, f"system:node:{self.name}", group="system:nodes")
        authority.kubeconfig(self.name, self.layout.kubeconfig_of(self.name))
        be_written(self.layout, spec, programs(self.layout))
        server.write_text(spec.server_id)

    def start(self) -> None:
        """Switch the node on; it is not waited for."""
        if self.processes.alive(self.name):
            return
        self._release_loops()
        if self.index > 1:
            network.node_be_there(self.index)
        path = f"{self.layout.containerd}:{os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}"
        command = network.entered(node_namespace(self.index), [*UNSHARE, *first_process(self.layout, self.name)])
        self.processes.start(self.name, command, os.environ | {"PATH": path})

    def be_ready(self, say: Say) -> None:
        """Wait until the kubelet answers and the node is Ready.

        A Node object may be there, and even say Ready, from before a power cut: so its kubelet is asked too.
        """
        logs = f"see {self.layout.logs}/{self.name}*.log"
        answers = control_plane.kubectl(self.layout, "get", "--raw", f"/api/v1/nodes/{self.name}/proxy/healthz")
        wait_until(f"the kubelet of {self.name}", lambda: succeeds(answers), 60, say=say, hint=logs)
        ready = ["wait", "--for=condition=Ready", "--timeout=1s", f"node/{self.name}"]
        is_ready = control_plane.kubectl(self.layout, *ready)
        wait_until(f"{self.name} to be Ready", lambda: succeeds(is_ready), 60, say=say, hint=logs)

    def cut_power(self) -> None:
        """Switch the node off, hard: nothing in it is told."""
        first = self.pid
        self.processes.stop(self.name, signal.SIGKILL)
        if first:
            wait_until(f"the end of {self.name}", lambda: not Path(f"/proc/{first}").exists(), 10, every=0.02)
        self._release_loops()

    def restart_service(self, name: str, say: Say) -> None:
        """End one of the node's programs; the first process starts it again after a second."""
        recorded = self.layout.node(self.name) / "pids" / name
        old = recorded.read_text()
        self.execute(["kill", "-TERM", old.strip()])
        wait_until(f"{name} of {self.name} to start again", lambda: recorded.read_text() not in ("", old), 30, say=say)

    def entered(self, argv: Sequence[str | Path]) -> list[str]:
        """The command that runs `argv` in the node's mount, pid, network and UTS namespaces."""
        first = self.pid
        if first is None:
            raise BedError(f"{self.name} is off")
        return ["nsenter", f"--target={first}", "--mount", "--pid", "--net", "--uts", "--", *map(str, argv)]

    def execute(self, argv: Sequence[str | Path], stdin: str | None = None) -> str:
        return run(self.entered(argv), stdin=stdin)

    def has(self, archive: Archive) -> bool:
        """Whether this very archive was imported last under its reference."""
        marker = self._marker(archive)
        return marker.exists() and marker.read_text() == archive.path.name

    def be_given(self, archives: Sequence[Archive], say: Say) -> None:
        """Import the image archives that the node does not have."""
        lacks = [archive for archive in archives if not self.has(archive)]
        if not lacks:
            return
        ctr = self.layout.containerd / "ctr"
        hint = f"see {self.layout.logs}"
        wait_until(f"containerd of {self.name}", lambda: self._answers(ctr), 60, say=say, hint=hint)
        for archive in lacks:
            say(f"importing {archive.reference} into {self.name}")
            self.execute(
                [
                    ctr,
                    "-n",
                    "k8s.io",
                    "images",
                    "import",
                    "--local",
                    "--snapshotter=overlayfs",
                    "--discard-unpacked-layers",
                    archive.path,
                ]
            )
            marker = self._marker(archive)
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.write_text(archive.path.name)

    def _answers(self, ctr: Path) -> bool:
        if not self.processes.alive(self.name):
            raise BedError(f"{self.name} ended, see {self.processes.log(self.name)}")
        return self.pid is not None and succeeds(self.entered([ctr, "version"]))

    def _marker(self, archive: Archive) -> Path:
        name = hashlib.sha256(archive.reference.encode()).hexdigest()[:16]
        return self.layout.node_store(self.name) / "imported" / name

    def _release_loops(self) -> None:
        """Detach the loop devices that a kubelet made for raw block volumes: they are the machine's, and outlive a cut.

        Seen from here their file is named from the root of the mount that it is on, the kubelet's folder.
        """
        kubelet = self.layout.node(self.name) / "var/lib/kubelet"
        for entry in LOOPS.glob("loop*/loop/backing_file"):
            try:
                backing = entry.read_text().strip().removesuffix(" (deleted)").removeprefix(str(kubelet))
            except OSError:
                continue
            if backing.startswith("/plugins/") and (kubelet / backing.lstrip("/")).exists():
                device = f"/dev/{entry.parents[1].name}"
                subprocess.run(["losetup", "--detach", device], check=False, capture_output=True)
