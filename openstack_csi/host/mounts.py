"""Puts file systems and disks where the kubelet wants them, and takes them away: each call states an end state.

The truth is /proc/self/mountinfo, read anew for every question: a kubelet or a driver that restarts, a power cut, an
administrator may all have changed it. Mounts may be stacked on one point (the last line is the one that is seen), and
a mount may outlive its disk; both are taken away like any other.

Paths come from outside. Each must lie inside the kubelet's directory, without `..` and without a symbolic link that
leads out of it. Nothing is ever removed recursively: what is removed is an empty directory or an empty file, and never
one that something is mounted on.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openstack_csi.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from openstack_csi.host.devices import Device, Devices
from openstack_csi.host.run import Run

_SECONDS = 110.0  # a mount may replay a journal, an unmount write back much; the kubelet waits two minutes
_OCTAL = re.compile(r"\\([0-7]{3})")
_DIRECTORY_MODE, _FILE_MODE = 0o750, 0o640
_DEVICE_FILE_SYSTEMS = ("devtmpfs", "tmpfs")  # what /dev is on, outside and inside of a container


@dataclass(frozen=True)
class Mount:
    """A line of /proc/self/mountinfo (proc(5)).

    `number` is the "major:minor" of the file system; `root` is what of it is mounted: "/" for all of it, the path of
    the bound directory or device node otherwise.
    """

    number: str
    root: str
    point: Path
    options: frozenset[str]
    fs_type: str
    source: str
    super_options: frozenset[str]

    @property
    def read_only(self) -> bool:
        """Neither this mount nor the file system under it can be written."""
        return "ro" in self.options or "ro" in self.super_options


def parse(mountinfo: str) -> list[Mount]:
    """The mounts of a mountinfo text, in the order in which they were made."""
    # Not splitlines(): the kernel escapes \n alone, and a path may hold what else Unicode calls the end of a line.
    return [_mount(line) for line in mountinfo.split("\n") if line]


def _mount(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    _id, _parent, number, root, point, options, *_tags = before.split(" ")
    fs_type, source, super_options = (*after.split(" "), "", "")[:3]
    return Mount(
        number=number,
        root=_plain(root),
        point=Path(_plain(point)),
        options=frozenset(options.split(",")),
        fs_type=_plain(fs_type),
        source=_plain(source),
        super_options=frozenset(super_options.split(",")),
    )


def _plain(field: str) -> str:
    """The field without the kernel's octal escapes of space, tab, newline and backslash."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), field)


