"""How full a published volume is, for NodeGetVolumeStats (CSI 1.12) and so for the kubelet's volume metrics."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from openstack_csi.errors import NotFound, Unavailable


@dataclass(frozen=True)
class Usage:
    """Total, used and available amounts of one unit; available is what an ordinary user can still take."""

    total: int
    used: int
    available: int


@dataclass(frozen=True)
class Stats:
    """Bytes, and inodes where there is a file system. A raw disk has only a size."""

    bytes: Usage
    inodes: Usage | None = None


def usage(path: Path) -> Stats:
    """The usage of the file system at a directory, or the size of the disk at a device node.

    Raises NotFound when there is neither, Unavailable when the disk does not answer.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISBLK(mode):
            return _disk(path)
        if stat.S_ISDIR(mode):
            return _filesystem(path)
    except FileNotFoundError:
        pass
    except OSError as e:
        raise Unavailable(f"{path} does not answer: {e.strerror}") from e
    raise NotFound(f"no volume is published at {path}")


def _filesystem(path: Path) -> Stats:
    seen = os.statvfs(path)
    unit = seen.f_frsize
    return Stats(
        Usage(seen.f_blocks * unit, (seen.f_blocks - seen.f_bfree) * unit, seen.f_bavail * unit),
        Usage(seen.f_files, seen.f_files - seen.f_ffree, seen.f_favail),
    )


def _disk(path: Path) -> Stats:
    with path.open("rb") as disk:
        return Stats(Usage(disk.seek(0, os.SEEK_END), 0, 0))
