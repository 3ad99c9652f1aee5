"""Loop devices, which belong to the whole machine: made, found and released by the file behind them.

A device is only ever touched after looking which file is behind it, as its number may have gone to somebody else.
Standard library only, as both the bed's own Python and that of the services import it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

SYSFS = Path("/sys/block")
DELETED = " (deleted)"


def attach(file: Path, *, read_only: bool = False) -> Path:
    """Put a file behind a free loop device; return the device.

    Raises:
        OSError: there is none free, or the file cannot be opened.
    """
    options = ["--read-only"] if read_only else []
    return Path(_losetup("--find", "--show", *options, str(file)))


def file_behind(device: Path) -> Path | None:
    """The file behind a device, also when its name is gone already; None if there is none."""
    try:
        name = (SYSFS / device.name / "loop" / "backing_file").read_text().rstrip("\n")
    except OSError:
        return None
    return Path(name.removesuffix(DELETED))


def below(folder: Path) -> Iterator[Path]:
    """Every device with a file below this folder behind it."""
    for entry in SYSFS.glob("loop*"):
        device = Path("/dev") / entry.name
        file = file_behind(device)
        if file is not None and file.is_relative_to(folder):
            yield device


def detach(device: Path, file: Path) -> None:
    """Release a device if this file is behind it; the kernel puts that off while the device is in use.

    Raises:
        OSError: it could not be released.
    """
    if file_behind(device) == file:
        _losetup("--detach", str(device))


def grow(device: Path) -> None:
    """Let a device have its file's present size.

    Raises:
        OSError: it could not.
    """
    _losetup("--set-capacity", str(device))


def _losetup(*args: str) -> str:
    done = subprocess.run(["losetup", *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"losetup {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout.strip()
