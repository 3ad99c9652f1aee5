"""The domain service: what the CSI controller and the watchers both call, so that there is one of every rule.

It adds to a backend what no backend should have to think of: one step at a time for one name or volume, and waiting.
A watcher takes a step and goes (its `wake` puts the key back on its queue); a CSI call takes the same step through
`wait`, which sleeps on an event until the board wakes it, and gives up at the caller's deadline without losing
anything: the next call finds the state in the cloud.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from openstack_csi import errors
from openstack_csi.backends.base import Backend, Wake
from openstack_csi.model import (
    Attachment,
    Capability,
    CreateVolume,
    Orphan,
    Pending,
    Volume,
    VolumeStatus,
)

T = TypeVar("T")

LOOK_AGAIN = 30.0
"""Seconds after which a waiting call takes its step again though nobody woke it."""


class VolumeService:
    """See the module. Thread-safe."""

    def __init__(self, backend: Backend, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._backend = backend
        self._clock = clock
        self._lock = threading.Lock()
        self._busy: set[str] = set()

    @property
    def parameters(self) -> frozenset[str]:
        """The StorageClass keys that the backend knows."""
        return self._backend.parameters

    @property
    def topology_key(self) -> str:
        """The key of the backend's zones."""
        return self._backend.topology_key

    # Steps

    def check(self, request: CreateVolume) -> None:
        """See `backends.base.Provisioning.check`."""
        self._backend.check(request)

    def create(self, request: CreateVolume, wake: Wake) -> Volume | Pending:
        """See `backends.base.Provisioning.create`. Raises Aborted while another step has that name."""
        with self._alone(request.name):
            return self._backend.create(request, wake)

    def delete(self, volume_id: str, wake: Wake) -> Pending | None:
        """See `backends.base.Provisioning.delete`. Raises Aborted while another step has that volume."""
        with self._alone(volume_id):
            return self._backend.delete(volume_id, wake)

    def publish(
        self, volume_id: str, node_id: str, capability: Capability, read_only: bool, wake: Wake
    ) -> Attachment | Pending:
        """See `backends.base.Publishing.publish`. Raises Aborted while another step has that volume."""
        with self._alone(volume_id):
            return self._backend.publish(volume_id, node_id, capability, read_only, wake)

    def unpublish(self, volume_id: str, node_id: str, wake: Wake) -> Pending | None:
        """See `backends.base.Publishing.unpublish`. Raises Aborted while another step has that volume."""
        with self._alone(volume_id):
            return self._backend.unpublish(volume_id, node_id, wake)

    # Looks

    def get(self, volume_id: str) -> VolumeStatus:
        """See `backends.base.Inspecting.get`."""
        return self._backend.get(volume_id)

    def validate(self, volume_id: str, capabilities: Iterable[Capability]) -> str:
        """See `backends.base.Inspecting.validate`."""
        return self._backend.validate(volume_id, capabilities)

    def list(self) -> Sequence[VolumeStatus]:
        """See `backends.base.Inspecting.list`."""
        return self._backend.list()

    def orphans(self) -> Sequence[Orphan]:
        """See `backends.base.Inspecting.orphans`."""
        return self._backend.orphans()

    # Waiting

    def wait(self, step: Callable[[Wake], T | Pending], deadline: float) -> T:
        """Take the step until it is done.

        Args:
            step: takes a `wake` and returns its result or Pending.
            deadline: a time of `clock`, in seconds.

        Raises:
            DeadlineExceeded: time was up; its text says what was waited for, and for how long.
            DriverError: what the step raised.
        """
        began = self._clock()
        while True:
            woken = threading.Event()
            result = step(woken.set)
            if not isinstance(result, Pending):
                return result
            woken.wait(max(0.0, min(deadline - self._clock(), LOOK_AGAIN)))
            if not woken.is_set() and self._clock() >= deadline:
                raise errors.DeadlineExceeded(
                    f"{result.what} (waited {self._clock() - began:.0f} s)",
                    hint="It goes on; the next call finds it.",
                )

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        with self._lock:
            if key in self._busy:
                raise errors.Aborted(f"another operation on {key} is under way")
            self._busy.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(key)