class Mounts:
    """The mounts of this node.

    Args:
        run: starts `mount` and `umount`.
        devices: tells which disks exist.
        kubelet_dir: the only directory below which anything is mounted or removed.
        mountinfo: reads the kernel's table.
    """

    def __init__(
        self,
        run: Run,
        devices: Devices,
        kubelet_dir: Path,
        mountinfo: Callable[[], str] = lambda: os.fsdecode(Path("/proc/self/mountinfo").read_bytes()),
    ) -> None:
        self._run = run
        self._devices = devices
        self._kubelet_dir = kubelet_dir
        self._mountinfo = mountinfo

    def table(self) -> list[Mount]:
        """All mounts that this process can see."""
        return parse(self._mountinfo())

    def at(self, point: Path) -> Mount | None:
        """The mount that is seen at exactly this path."""
        return next((mount for mount in reversed(self.table()) if mount.point == point), None)

    def checked(self, path: str) -> Path:
        """The path as the kernel will name it.

        Raises:
            InvalidArgument: it is not absolute, has `..`, or leads out of the kubelet's directory.
        """
        plain = Path(path)
        if not plain.is_absolute() or ".." in plain.parts:
            raise InvalidArgument(f'the path "{path}" is not absolute and plain')
        real = Path(os.path.realpath(plain.parent)) / plain.name
        inside = Path(os.path.realpath(self._kubelet_dir))
        if inside not in real.parents:
            raise InvalidArgument(
                f'the path "{path}" is outside of the kubelet\'s directory {self._kubelet_dir}',
                hint="Set --kubelet-dir to the kubelet's --root-dir.",
            )
        if os.path.islink(real):  # noqa: PTH114 - Path.is_symlink raises on a mount that has lost its disk
            raise InvalidArgument(f'the path "{path}" is a symbolic link')
        return real

    def be_mounted(self, device: Device, target: Path, fs_type: str, flags: Sequence[str]) -> None:
        """The disk's file system is mounted at the directory `target`.

        Args:
            device: the disk.
            target: a checked path; the directory is made, its parent must exist.
            fs_type: such as "ext4".
            flags: mount options such as "ro" and "noatime".

        Raises:
            FailedPrecondition: something else is mounted there, or the kernel refuses the mount.
            AlreadyExists: it is mounted there, but read-only where writing was asked for, or the other way round.
        """
        mount = self.at(target)
        if mount is not None and self._is_dead(mount):
            self.be_unmounted(target)
            mount = None
        if mount is None:
            _be_directory(target)
            options = ["-o", ",".join(flags)] if flags else []
            self._run(["mount", "-t", fs_type, *options, str(device.path), str(target)], _SECONDS)
            return
        if mount.number != device.number:
            raise FailedPrecondition(
                f"{target} already holds {mount.source} ({mount.fs_type}), not {device.path}",
                hint="Unmount it on the node.",
            )
        _same_access(mount, target, "ro" in flags)

    def be_bound(self, source: Path, target: Path, read_only: bool) -> None:
        """What is at `source` (a mounted directory, or a disk's device node) is seen at `target` too.

        A driver that died between binding and making it read-only left a writable one: it is made read-only.

        Raises:
            FailedPrecondition: something else is mounted there, or the kernel refuses.
            AlreadyExists: it is there read-only, but writing was asked for.
        """
        mount = self.at(target)
        if mount is not None and self._is_dead(mount):
            self.be_unmounted(target)
            mount = None
        if mount is None:
            _be_like(source, target)
            self._run(["mount", "--bind", str(source), str(target)], _SECONDS)
            mount = self.at(target)
        elif not _is_same(source, target):
            raise FailedPrecondition(
                f"{target} already holds {mount.source} ({mount.fs_type}), not {source}",
                hint="Unmount it on the node.",
            )
        if mount is None:
            raise FailedPrecondition(f"{target} was unmounted while it was being made")
        if read_only and "ro" not in mount.options:
            self._run(["mount", "-o", "remount,bind,ro", str(target)], _SECONDS)
        elif not read_only and "ro" in mount.options and "ro" not in self._options_of(source):
            _same_access(mount, target, read_only)

    def be_unmounted(self, target: Path) -> None:
        """Nothing is mounted at `target`, however many mounts were stacked there, with or without their disks.

        Raises ToolFailed while a mount is in use. Never lazily: data that is still being written would be lost when
        the volume is detached next.
        """
        while self.at(target) is not None:
            # --no-canonicalize: the tool must not look at a path whose disk is gone.
            self._run(["umount", "--no-canonicalize", str(target)], _SECONDS)

    def be_absent(self, target: Path) -> None:
        """Nothing is at `target`: an empty directory or an empty file is removed.

        Raises:
            FailedPrecondition: something is mounted there, or it holds something.
        """
        if self.at(target) is not None:
            raise FailedPrecondition(f"{target} is not removed: something is mounted there")
        try:
            seen = target.lstat()
            if stat.S_ISDIR(seen.st_mode):
                target.rmdir()
            elif stat.S_ISREG(seen.st_mode) and seen.st_size == 0:
                target.unlink()
            else:
                raise FailedPrecondition(f"{target} is not removed: it is neither a directory nor an empty file")
        except FileNotFoundError:
            return
        except OSError as e:
            if e.errno != errno.ENOTEMPTY:
                raise FailedPrecondition(f"{target} is not removed: {e.strerror}") from e
            raise FailedPrecondition(
                f"{target} is not removed: it holds files that are not on the volume",
                hint="They were written while nothing was mounted there; look at them, then remove them by hand.",
            ) from e

    def _is_dead(self, mount: Mount) -> bool:
        """The mount has outlived its disk: that of its file system, or that of the device node that is bound there."""
        number = self._devices.number_of(mount.point) if mount.fs_type in _DEVICE_FILE_SYSTEMS else mount.number
        # Major 0 is a file system without a disk.
        return number != "" and not number.startswith("0:") and not self._devices.exists(number)

    def _options_of(self, source: Path) -> frozenset[str]:
        mount = self.at(source)
        return mount.options if mount is not None else frozenset()


def _same_access(mount: Mount, target: Path, read_only: bool) -> None:
    if mount.read_only == read_only:
        return
    have, want = ("read-only", "writable") if mount.read_only else ("writable", "read-only")
    raise AlreadyExists(
        f"{mount.source} is mounted {have} at {target}, and {want} was asked for",
        hint="A file system with errors turns read-only: see the node's kernel log, then restart the pod."
        if mount.read_only
        else "",
    )


def _is_same(source: Path, target: Path) -> bool:
    """Both paths show one thing: the same device node, or the same directory of the same file system."""
    try:
        here, there = source.stat(), target.stat()
    except OSError:
        return False
    if stat.S_ISBLK(here.st_mode):
        return stat.S_ISBLK(there.st_mode) and here.st_rdev == there.st_rdev
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _be_like(source: Path, target: Path) -> None:
    """A mount point that fits: a directory for a directory, a file for a device node."""
    try:
        is_directory = stat.S_ISDIR(source.stat().st_mode)
    except OSError as e:
        raise FailedPrecondition(f"{source} cannot be read: {e.strerror}") from e
    if is_directory:
        _be_directory(target)
    else:
        _be_file(target)


def _be_directory(path: Path) -> None:
    try:
        path.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
    except OSError as e:
        raise FailedPrecondition(f"the directory {path} cannot be made: {e.strerror}") from e


def _be_file(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE))
    except OSError as e:
        raise FailedPrecondition(f"the file {path} cannot be made: {e.strerror}") from e
