"""Wakes a waiter when something appears in a directory: the kernel's inotify, by ctypes.

Python's standard library has no binding, and three calls do not deserve a dependency.
"""

from __future__ import annotations

import ctypes
import os
import select
from pathlib import Path
from types import TracebackType
from typing import Protocol

_IN_MOVED_TO, _IN_CREATE = 0x80, 0x100  # inotify(7); udev renames a finished link into place
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


class Changes(Protocol):
    """A source of wake-ups, open while it is entered."""

    def __enter__(self) -> Changes: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def wait(self, seconds: float) -> None:
        """Return when something has appeared since it was entered or last waited for, or when the seconds are over."""


class Watch:
    """`Changes` of a directory, or of the nearest parent that exists while it does not.

    Where the kernel has no inotify left to give (`fs.inotify.max_user_instances`), waiting is only sleeping: the
    caller looks again after each wait anyhow.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._fd = -1
        self._poll = select.poll()

    def __enter__(self) -> Watch:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(_FLAGS)
        if self._fd >= 0:
            existing = next(p for p in (self._directory, *self._directory.parents) if p.is_dir())
            libc.inotify_add_watch(self._fd, os.fsencode(existing), _IN_CREATE | _IN_MOVED_TO)
            self._poll.register(self._fd, select.POLLIN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def wait(self, seconds: float) -> None:
        """See `Changes`."""
        if self._poll.poll(max(0.0, seconds) * 1000):
            os.read(self._fd, 65536)
