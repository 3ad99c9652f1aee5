"""A backend whose cloud is a dictionary: every Protocol of backends/base.py, at once or when the test says so.

cloud = MemoryBackend()
cloud.hold("create")            # creates are Pending from now on; their effect is there, as in a real cloud
cloud.release("create")         # they are done; whoever waits is woken
cloud.fail("publish", error)    # the next publish raises it
cloud.calls["create"]           # how often the cloud was told to do something
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from openstack_csi.backends.base import Wake
from openstack_csi.errors import (
    AlreadyExists,
    AttachedElsewhere,
    DriverError,
    FailedPrecondition,
    NotFound,
    OutOfRange,
    unknown_key,
)
from openstack_csi.model import (
    GIB,
    AccessMode,
    Attachment,
    Capability,
    CreateVolume,
    Orphan,
    Pending,
    Stamp,
    Volume,
    VolumeStatus,
)

KEY = "topology.cinder.csi.openstack.org/zone"


@dataclass
class _Kept:
    volume: Volume
    stamp: Stamp
    status: str = "creating"
    nodes: set[str] = field(default_factory=set)
    used: bool = False


class MemoryBackend:
    """See the module.

    Args:
        nodes: the node ids that exist; None lets every node exist.
        zone: where new volumes are.
    """

    parameters = frozenset({"type", "availability"})
    topology_key = KEY

    def __init__(self, nodes: Iterable[str] | None = None, zone: str = "nova") -> None:
        self.calls: Counter[str] = Counter()
        self._nodes = None if nodes is None else frozenset(nodes)
        self._zone = zone
        self._lock = threading.RLock()
        self._kept: dict[str, _Kept] = {}
        self._held: set[str] = set()
        self._waiting: list[tuple[str, Wake]] = []
        self._faults: dict[str, DriverError] = {}

    def hold(self, kind: str) -> None:
        """Let steps of that kind (create, delete, publish, unpublish) be Pending."""
        with self._lock:
            self._held.add(kind)

    def release(self, kind: str) -> None:
        """Finish the held steps of that kind and wake who waits for them."""
        with self._lock:
            self._held.discard(kind)
            wakes = [wake for waiting, wake in self._waiting if waiting == kind]
            self._waiting = [one for one in self._waiting if one[0] != kind]
        for wake in wakes:
            wake()

    def waiting(self, kind: str) -> int:
        """How many steps of that kind wait."""
        with self._lock:
            return sum(waiting == kind for waiting, _ in self._waiting)

    def fail(self, kind: str, error: DriverError) -> None:
        """Have the next step of that kind raise the error."""
        with self._lock:
            self._faults[kind] = error

    def check(self, request: CreateVolume) -> None:
        for key in request.parameters:
            if key not in self.parameters:
                raise unknown_key("StorageClass parameter", key, self.parameters)
        if 0 < request.capacity.limit_bytes < _rounded(request):
            raise OutOfRange(f"limit_bytes {request.capacity.limit_bytes} is less than {_rounded(request)}")

    def create(self, request: CreateVolume, wake: Wake) -> Volume | Pending:
        with self._lock:
            self._maybe_fail("create")
            kept = next((one for one in self._kept.values() if one.volume.name == request.name), None)
            if kept is None:
                self.calls["create"] += 1
                volume = Volume(str(uuid.uuid4()), _rounded(request), ({KEY: self._zone},), {}, request.name)
                kept = self._kept[volume.id] = _Kept(volume, request.stamp)
            if kept.volume.size_bytes != _rounded(request):
                raise AlreadyExists(f"volume {request.name} has {kept.volume.size_bytes} bytes")
            if self._is_held("create", wake):
                return Pending(f"volume {kept.volume.id} is creating", kept.volume.id)
            kept.status = "available"
            return kept.volume

    def delete(self, volume_id: str, wake: Wake) -> Pending | None:
        with self._lock:
            self._maybe_fail("delete")
            kept = self._kept.get(volume_id)
            if kept is None:
                return None
            if kept.nodes:
                raise FailedPrecondition(f"volume {volume_id} is attached to {', '.join(sorted(kept.nodes))}")
            if kept.status != "deleting":
                self.calls["delete"] += 1
                kept.status = "deleting"
            if self._is_held("delete", wake):
                return Pending(f"volume {volume_id} is deleting", volume_id)
            del self._kept[volume_id]
            return None

    def publish(
        self, volume_id: str, node_id: str, capability: Capability, read_only: bool, wake: Wake
    ) -> Attachment | Pending:
        with self._lock:
            self._maybe_fail("publish")
            kept = self._find(volume_id)
            if self._nodes is not None and node_id not in self._nodes:
                raise NotFound(f"node {node_id} does not exist")
            others = kept.nodes - {node_id}
            if others and not capability.access_mode.multi_node:
                raise AttachedElsewhere(f"volume {volume_id} is attached to {', '.join(sorted(others))}")
            if node_id not in kept.nodes:
                self.calls["publish"] += 1
                kept.used = True
                kept.nodes.add(node_id)
            if self._is_held("publish", wake):
                return Pending(f"volume {volume_id} is attaching to {node_id}", volume_id)
            return Attachment(volume_id, node_id, {"DevicePath": f"/dev/disk/by-id/virtio-{volume_id[:20]}"})

    def unpublish(self, volume_id: str, node_id: str, wake: Wake) -> Pending | None:
        with self._lock:
            self._maybe_fail("unpublish")
            kept = self._kept.get(volume_id)
            gone = set() if kept is None else kept.nodes & ({node_id} if node_id else kept.nodes)
            if kept is None or not gone:
                return None
            if self._is_held("unpublish", wake):
                return Pending(f"volume {volume_id} is detaching from {', '.join(sorted(gone))}", volume_id)
            self.calls["unpublish"] += len(gone)
            kept.nodes -= gone
            return None

    def get(self, volume_id: str) -> VolumeStatus:
        with self._lock:
            self._maybe_fail("get")
            return _status(self._find(volume_id))

    def validate(self, volume_id: str, capabilities: Iterable[Capability]) -> str:
        with self._lock:
            self._find(volume_id)
        unfit = [one for one in capabilities if one.access_mode is AccessMode.MULTI_NODE_MULTI_WRITER]
        return "several nodes cannot write at one time" if unfit else ""

    def list(self) -> Sequence[VolumeStatus]:
        with self._lock:
            return [_status(self._kept[key]) for key in sorted(self._kept)]

    def orphans(self) -> Sequence[Orphan]:
        with self._lock:
            return [
                Orphan(one.volume.id, one.volume.name, one.stamp, one.status, bool(one.nodes), unused=not one.used)
                for one in self._kept.values()
            ]

    def _find(self, volume_id: str) -> _Kept:
        if volume_id not in self._kept:
            raise NotFound(f"volume {volume_id} does not exist")
        return self._kept[volume_id]

    def _maybe_fail(self, kind: str) -> None:
        if kind in self._faults:
            raise self._faults.pop(kind)

    def _is_held(self, kind: str, wake: Wake) -> bool:
        if kind not in self._held:
            return False
        self._waiting.append((kind, wake))
        return True


def _rounded(request: CreateVolume) -> int:
    return max(1, -(-request.capacity.required_bytes // GIB)) * GIB


def _status(kept: _Kept) -> VolumeStatus:
    bad = kept.status.startswith("error")
    return VolumeStatus(kept.volume, tuple(sorted(kept.nodes)), bad, kept.status if bad else "")
