"""The Cinder backend as a role puts it together, with a count of its calls: what the cases of the contract drive."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

from openstack_csi.backends.base import Wake
from openstack_csi.backends.cinder import CinderBackend
from openstack_csi.backends.cinder_request import CLUSTER_KEY
from openstack_csi.cloud.connection import Clouds
from openstack_csi.model import (
    GIB,
    AccessMode,
    AccessType,
    Attachment,
    Capability,
    Capacity,
    CreateVolume,
    Pending,
    Stamp,
    TopologyRequirement,
    Volume,
)
from openstack_csi.service import VolumeService
from tests.contract.world import World

T = TypeVar("T")

ZONE_KEY = "topology.cinder.csi.openstack.org/zone"
WRITER = Capability()
SHARED_BLOCK = Capability(AccessType.BLOCK, AccessMode.MULTI_NODE_MULTI_WRITER)

NOWHERE = "00000000-0000-4000-8000-000000000009"
"""The id of a volume or server that is not there."""


def asleep() -> None:
    """A wake that nobody waits for."""


class ShiftedClock:
    """The time, and as much later as it was told."""

    def __init__(self) -> None:
        self._shift = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._shift

    def shift(self, seconds: float) -> None:
        self._shift += seconds


class Driver:
    """One process of the driver: its own session, board and memory, for the cluster `cluster`."""

    def __init__(
        self,
        world: World,
        cluster: str,
        *,
        cloud: str = "demo",
        alone: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cluster = cluster
        self.calls: Counter[str] = Counter()
        self._world = world
        self.clouds = Clouds(world.site.clouds_file, cloud, observe=self._count, clock=clock)
        self.backend = CinderBackend(self.clouds.get(), cluster_id=cluster, clock=clock)
        self.backend.lead(alone)
        self.service = VolumeService(self.backend)

    def _count(self, request: str, status: int, seconds: float) -> None:
        self.calls[request] += 1

    def request(
        self,
        name: str,
        *,
        gib: float = 1,
        limit: float = 0,
        parameters: Mapping[str, str] | None = None,
        capability: Capability = WRITER,
        zone: str = "",
    ) -> CreateVolume:
        segments = ({ZONE_KEY: zone},) if zone else ()
        return CreateVolume(
            name=name,
            capacity=Capacity(int(gib * GIB), int(limit * GIB)),
            capabilities=(capability,),
            parameters=parameters or {},
            topology=TopologyRequirement(segments, segments),
            stamp=Stamp(self.cluster, "data-0", "default", name),
        )

    def create(self, name: str, **wishes: object) -> Volume:
        request = self.request(name, **wishes)  # type: ignore[arg-type]
        return self.wait(lambda wake: self.service.create(request, wake))

    def delete(self, volume_id: str) -> None:
        self.wait(lambda wake: self.service.delete(volume_id, wake))

    def publish(self, volume_id: str, server: str, capability: Capability = WRITER) -> Attachment:
        return self.wait(lambda wake: self.service.publish(volume_id, server, capability, False, wake))

    def unpublish(self, volume_id: str, server: str) -> None:
        self.wait(lambda wake: self.service.unpublish(volume_id, server, wake))

    def wait(self, step: Callable[[Wake], T | Pending], seconds: float | None = None) -> T:
        patience = self._world.site.patience if seconds is None else seconds
        return self.service.wait(step, time.monotonic() + patience)

    def clear(self) -> None:
        """Remove every volume of this cluster."""
        self._world.clear(CLUSTER_KEY, self.cluster)
