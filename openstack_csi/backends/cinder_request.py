"""From a wanted volume to Cinder's create call: pure, so that every refusal can be tested without a cloud."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from openstack_csi import errors
from openstack_csi.cloud import zones
from openstack_csi.cloud.volumes import CinderVolume
from openstack_csi.model import GIB, AccessType, Capability, Capacity, CreateVolume, Stamp, zone_label

PARAMETERS = frozenset({"type", "availability"})
"""The StorageClass keys; their names are those that cinder-csi's users know."""

CLUSTER_KEY = "cinder.csi.openstack.org/cluster"
CLAIM_NAME_KEY = "csi.storage.k8s.io/pvc/name"
CLAIM_NAMESPACE_KEY = "csi.storage.k8s.io/pvc/namespace"
PV_NAME_KEY = "csi.storage.k8s.io/pv/name"

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

FILE_SYSTEMS = frozenset({"", "ext3", "ext4", "xfs"})
"""What the node can make; empty means its default."""


@dataclass(frozen=True)
class Wanted:
    """A volume as Cinder will be asked for it. Empty `volume_type` and `zone` leave the choice to Cinder.

    `zones` are the labels of those in which a volume that is there already may be; empty allows every zone. A volume
    may have been asked for by a process that preferred another zone than we do.
    """

    name: str
    size_gib: int
    max_gib: int | None
    volume_type: str
    zone: str
    zones: frozenset[str]
    metadata: Mapping[str, str]

    def body(self) -> dict[str, Any]:
        """The `volume` of POST /volumes."""
        body: dict[str, Any] = {
            "name": self.name,
            "size": self.size_gib,
            "metadata": dict(self.metadata),
            "description": "Created by openstack-csi",
        }
        if self.volume_type:
            body["volume_type"] = self.volume_type
        if self.zone:
            body["availability_zone"] = self.zone
        return body


def wanted(request: CreateVolume, topology_key: str) -> Wanted:
    """What to ask Cinder for.

    Raises:
        InvalidArgument: a parameter is unknown, or the volume cannot be used as asked.
        OutOfRange: no whole number of GiB lies within the wanted size.
    """
    for key in request.parameters:
        if key not in PARAMETERS:
            raise errors.unknown_key("StorageClass parameter", key, PARAMETERS)
    for capability in request.capabilities:
        refuse_unusable(capability)
    size, most = size_gib(request.capacity)
    named = request.parameters.get("availability", "")
    return Wanted(
        name=request.name,
        size_gib=size,
        max_gib=most,
        volume_type=request.parameters.get("type", ""),
        zone=named or zones.wanted(request.topology, topology_key),
        zones=frozenset({zone_label(named)}) if named else zones.allowed(request.topology, topology_key),
        metadata=metadata(request.stamp),
    )


def refuse_unusable(capability: Capability) -> None:
    """Raise InvalidArgument for a use that no Cinder volume allows."""
    if capability.access_type is AccessType.MOUNT:
        if capability.access_mode.multi_node and capability.access_mode.value != 3:
            raise errors.InvalidArgument(
                f"a file system on a Cinder volume cannot be written by several nodes ({capability.access_mode.name})",
                hint="Use a Manila share for ReadWriteMany, or volumeMode Block on a multiattach volume type.",
            )
        if capability.fs_type not in FILE_SYSTEMS:
            raise errors.unknown_key("csi.storage.k8s.io/fstype", capability.fs_type, FILE_SYSTEMS - {""})


def size_gib(capacity: Capacity) -> tuple[int, int | None]:
    """The size to ask for and the largest allowed one, in GiB; the smallest volume that is large enough.

    Raises:
        InvalidArgument: a bound is negative, or the limit is below what is required.
        OutOfRange: no whole number of GiB lies between the bounds.
    """
    required, limit = capacity.required_bytes, capacity.limit_bytes
    if required < 0 or limit < 0:
        raise errors.InvalidArgument(f"the size {min(required, limit)} bytes is negative")
    if limit and limit < required:
        raise errors.InvalidArgument(f"limit_bytes {limit} is below required_bytes {required}")
    size = max(1, -(-required // GIB))
    if limit and size * GIB > limit:
        raise errors.OutOfRange(
            f"Cinder's volumes are whole GiB: {size} GiB is more than the limit of {limit} bytes",
            hint="Ask for a limit that holds a whole number of GiB.",
        )
    return size, limit // GIB if limit else None


def metadata(stamp: Stamp) -> dict[str, str]:
    """The stamp as metadata, without what is not known."""
    pairs = {
        CLUSTER_KEY: stamp.cluster,
        CLAIM_NAME_KEY: stamp.claim_name,
        CLAIM_NAMESPACE_KEY: stamp.claim_namespace,
        PV_NAME_KEY: stamp.pv_name,
    }
    return {key: value for key, value in pairs.items() if value}


def stamp(metadata: Mapping[str, str]) -> Stamp:
    """The stamp read back."""
    return Stamp(
        cluster=metadata.get(CLUSTER_KEY, ""),
        claim_name=metadata.get(CLAIM_NAME_KEY, ""),
        claim_namespace=metadata.get(CLAIM_NAMESPACE_KEY, ""),
        pv_name=metadata.get(PV_NAME_KEY, ""),
    )


def refuse_difference(volume: CinderVolume, wanted: Wanted) -> None:
    """Raise AlreadyExists when the volume of that name is not what is wanted: size, type, zone, stamp."""
    differences = []
    if volume.size_gib < wanted.size_gib or (wanted.max_gib is not None and volume.size_gib > wanted.max_gib):
        differences.append(f"has {volume.size_gib} GiB, wanted {wanted.size_gib}")
    if wanted.volume_type and volume.volume_type and not _is_same_type(volume.volume_type, wanted.volume_type):
        differences.append(f'is of type "{volume.volume_type}", wanted "{wanted.volume_type}"')
    if wanted.zones and volume.zone and zone_label(volume.zone) not in wanted.zones:
        differences.append(f'is in zone "{volume.zone}", wanted "{", ".join(sorted(wanted.zones))}"')
    if volume.metadata.get(CLUSTER_KEY) != wanted.metadata.get(CLUSTER_KEY):
        differences.append("was made by another cluster")
    if differences:
        raise errors.AlreadyExists(
            f"volume {volume.id} has the name {wanted.name} but {', and '.join(differences)}",
            hint="Remove it, or use another claim.",
        )


def _is_same_type(name: str, wanted: str) -> bool:
    """A volume shows its type's name; a class may give the type's id, which then cannot be compared."""
    return name == wanted or _UUID.fullmatch(wanted) is not None


def oldest(volumes: Iterable[CinderVolume]) -> CinderVolume | None:
    """Of several volumes of one name the one that stays, where no PV says otherwise: the oldest."""
    return min(volumes, key=lambda v: (v.created_at, v.id), default=None)
