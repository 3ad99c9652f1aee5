"""Who is told what the watchers did: callables, so that no layer knows the metrics' library (`ops.metrics`)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from openstack_csi.errors import Code


class Outcome(Protocol):
    """Told that something was done for a StorageClass in so many seconds, or that a try of it failed."""

    def __call__(self, storage_class: str, seconds: float, /, *, failed: bool = False) -> None:
        """Count it."""


def _ignore(storage_class: str, seconds: float, /, *, failed: bool = False) -> None:
    """Count nothing."""


@dataclass(frozen=True)
class Observers:
    """All of them.

    Attributes:
        provisioned: a claim got its volume, or a try failed.
        deleted: a PV's volume is gone, or a try failed.
        rpc: an operation ended, by the full name of the RPC that it stands for, with its code and seconds.
        within: what cloud calls are counted for while it is open, such as "CreateVolume".
    """

    provisioned: Outcome = _ignore
    deleted: Outcome = _ignore
    rpc: Callable[[str, Code, float], None] = lambda method, code, seconds: None
    within: Callable[[str], contextlib.AbstractContextManager[None]] = lambda rpc: contextlib.nullcontext()

    def ended(self, rpc: str, code: Code, seconds: float) -> None:
        """Tell `rpc` of an operation by its short name, such as "CreateVolume"."""
        self.rpc(f"/csi.v1.Controller/{rpc}", code, seconds)


NOBODY = Observers()
