"""What the service asks of a backend: small Protocols, one per capability that a backend may have.

A backend works in *steps*. A step looks at what is known, acts at most once on the cloud, and returns: the result, or
`Pending` when the cloud is not done. It never waits. With `Pending` it has left `wake` with the board, which calls it
once when the cloud's state has changed; the caller then takes the same step again. So a watcher's worker is free at
once, a CSI call can wait on an event, and both run the same code.

Steps are idempotent: any of them may be repeated at any time, by another process after a crash too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from openstack_csi.model import (
    Attachment,
    Capability,
    CreateVolume,
    Orphan,
    Pending,
    Volume,
    VolumeStatus,
)

Wake = Callable[[], None]
"""Called at most once, from the board's thread, soon after the waited-for object changed. Must not block."""


class Provisioning(Protocol):
    """Makes and removes volumes."""

    def check(self, request: CreateVolume) -> None:
        """Raise InvalidArgument or OutOfRange for a request that can never be met; asks nothing of the cloud
        that is not cached."""

    def create(self, request: CreateVolume, wake: Wake) -> Volume | Pending:
        """The volume of that name, usable; made when it does not exist. Raises DriverError."""

    def delete(self, volume_id: str, wake: Wake) -> Pending | None:
        """None once the cloud says that the volume is gone. Raises FailedPrecondition while it is attached."""


class Publishing(Protocol):
    """Attaches volumes to nodes."""

    def publish(
        self, volume_id: str, node_id: str, capability: Capability, read_only: bool, wake: Wake
    ) -> Attachment | Pending:
        """The attachment, once the node can see the volume. Raises NotFound, AttachedElsewhere, ResourceExhausted."""

    def unpublish(self, volume_id: str, node_id: str, wake: Wake) -> Pending | None:
        """None once the node no longer has the volume; a node or volume that is gone counts as that.
        An empty `node_id` means every node."""


class Inspecting(Protocol):
    """Tells what is there."""

    def get(self, volume_id: str) -> VolumeStatus:
        """One volume, looked at now. Raises NotFound."""

    def validate(self, volume_id: str, capabilities: Iterable[Capability]) -> str:
        """Empty when the volume can be used so, else the reason why not. Raises NotFound."""

    def list(self) -> Sequence[VolumeStatus]:
        """This cluster's volumes by id, from the board's index (one shared list when it is not fresh)."""

    def orphans(self) -> Sequence[Orphan]:
        """Every object with this cluster's stamp, from a list that began after this call."""


class Backend(Provisioning, Publishing, Inspecting, Protocol):
    """A backend that can do all of it; Cinder can."""

    @property
    def parameters(self) -> frozenset[str]:
        """The StorageClass keys that it knows."""

    @property
    def topology_key(self) -> str:
        """The key of its zones, such as `topology.cinder.csi.openstack.org/zone`."""
