"""A node that stages 500 volumes: how much memory that takes, and how long one takes.

The node role is a process of its own, in a mount namespace of its own, where /dev/disk/by-id shows loop devices under
the names that a guest would see. The kubelet's calls are made here, over the socket: stage, publish, unpublish,
unstage, four volumes at a time.
"""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc

from openstack_csi.csi.pb import csi_pb2 as pb
from openstack_csi.csi.pb.csi_pb2_grpc import NodeStub
from tests.bench.figures import Book
from tests.bench.machine import MIB, cpu_seconds, memory_mib
from tests.bench.programs import Program, until

STAGINGS = 500
VOLUMES = 4
DISK_BYTES = 64 * MIB
RPC_SECONDS = 60.0

_MOUNT = pb.VolumeCapability(
    mount=pb.VolumeCapability.MountVolume(fs_type="ext4"),
    access_mode=pb.VolumeCapability.AccessMode(mode=pb.VolumeCapability.AccessMode.SINGLE_NODE_WRITER),
)
_BY_ID = "/dev/disk/by-id"


class NodeProgram(Program):
    """The node role as shipped, with the kubelet's folder and the disks of a scratch machine."""

    def __init__(self, folder: Path, disks: Mapping[str, str]) -> None:
        self.kubelet = folder / "kubelet"
        self.socket = folder / "node.sock"
        links = [f"ln -s {disk} {_BY_ID}/virtio-{volume[:20]}" for volume, disk in disks.items()]
        script = " && ".join([f"mount -t tmpfs disks {_BY_ID}", *links, 'exec "$@"'])
        flags = [
            f"--kubelet-dir={self.kubelet}", f"--endpoint={self.socket}", "--registration=false",
            f"--node-id={uuid.uuid4()}", "--zone=az1", "--max-volumes=25",
        ]  # fmt: skip
        apart = ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh"]
        super().__init__("node", ["openstack_csi", "node", *flags], before=apart)

    def start(self) -> None:
        """Start it; returns when it serves."""
        self.kubelet.mkdir()
        Path(_BY_ID).mkdir(parents=True, exist_ok=True)
        super().start()
        until(f"the node serves, see {self.log}", self._serves)

    def _serves(self) -> bool:
        self.check()
        return self.socket.exists()


def measure(folder: Path, book: Book) -> None:
    """Stage and publish volumes, and take them away, 500 times; then note the node's memory."""
    with (
        _disks(folder) as disks,
        NodeProgram(folder, disks) as node,
        grpc.insecure_channel(f"unix://{node.socket}") as channel,
        ThreadPoolExecutor(VOLUMES) as pool,
    ):
        stub = NodeStub(channel)
        book.add("memory of a fresh node", memory_mib(node.pid), "MiB")
        used = cpu_seconds(node.pid)
        rounds = [pool.submit(_rounds, stub, node.kubelet, volume) for volume in disks]
        seconds = [each for done in rounds for each in done.result()]
        book.add("CPU of a staging, without mkfs and fsck", (cpu_seconds(node.pid) - used) / len(seconds), "s")
        for each in seconds:
            book.add(f"stage and publish, {VOLUMES} at once", each, "s")
        book.add(f"memory of the node, {len(seconds)} stagings", memory_mib(node.pid), "MiB")


def _rounds(stub: NodeStub, kubelet: Path, volume: str) -> list[float]:
    """Stage, publish and take away one volume again and again; seconds until each was published."""
    staging = kubelet / "plugins/kubernetes.io/csi" / volume / "globalmount"
    target = kubelet / "pods" / volume / "volumes/kubernetes.io~csi/data/mount"
    staging.mkdir(parents=True)
    target.parent.mkdir(parents=True)
    seconds = []
    for _ in range(STAGINGS // VOLUMES):
        began = time.monotonic()
        stub.NodeStageVolume(
            pb.NodeStageVolumeRequest(
                volume_id=volume, staging_target_path=str(staging), volume_capability=_MOUNT,
                publish_context={"sizeBytes": str(DISK_BYTES)},
            ),
            timeout=RPC_SECONDS,
        )  # fmt: skip
        stub.NodePublishVolume(
            pb.NodePublishVolumeRequest(
                volume_id=volume, staging_target_path=str(staging), target_path=str(target), volume_capability=_MOUNT,
            ),
            timeout=RPC_SECONDS,
        )  # fmt: skip
        seconds.append(time.monotonic() - began)
        stub.NodeUnpublishVolume(
            pb.NodeUnpublishVolumeRequest(volume_id=volume, target_path=str(target)), timeout=RPC_SECONDS
        )
        stub.NodeUnstageVolume(
            pb.NodeUnstageVolumeRequest(volume_id=volume, staging_target_path=str(staging)), timeout=RPC_SECONDS
        )
    return seconds


@contextmanager
def _disks(folder: Path) -> Iterator[dict[str, str]]:
    """Empty loop devices, by the id of the volume that each plays."""
    disks: dict[str, str] = {}
    try:
        for _ in range(VOLUMES):
            volume = str(uuid.uuid4())
            image = folder / f"{volume}.img"
            with image.open("wb") as file:
                file.truncate(DISK_BYTES)
            disks[volume] = _losetup("--find", "--show", str(image))
        yield disks
    finally:
        for disk in disks.values():
            _losetup("--detach", disk)


def _losetup(*words: str) -> str:
    return subprocess.run(["losetup", *words], check=True, capture_output=True, text=True).stdout.strip()
