"""Whether a disk is provably empty, and whether what it holds is only our own format that was cut off.

A format may be cut off by a power cut or by the end of the driver's container, and leaves something that is neither
empty nor a file system. So that this does not need a person, an empty disk is first marked: one block near its end,
where no mkfs writes, says that this very volume is being formatted. The mark is removed before the volume is first
mounted. A disk that bears it *and* has no file system that was ever used is begun anew; the mark alone is not enough,
for another driver may have mounted the volume in between.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openstack_csi.errors import FailedPrecondition
from openstack_csi.host.devices import Device

_MIB = 1024**2
_MARK_FROM_END = 512 * 1024  # bytes: inside of the MiB that was found empty, before the 128 KiB that mkfs wipes
_MARK_LENGTH = 4096


def mark(volume_id: str) -> bytes:
    """The block that says that this volume is being formatted."""
    return f"openstack-csi is formatting volume {volume_id}\n".encode().ljust(_MARK_LENGTH, b"\0")


def is_blank(device: Device) -> bool:
    """Whether the first and the last MiB are zeros. Raises FailedPrecondition when they cannot be read."""
    span = min(_MIB, device.size_bytes)
    with _opened(device.path, os.O_RDONLY) as disk:
        ends = read_all(disk, 0, span), read_all(disk, device.size_bytes - span, span)
    return not any(end.strip(b"\0") for end in ends)


def is_unfinished(device: Device, volume_id: str, found: str | None) -> bool:
    """Whether the disk holds nothing but a format of this volume that was cut off.

    Args:
        device: the disk.
        volume_id: whose mark it must bear.
        found: the file system that was found on it, None for nothing known.
    """
    return is_marked(device, volume_id) and (found is None or _never_used(device.path, found))


def is_marked(device: Device, volume_id: str) -> bool:
    """Whether the disk bears the mark of this volume's format."""
    with _opened(device.path, os.O_RDONLY) as disk:
        return read_all(disk, device.size_bytes - _MARK_FROM_END, _MARK_LENGTH) == mark(volume_id)


def be_marked(device: Device, volume_id: str) -> None:
    """The disk, which must be empty or marked already, is ready for mkfs: it bears the mark, and its start is zeros."""
    with _opened(device.path, os.O_WRONLY) as disk:
        os.pwrite(disk, mark(volume_id), device.size_bytes - _MARK_FROM_END)
        os.fsync(disk)
        os.pwrite(disk, bytes(min(_MIB, device.size_bytes - _MIB)), 0)
        os.fsync(disk)


def be_unmarked(device: Device, volume_id: str) -> None:
    """The disk does not bear the mark; a block that mkfs has used for something else is left alone."""
    if not is_marked(device, volume_id):
        return
    with _opened(device.path, os.O_WRONLY) as disk:
        os.pwrite(disk, bytes(_MARK_LENGTH), device.size_bytes - _MARK_FROM_END)
        os.fsync(disk)


def read_all(disk: int, offset: int, count: int) -> bytes:
    """Exactly `count` bytes. Raises OSError where the disk ends earlier."""
    pieces = bytearray()
    while len(pieces) < count:
        piece = os.pread(disk, count - len(pieces), offset + len(pieces))
        if not piece:
            raise OSError(None, "it ends early")
        pieces += piece
    return bytes(pieces)


def _never_used(device: Path, fs_type: str) -> bool:
    """Whether the file system was never mounted, or never completed.

    XFS: sb_inprogress, which mkfs clears last; ext: s_mtime, the time of the last mount (the kernel's
    ext4/super.rst).
    """
    with _opened(device, os.O_RDONLY) as disk:
        head = read_all(disk, 0, 4096)
    if fs_type == "xfs":
        return head[126] == 1
    return fs_type.startswith("ext") and struct.unpack_from("<I", head, 1024 + 0x2C)[0] == 0


@contextmanager
def _opened(device: Path, flags: int) -> Iterator[int]:
    """The disk's file descriptor; what goes wrong with it is told as FailedPrecondition."""
    try:
        disk = os.open(device, flags | os.O_CLOEXEC)
        try:
            yield disk
        finally:
            os.close(disk)
    except OSError as e:
        raise FailedPrecondition(f"{device} cannot be read or written: {e.strerror}") from e
