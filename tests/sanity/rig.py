"""A controller and a node of the driver as real processes, and csi-sanity run against the two.

The node has a mount namespace of its own, in which the server's disks are at /dev/disk/by-id; csi-sanity runs in that
namespace too, for it looks at what the node mounted. All mounts end with the namespace.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from openstack_csi.model import GIB
from tests.contract.site import Site
from tests.testbed.layout import CHECKOUT

BY_ID = Path("/dev/disk/by-id")
START_SECONDS = 30.0
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Report:
    """What csi-sanity found, by the full names of its cases; a failed one with its words. A case that csi-sanity itself
    has switched off ("pending") counts as skipped."""

    passed: Sequence[str]
    failed: Mapping[str, str]
    skipped: Sequence[str]


class Rig:
    """The two roles, for one server of a cloud; they run while the context lasts."""

    def __init__(self, site: Site, server: str, links: Path, folder: Path) -> None:
        self.cluster = f"sanity-{uuid.uuid4()}"
        self.folder = folder
        self._site = site
        self._server = server
        self._links = links
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Rig:
        (self.folder / "kubelet" / "pods").mkdir(parents=True)
        (self.folder / "kubelet" / "staging").mkdir()
        try:
            self._start_controller()
            self._start_node()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        codes = self._stop()
        if error is None:
            assert set(codes.values()) == {0}, f"a role did not end well: {codes}; see {self.folder}"

    def sanity(self, program: Path, access_type: str) -> Report:
        """Run csi-sanity once, with volumes that are used as `mount` or as `block`."""
        report = self.folder / f"report-{access_type}.json"
        node = self._processes["node"].pid
        argv = [
            *("nsenter", f"--mount=/proc/{node}/ns/mnt", "--"),
            *(str(program), f"--csi.endpoint={self.folder / 'node.sock'}"),
            f"--csi.controllerendpoint={self.folder / 'controller.sock'}",
            f"--csi.mountdir={self.folder / 'kubelet/pods/mount'}",
            f"--csi.stagingdir={self.folder / 'kubelet/staging/mount'}",
            f"--csi.testvolumesize={GIB}",
            f"--csi.testvolumeaccesstype={access_type}",
            "--csi.testnodevolumeattachlimit",
            f"--ginkgo.json-report={report}",
            "--ginkgo.no-color",
        ]
        log = self.folder / f"sanity-{access_type}.log"
        with log.open("w") as out:
            done = subprocess.run(argv, stdout=out, stderr=subprocess.STDOUT, cwd=self.folder, check=False)
        assert report.exists(), f"csi-sanity ended with {done.returncode}: {log.read_text()[-2000:]}"
        return read(report)

    def words(self) -> str:
        """The last lines that the roles logged."""
        return "\n".join(f"--- {log.name}\n{log.read_text()[-4000:]}" for log in sorted(self.folder.glob("*.log")))

    def _start_controller(self) -> None:
        self._start(
            "controller",
            f"--clouds-file={self._site.clouds_file}",
            "--cloud=demo",
            f"--cluster-id={self.cluster}",
            "--watchers=",
        )

    def _start_node(self) -> None:
        BY_ID.mkdir(parents=True, exist_ok=True)
        self._start(
            "node",
            f"--node-id={self._server}",
            "--zone=az1",
            f"--max-volumes={self._site.max_disks - 1}",
            f"--kubelet-dir={self.folder / 'kubelet'}",
            "--no-registration",
            # The shell and unshare become the node, so that its pid is the one that is known here.
            before=("unshare", "--mount", "sh", "-c", f'mount --bind {self._links} {BY_ID} && exec "$@"', "node"),
        )

    def _start(self, role: str, *flags: str, before: Sequence[str] = ()) -> None:
        socket_path = self.folder / f"{role}.sock"
        argv = [
            *before,
            *(sys.executable, "-m", "openstack_csi", role),
            f"--endpoint={socket_path}",
            "--http-endpoint=",
            *flags,
        ]
        with (self.folder / f"{role}.log").open("w") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=CHECKOUT, env=_environment())
        self._processes[role] = process
        deadline = time.monotonic() + START_SECONDS
        while not answers(socket_path):
            assert process.poll() is None, f"the {role} ended: {self.words()}"
            assert time.monotonic() < deadline, f"the {role} does not serve: {self.words()}"
            time.sleep(0.05)

    def _stop(self) -> dict[str, int]:
        for process in self._processes.values():
            process.terminate()
        codes = {}
        for role, process in self._processes.items():
            try:
                codes[role] = process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[role] = process.wait()
        return codes


def answers(path: Path) -> bool:
    """Whether somebody listens at a unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def read(path: Path) -> Report:
    """Ginkgo's JSON report."""
    passed: list[str] = []
    failed: dict[str, str] = {}
    skipped: list[str] = []
    for suite in json.loads(path.read_text()):
        for spec in suite["SpecReports"] or ():
            if spec["LeafNodeType"] != "It":
                continue
            name = " ".join([*(spec["ContainerHierarchyTexts"] or ()), spec["LeafNodeText"]])
            if spec["State"] == "passed":
                passed.append(name)
            elif spec["State"] in ("skipped", "pending"):
                skipped.append(name)
            else:
                failed[name] = f"{spec['State']}: {(spec.get('Failure') or {}).get('Message', '')}"
    return Report(passed, failed, skipped)


def _environment() -> dict[str, str]:
    """Ours, without what would set a flag of the roles."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("OPENSTACK_CSI_", "OS_"))}
