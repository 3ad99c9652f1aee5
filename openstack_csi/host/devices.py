"""Finds the disk that an attached volume became, and proves that it is that volume.

OpenStack names no reliable device path: the hypervisor gives the disk a serial, which is the volume's id, often cut to
20 characters. udev turns it into names in /dev/disk/by-id; the kernel shows it in sysfs. Both are looked at, and where
sysfs has a serial it has the last word, for a link may still be that of the disk that was unplugged a moment ago. A
disk without any serial in sysfs (a loop device, some paravirtual ones) is proven by its link alone.

Waiting is by inotify on the links' directory with a slow tick for what only sysfs shows. SCSI hosts are rescanned once,
after a first look found nothing.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import stat
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from openstack_csi.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument
from openstack_csi.host.inotify import Changes, Watch

log = logging.getLogger(__name__)

_SERIAL_LENGTH = 20  # characters that virtio-blk and QEMU's SCSI disks keep of a serial
_SECTOR = 512  # bytes; the unit of sysfs `size`, whatever the disk's own sector
_TICK = 1.0  # seconds between looks at sysfs, which sends no inotify events
_BLKROSET, _BLKROGET = 0x125D, 0x125E  # linux/fs.h
_VOLUME_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Device:
    """A disk of this machine.

    `number` is "major:minor" as in /proc/self/mountinfo and /sys/dev/block. `size_bytes` is the disk's own size.
    """

    path: Path
    number: str
    size_bytes: int


def link_names(volume_id: str) -> list[str]:
    """The names in /dev/disk/by-id that the volume may have, the usual ones first."""
    short = volume_id[:_SERIAL_LENGTH]
    names = (
        f"virtio-{short}",
        f"virtio-{volume_id}",
        f"scsi-0QEMU_QEMU_HARDDISK_{short}",
        f"scsi-0QEMU_QEMU_HARDDISK_{volume_id}",
        f"scsi-SQEMU_QEMU_HARDDISK_{volume_id}",
        f"wwn-0x{volume_id.replace('-', '')}",
    )
    return list(dict.fromkeys(names))


def serial_is_of(serial: str, volume_id: str) -> bool:
    """Whether a disk with this serial (or WWID) is the volume.

    A serial may be cut to 20 characters, lack the dashes, or stand behind a vendor's words. Ids too short to be told
    apart by a part of them must be equal.
    """
    if len(volume_id) < _SERIAL_LENGTH:
        return serial == volume_id
    return _bare(volume_id[:_SERIAL_LENGTH]) in _bare(serial)


def _bare(text: str) -> str:
    return text.replace("-", "").lower()


class Devices:
    """The disks of this node.

    Args:
        dev_root: where the device nodes and `disk/by-id` are.
        sys_root: where sysfs is.
        clock: seconds; deadlines are times of this clock.
        watch: makes the source of wake-ups for a directory.
        inspect: `os.stat`, for tests without root.
    """

    def __init__(
        self,
        dev_root: Path = Path("/dev"),
        sys_root: Path = Path("/sys"),
        *,
        clock: Callable[[], float] = time.monotonic,
        watch: Callable[[Path], Changes] = Watch,
        inspect: Callable[[Path], os.stat_result] = os.stat,
    ) -> None:
        self._dev = dev_root
        self._links = dev_root / "disk" / "by-id"
        self._sys = sys_root
        self._clock = clock
        self._watch = watch
        self._inspect = inspect

    def find(self, volume_id: str) -> Device | None:
        """The volume's disk as it is now, None while it cannot be seen. Raises InvalidArgument for what is no id."""
        if not _VOLUME_ID.fullmatch(volume_id):
            raise InvalidArgument(f'"{volume_id}" is not a volume id', hint="It must be the UUID of a Cinder volume.")
        return self._by_link(volume_id) or self._by_serial(volume_id)

    def await_found(self, volume_id: str, deadline: float) -> Device:
        """The volume's disk, as soon as it can be seen.

        Args:
            volume_id: the Cinder volume's id.
            deadline: time of the clock until which to wait.

        Raises:
            DeadlineExceeded: it cannot be seen yet.
            InvalidArgument: the id is none.
        """
        with self._watch(self._links) as changes:
            began, rescanned = self._clock(), False
            while (device := self.find(volume_id)) is None:
                if not rescanned:
                    self._rescan()
                    rescanned = True
                remaining = deadline - self._clock()
                if remaining <= 0:
                    raise DeadlineExceeded(
                        f"volume {volume_id} is attached but this node does not see it: no disk with that serial, and "
                        f"none of the usual names in {self._links}, for {self._clock() - began:.0f} s",
                        hint="Check that Nova shows the attachment and that udev runs on the node.",
                    )
                changes.wait(min(remaining, _TICK))
        return device

    def number_of(self, path: Path) -> str:
        """ "major:minor" of the device node at `path`, empty when there is none."""
        try:
            seen = self._inspect(path)
        except OSError:
            return ""
        return f"{os.major(seen.st_rdev)}:{os.minor(seen.st_rdev)}" if stat.S_ISBLK(seen.st_mode) else ""

    def exists(self, number: str) -> bool:
        """Whether the kernel still has a disk "major:minor"."""
        return (self._sys / "dev" / "block" / number).exists()

    def _by_link(self, volume_id: str) -> Device | None:
        for name in link_names(volume_id):
            link = self._links / name
            device = self._device(Path(os.path.realpath(link))) if link.is_symlink() else None
            if device is None:
                continue
            serials = self._serials(self._sys / "dev" / "block" / device.number)
            if not serials or any(serial_is_of(serial, volume_id) for serial in serials):
                return device
            log.info("stale link", extra={"volume": volume_id, "link": str(link), "serial": serials[0]})
        return None

    def _by_serial(self, volume_id: str) -> Device | None:
        for entry in sorted((self._sys / "block").glob("*")):
            if any(serial_is_of(serial, volume_id) for serial in self._serials(entry)):
                device = self._device(self._dev / entry.name)
                if device is not None:
                    return device
        return None

    def _device(self, path: Path) -> Device | None:
        number = self.number_of(path)
        size = _read(self._sys / "dev" / "block" / number / "size") if number else ""
        # A disk that is being plugged in, or whose medium is gone, has size 0: it is not there yet.
        return Device(path, number, int(size) * _SECTOR) if size.isdigit() and int(size) else None

    def _serials(self, entry: Path) -> list[str]:
        """What sysfs says of a disk: virtio's and NVMe's serial, SCSI's unit serial and WWID."""
        texts = [_read(entry / name) for name in ("serial", "device/serial", "device/wwid")]
        return [text for text in (*texts, _unit_serial(entry / "device" / "vpd_pg80")) if text]

    def _rescan(self) -> None:
        """Ask every SCSI host to look for new disks; virtio needs no asking."""
        for scan in (self._sys / "class" / "scsi_host").glob("*/scan"):
            try:
                scan.write_text("- - -")
            except OSError as e:
                log.debug("no rescan", extra={"host": scan.parent.name, "reason": str(e)})


