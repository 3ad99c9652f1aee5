"""The four states of a volume on a node, each made idempotently: staged, published, unpublished, unstaged.

*Staged*: the disk is found and proven; for a mounted volume its file system is made if the disk is provably empty,
checked, mounted at the staging path and grown to its disk. *Published*: the staged file system, or the disk itself, is
bound to the pod's path. Nothing is remembered between calls: what is there is read from the kernel each time, so a
power cut, a driver that was killed or a second call all find the same answers.

A volume whose access mode only reads is never written: not formatted, not repaired, its journal not replayed
(`noload`, `norecovery`), and the kernel is told to refuse writes to its disk, which protects raw block too. `read_only`
of one pod makes that pod's mount read-only; for raw block the container runtime enforces it, by the device rule that
the kubelet gives it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from openstack_csi.errors import FailedPrecondition, InvalidArgument, NotFound
from openstack_csi.host import stats
from openstack_csi.host.devices import Device, Devices, be_write_protected, in_use
from openstack_csi.host.filesystems import Filesystems, check_type
from openstack_csi.host.mounts import Mounts
from openstack_csi.host.run import Runner, ToolFailed
from openstack_csi.model import AccessMode, AccessType, Capability

log = logging.getLogger(__name__)

_READERS = (AccessMode.SINGLE_NODE_READER_ONLY, AccessMode.MULTI_NODE_READER_ONLY)
_NO_REPLAY = {"ext3": "noload", "ext4": "noload", "xfs": "norecovery"}  # ext2 has no journal


@dataclass(frozen=True)
class Volumes:
    """The volumes of this node."""

    devices: Devices
    filesystems: Filesystems
    mounts: Mounts

    @classmethod
    def of(cls, kubelet_dir: Path, *, run: Runner | None = None, clock: Callable[[], float] = monotonic) -> Volumes:
        """The volumes of the real machine, below the kubelet's directory."""
        run, devices = run or Runner(), Devices(clock=clock)
        return cls(devices, Filesystems(run), Mounts(run, devices, kubelet_dir))

    def be_staged(
        self, volume_id: str, staging: str, capability: Capability, deadline: float, least_bytes: int
    ) -> None:
        """The volume is ready on this node (NodeStageVolume).

        Args:
            volume_id: the Cinder volume's id.
            staging: the staging path, inside the kubelet's directory.
            capability: how it will be used.
            deadline: time of the clock until which to wait for the disk.
            least_bytes: the disk must be at least so large; 0 when that is not known.

        Raises: DeadlineExceeded (no disk), FailedPrecondition (foreign data, other mount, errors on the disk),
            AlreadyExists (staged for another kind of access), InvalidArgument.
        """
        target = self.mounts.checked(staging)
        check_type(capability.fs_type)
        device = self.devices.await_found(volume_id, deadline)
        if device.size_bytes < least_bytes:
            raise FailedPrecondition(
                f"{device.path} has {device.size_bytes} bytes, but volume {volume_id} has {least_bytes}",
                hint="The disk was not yet resized in the guest, or is another one.",
            )
        if capability.access_type is AccessType.BLOCK:
            if not in_use(device.path):
                be_write_protected(device.path, capability.access_mode in _READERS)
            return
        self._be_mounted(volume_id, device, target, capability)

    def be_unstaged(self, staging: str) -> None:
        """Nothing of the volume is mounted at the staging path (NodeUnstageVolume); the path is the kubelet's."""
        self.mounts.be_unmounted(self.mounts.checked(staging))

    def be_published(
        self, volume_id: str, staging: str, target_path: str, capability: Capability, read_only: bool
    ) -> None:
        """The staged volume is at the pod's path (NodePublishVolume).

        Raises: FailedPrecondition (not staged, or the staging path holds something else), AlreadyExists (it is there
            with other access), InvalidArgument.
        """
        source, target = self.mounts.checked(staging), self.mounts.checked(target_path)
        device = self.devices.find(volume_id)
        if device is None:
            raise FailedPrecondition(f"volume {volume_id} is not attached to this node")
        if capability.access_type is AccessType.BLOCK:
            self.mounts.be_bound(device.path, target, read_only)
            return
        staged = self.mounts.at(source)
        if staged is None or staged.number != device.number:
            holds = f"holds {staged.source}" if staged else "is not a mount"
            raise FailedPrecondition(f"volume {volume_id} is not staged: {source} {holds}")
        self.mounts.be_bound(source, target, read_only or capability.access_mode in _READERS)

    def be_unpublished(self, target_path: str) -> None:
        """Nothing is at the pod's path, the path included (NodeUnpublishVolume)."""
        target = self.mounts.checked(target_path)
        self.mounts.be_unmounted(target)
        self.mounts.be_absent(target)

    def usage(self, volume_path: str) -> stats.Stats:
        """How full the volume is that is staged or published at the path. Raises NotFound, Unavailable."""
        try:
            path = self.mounts.checked(volume_path)
        except InvalidArgument as e:
            raise NotFound(f"no volume is published at {volume_path}: {e.message}") from e
        if self.mounts.at(path) is None:
            raise NotFound(f"no volume is published at {path}")
        return stats.usage(path)

    def _be_mounted(self, volume_id: str, device: Device, target: Path, capability: Capability) -> None:
        reads_only = capability.access_mode in _READERS
        read_only = reads_only or "ro" in capability.mount_flags
        # Only a disk that nobody uses may be checked or protected: another staging of it may still be mounted.
        unused = self.mounts.at(target) is None and not in_use(device.path)
        if unused:
            be_write_protected(device.path, reads_only)
        fs_type = self.filesystems.be_formatted(device, volume_id, capability.fs_type, read_only=read_only)
        if unused and not read_only:
            self.filesystems.be_checked(device.path, fs_type)
        flags = [*capability.mount_flags]
        if reads_only:
            flags += ["ro", *([_NO_REPLAY[fs_type]] if fs_type in _NO_REPLAY else [])]
        self._mount(device, target, fs_type, list(dict.fromkeys(flags)))
        if not read_only:
            self.filesystems.be_grown(device, fs_type, target)

    def _mount(self, device: Device, target: Path, fs_type: str, flags: list[str]) -> None:
        try:
            self.mounts.be_mounted(device, target, fs_type, flags)
        except ToolFailed:
            if fs_type != "xfs" or "nouuid" in flags:
                raise
            # A clone of a volume whose XFS is mounted on this kernel, perhaps in another namespace, is refused for
            # its UUID. Only the kernel knows all of those, so it is asked first.
            self.mounts.be_mounted(device, target, fs_type, [*flags, "nouuid"])
            log.info("mounted with nouuid", extra={"device": str(device.path)})
