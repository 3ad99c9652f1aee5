"""Makes, checks and grows the file systems on volumes, and never harms one.

A disk is formatted only when it is provably empty: `blkid` finds no signature of anything (no file system, no partition
table, no LVM, RAID or LUKS), its first and last MiB hold nothing but zeros, and the kernel does not use it; or when all
that it holds is this volume's own format that was cut off (see `blank`). Whatever else is there is refused with its
name, and stays. So a volume that an earlier owner's data shows through needs a person who looks at it; the other way
round, data would be lost.

A check or a format that has begun is not cut off by the caller's deadline, for that would leave half of one behind: the
kubelet's next call finds it under way, and the one after finds it done.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Mapping
from pathlib import Path

from openstack_csi.errors import FailedPrecondition, unknown_key
from openstack_csi.host import blank
from openstack_csi.host.devices import Device, in_use
from openstack_csi.host.run import Run

log = logging.getLogger(__name__)

DEFAULT = "ext4"
EXT = ("ext2", "ext3", "ext4")

_PROBE_SECONDS, _LONG_SECONDS = 30.0, 1800.0
_MIB = 1024**2
_LEAST_GROWTH = 64 * _MIB  # Cinder grows by GiB; what mkfs leaves unused at the end of a disk is far less

_NOTHING_FOUND, _CONTRADICTING = 2, 8  # exit codes of blkid(8)
_CORRECTED, _UNCORRECTED = (1, 2, 3), 4  # exit codes of e2fsck(8), a set of bits

# No discard: the disk is empty already, and trimming a large thin volume takes minutes. No -F and no -f: the tools'
# own refusals (mounted, signature found) stay in force. ext reserves no blocks for root: these are no system disks.
_MKFS: Mapping[str, tuple[str, ...]] = {
    "ext2": ("mkfs.ext2", "-q", "-m", "0", "-E", "nodiscard"),
    "ext3": ("mkfs.ext3", "-q", "-m", "0", "-E", "nodiscard"),
    "ext4": ("mkfs.ext4", "-q", "-m", "0", "-E", "nodiscard"),
    "xfs": ("mkfs.xfs", "-q", "-K"),
}


def check_type(fs_type: str) -> None:
    """Raise InvalidArgument for a file system that is not offered; empty means that it is left to us."""
    if fs_type and fs_type not in _MKFS:
        raise unknown_key("file system", fs_type, _MKFS)


class Filesystems:
    """What is on the disks. `run` starts the tools."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def probe(self, device: Path) -> str | None:
        """What is on the disk: "ext4", "xfs", "LVM2_member", "partition table (gpt)" …; None when nothing was found.

        Raises FailedPrecondition when signatures contradict each other, or blkid fails.
        """
        done = self._run(
            ["blkid", "-p", "-o", "export", str(device)], _PROBE_SECONDS, ok_codes=(0, _NOTHING_FOUND, _CONTRADICTING)
        )
        if done.code == _CONTRADICTING:
            raise FailedPrecondition(
                f"{device} carries signatures that contradict each other, so it is not touched",
                hint="Look at it with `wipefs`, and remove by hand what does not belong there.",
            )
        if done.code == _NOTHING_FOUND:
            return None
        found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        if found.get("TYPE"):
            return found["TYPE"]
        return f"partition table ({found['PTTYPE']})" if found.get("PTTYPE") else "something that blkid cannot name"

    def be_formatted(self, device: Device, volume_id: str, fs_type: str, *, read_only: bool = False) -> str:
        """The disk has a file system of that type.

        Args:
            device: the disk, proven to be the volume.
            volume_id: the volume.
            fs_type: the wanted type; empty takes whatever is there, and ext4 on an empty disk.
            read_only: the volume may not be written, so nothing is made.

        Returns: the file system's type.

        Raises:
            FailedPrecondition: something else is there, or it is not provably empty; it was not touched.
            InvalidArgument: the type is not offered.
        """
        check_type(fs_type)
        found = self.probe(device.path)
        if not read_only and blank.is_unfinished(device, volume_id, found):
            log.info("format begun anew", extra={"volume": volume_id, "device": str(device.path)})
            return self._format(device, volume_id, fs_type or DEFAULT)
        if found is not None:
            if found == fs_type or (not fs_type and found in _MKFS):
                return found
            raise FailedPrecondition(
                f"{device.path} holds {found}, not {fs_type or DEFAULT}, and is not formatted",
                hint="Use the volume with what is on it, or with volumeMode Block.",
            )
        if read_only:
            raise FailedPrecondition(f"{device.path} has no file system, and the volume may only be read")
        if not blank.is_blank(device):
            raise FailedPrecondition(
                f"{device.path} holds data of an unknown kind, so it is not formatted",
                hint="If nobody needs it, overwrite its first and last MiB with zeros, or make a new claim.",
            )
        return self._format(device, volume_id, fs_type or DEFAULT)

    def be_checked(self, device: Path, fs_type: str) -> None:
        """An ext file system is consistent: its journal is replayed, and what is safe to repair is repaired.

        XFS replays its journal when it is mounted and has no check to run before. Raises FailedPrecondition with the
        words of e2fsck when a person has to decide.
        """
        if fs_type not in EXT:
            return
        done = self._run(["e2fsck", "-p", str(device)], _LONG_SECONDS, ok_codes=(0, *_CORRECTED, _UNCORRECTED))
        if done.code == _UNCORRECTED:
            said = " ".join((done.stdout + done.stderr).split())
            raise FailedPrecondition(
                f"the {fs_type} on {device} has errors that are not repaired without asking: {said}",
                hint="Take a snapshot of the volume, then run e2fsck on it by hand.",
            )

    def be_grown(self, device: Device, fs_type: str, mount_point: Path) -> None:
        """The mounted file system fills its disk; nothing is started when it does already.

        Raises ToolFailed with the words of resize2fs or xfs_growfs.
        """
        if device.size_bytes - size_of(device.path, fs_type) < _LEAST_GROWTH:
            return
        if fs_type == "xfs":
            self._run(["xfs_growfs", str(mount_point)], _LONG_SECONDS)
        else:
            self._run(["resize2fs", str(device.path)], _LONG_SECONDS)

    def _format(self, device: Device, volume_id: str, fs_type: str) -> str:
        if in_use(device.path):
            raise FailedPrecondition(f"{device.path} is used by the kernel, so it is not formatted")
        blank.be_marked(device, volume_id)
        self._run([*_MKFS[fs_type], str(device.path)], _LONG_SECONDS)
        blank.be_unmarked(device, volume_id)
        return fs_type


def size_of(device: Path, fs_type: str) -> int:
    """The bytes that the file system on the disk spans, from its superblock.

    ext: s_log_block_size, s_blocks_count_lo and _hi (the kernel's ext4/super.rst); XFS: sb_blocksize and sb_dblocks.
    """
    with device.open("rb", buffering=0) as disk:
        head = blank.read_all(disk.fileno(), 0, 4096)
    if fs_type == "xfs":
        block, blocks = struct.unpack_from(">IQ", head, 4)
        return int(block * blocks)
    low, log_block = struct.unpack_from("<I16xI", head, 1024 + 4)
    incompatible, high = struct.unpack_from("<I", head, 1024 + 0x60)[0], struct.unpack_from("<I", head, 1024 + 0x150)[0]
    is_64bit = bool(incompatible & 0x80)
    return int((low + (high << 32 if is_64bit else 0)) * (1024 << log_block))