def be_write_protected(device: Path, protected: bool) -> None:
    """Make the kernel refuse (or allow) every write to the disk on this node, raw block included (ioctl BLKROSET).

    Raises FailedPrecondition when the kernel does not let us protect it.
    """
    try:
        with device.open("rb") as disk:
            flag = struct.unpack("i", fcntl.ioctl(disk, _BLKROGET, struct.pack("i", 0)))[0]
            if bool(flag) != protected:
                fcntl.ioctl(disk, _BLKROSET, struct.pack("i", int(protected)))
    except OSError as e:
        if protected:
            raise FailedPrecondition(f"{device} cannot be protected from writes: {e.strerror}") from e
        log.info("disk stays read-only", extra={"device": str(device), "reason": str(e)})


def in_use(device: Path) -> bool:
    """Whether the kernel uses the disk: mounted in any namespace, swap, or part of a RAID or LVM.

    Raises FailedPrecondition when it cannot be opened at all.
    """
    try:
        # O_EXCL without O_CREAT on a block device fails with EBUSY when the kernel holds it (open(2)).
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as e:
        if e.errno == errno.EBUSY:
            return True
        raise FailedPrecondition(f"{device} cannot be opened: {e.strerror}") from e
    return False


def _read(path: Path) -> str:
    """The text of a sysfs file, empty when it has none; serials come padded."""
    try:
        return path.read_text(errors="replace").strip("\0 \n\t")
    except OSError:
        return ""


def _unit_serial(page: Path) -> str:
    """The serial in SCSI's vital product data page 0x80: behind four bytes of head (SPC-4, 7.8.15)."""
    try:
        return page.read_bytes()[4:].decode("ascii", errors="replace").strip("\0 ")
    except OSError:
        return ""
