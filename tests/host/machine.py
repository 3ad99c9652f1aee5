"""A machine of loop devices: what a hypervisor does to a node (attach, detach), on the real kernel.

Each attached volume is an image file behind a loop device, linked under the name that a guest's udev would give it, in
a directory of the test's own. A machine that cannot do this skips, and says why.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from time import monotonic

from openstack_csi.host.devices import Devices, be_write_protected
from openstack_csi.host.filesystems import Filesystems
from openstack_csi.host.mounts import Mounts, parse
from openstack_csi.host.run import Runner
from openstack_csi.host.volumes import Volumes
from openstack_csi.model import AccessMode, AccessType, Capability

MIB = 1024**2
NEEDED = ("losetup", "mount", "umount", "blkid", "mkfs.ext4", "mkfs.xfs", "xfs_growfs", "e2fsck", "debugfs", "mkswap")

BLOCK = Capability(AccessType.BLOCK)
EXT4 = Capability(fs_type="ext4")
XFS = Capability(fs_type="xfs")


def reader(fs_type: str) -> Capability:
    return Capability(fs_type=fs_type, access_mode=AccessMode.MULTI_NODE_READER_ONLY)


def tool(*argv: str) -> str:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env={**os.environ, "PATH": path})
    return done.stdout.strip()


def why_not_here() -> str:
    if os.geteuid() != 0:
        return "needs root, for loop devices and mounts"
    missing = [name for name in NEEDED if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if missing:
        return f"needs the tools {', '.join(missing)} (e2fsprogs, xfsprogs, util-linux)"
    if not Path("/dev/loop-control").exists():
        return "needs /dev/loop-control (the kernel's loop devices)"
    return ""


class Machine:
    def __init__(self, root: Path) -> None:
        self.links = root / "dev" / "disk" / "by-id"
        self.kubelet = root / "kubelet"
        self.images = root / "images"
        for directory in (self.links, self.kubelet, self.images):
            directory.mkdir(parents=True)
        self.run = Runner()
        self.devices = Devices(dev_root=root / "dev")
        self.mounts = Mounts(self.run, self.devices, self.kubelet)
        self.volumes = Volumes(self.devices, Filesystems(self.run), self.mounts)
        self._loops: dict[str, str] = {}

    def attach(self, mib: int = 320, *, image: Path | None = None) -> str:
        """A new volume, empty or with the bytes of `image`, plugged in; its id."""
        volume_id = str(uuid.uuid4())
        file = self.image(volume_id)
        if image is not None:
            tool("cp", "--sparse=always", str(image), str(file))
        with file.open("ab") as disk:
            disk.truncate(mib * MIB)
        self._loops[volume_id] = tool("losetup", "--find", "--show", str(file))
        (self.links / f"virtio-{volume_id[:20]}").symlink_to(self._loops[volume_id])
        return volume_id

    def grow(self, volume_id: str, mib: int) -> None:
        with self.image(volume_id).open("ab") as disk:
            disk.truncate(mib * MIB)
        tool("losetup", "--set-capacity", self._loops[volume_id])

    def image(self, volume_id: str) -> Path:
        return self.images / volume_id

    def disk(self, volume_id: str) -> Path:
        return Path(self._loops[volume_id])

    def content(self, volume_id: str) -> str:
        """A fingerprint of every byte of the volume."""
        tool("sync", self._loops[volume_id])
        with self.image(volume_id).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def staging(self, volume_id: str) -> Path:
        """The staging path, whose parents the kubelet has made."""
        path = self.kubelet / "plugins/kubernetes.io/csi/cinder.csi.openstack.org" / volume_id / "globalmount"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def target(self, volume_id: str, pod: str = "pod") -> Path:
        """The pod's path, of which the kubelet has made all but the last part."""
        path = self.kubelet / "pods" / pod / "volumes/kubernetes.io~csi" / volume_id / "mount"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def stage(self, volume_id: str, capability: Capability = EXT4, least_bytes: int = 0) -> Path:
        path = self.staging(volume_id)
        self.volumes.be_staged(volume_id, str(path), capability, monotonic() + 5, least_bytes)
        return path

    def publish(
        self, volume_id: str, capability: Capability = EXT4, *, read_only: bool = False, pod: str = "pod"
    ) -> Path:
        path = self.target(volume_id, pod)
        self.volumes.be_published(volume_id, str(self.staging(volume_id)), str(path), capability, read_only)
        return path

    def unpublish(self, volume_id: str, pod: str = "pod") -> None:
        self.volumes.be_unpublished(str(self.target(volume_id, pod)))

    def unstage(self, volume_id: str) -> None:
        self.volumes.be_unstaged(str(self.staging(volume_id)))

    def formatted(self, capability: Capability = EXT4, *, mib: int = 320) -> str:
        """A volume that a pod has used before: it holds the file "kept"."""
        volume_id = self.attach(mib)
        (self.stage(volume_id, capability) / "kept").write_text("data")
        self.unstage(volume_id)
        return volume_id

    def mounted_here(self) -> list[Path]:
        return [mount.point for mount in self.mounts.table() if self.kubelet in mount.point.parents]

    def tear_down(self) -> None:
        root = self.kubelet.parent
        table = parse(Path("/proc/self/mountinfo").read_text())
        for mount in reversed([mount for mount in table if root in mount.point.parents]):
            tool("umount", str(mount.point))
        for loop in self._loops.values():
            be_write_protected(Path(loop), False)
            tool("losetup", "--detach", loop)
