"""Work inside a network namespace, on the calling thread only.

Sockets made and children started meanwhile belong to the namespace; afterwards the thread is where it was.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import BedError

NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000
"""From <sched.h>; os.setns came with Python 3.12."""


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Be in the namespace of this name (as `ip netns` names them); an empty name changes nothing.

    Raises:
        BedError: there is no such namespace, or it may not be entered.
    """
    if not name:
        yield
        return
    try:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(NAMESPACES / name)
            yield
        finally:
            _set(home)
            os.close(home)
    except _NotEntered as why:
        raise BedError(f"network namespace {name}: {why}") from why


class _NotEntered(OSError):
    """Kept apart from what fails inside the namespace."""


def _enter(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as why:
        raise _NotEntered(why.errno, why.strerror) from why
    try:
        _set(descriptor)
    finally:
        os.close(descriptor)


def _set(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise _NotEntered(number, os.strerror(number))
