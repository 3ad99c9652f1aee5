"""Between the wire and the domain: requests are checked and become values of `model`, values become answers.

Whatever a request lacks or has wrong in itself is refused here, naming the field as csi.proto spells it; what depends
on the backend (its parameters, its sizes) is left to the backend.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace

from google.protobuf.message import Message

from openstack_csi.csi.pb import csi_pb2 as pb
from openstack_csi.errors import InvalidArgument, OutOfRange, unknown_key
from openstack_csi.model import (
    AccessMode,
    AccessType,
    Capability,
    Capacity,
    CreateVolume,
    Segment,
    Stamp,
    TopologyRequirement,
    Volume,
    VolumeStatus,
)

CLAIM_NAME = "csi.storage.k8s.io/pvc/name"
CLAIM_NAMESPACE = "csi.storage.k8s.io/pvc/namespace"
PV_NAME = "csi.storage.k8s.io/pv/name"
FS_TYPE = "csi.storage.k8s.io/fstype"
NOT_FOR_THE_BACKEND = frozenset({CLAIM_NAME, CLAIM_NAMESPACE, PV_NAME, FS_TYPE})
"""Keys of `parameters` that Kubernetes' provisioners add or that speak to the node; a backend never sees them."""

_LONGEST_NAME = 128  # bytes: CSI's limit for a string
_SECRETS = ("cloud",)


def require(request: Message, *fields: str) -> None:
    """Raise InvalidArgument naming the first of the fields that the request does not have."""
    present = {field.name for field, _ in request.ListFields()}
    for field in fields:
        if field not in present:
            raise InvalidArgument(f"{field} is missing")


def create_volume(request: pb.CreateVolumeRequest, cluster: str) -> CreateVolume:
    """The wanted volume, stamped with the id of this cluster.

    Raises:
        InvalidArgument: a field is missing or cannot be met by anybody.
        OutOfRange: the sizes contradict each other.
    """
    require(request, "name", "volume_capabilities")
    check_name(request.name)
    if request.HasField("volume_content_source"):
        raise InvalidArgument("volume_content_source is not offered: volumes are made empty")
    if request.mutable_parameters:
        raise InvalidArgument("mutable_parameters are not offered: leave volumeAttributesClassName out of the claim")
    parameters = dict(request.parameters)
    return CreateVolume(
        name=request.name,
        capacity=capacity(request.capacity_range) if request.HasField("capacity_range") else Capacity(),
        capabilities=with_fs_type(capabilities(request.volume_capabilities), parameters.get(FS_TYPE, "")),
        parameters={key: value for key, value in parameters.items() if key not in NOT_FOR_THE_BACKEND},
        topology=topology_requirement(request.accessibility_requirements),
        stamp=Stamp(
            cluster=cluster,
            claim_name=parameters.get(CLAIM_NAME, ""),
            claim_namespace=parameters.get(CLAIM_NAMESPACE, ""),
            pv_name=parameters.get(PV_NAME, ""),
        ),
        cloud=cloud_of(request.secrets),
    )


def check_name(name: str) -> None:
    """Refuse what CSI forbids in a name: control characters, and more than 128 bytes."""
    if len(name.encode()) > _LONGEST_NAME:
        raise InvalidArgument(f"name has more than {_LONGEST_NAME} bytes")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise InvalidArgument(f"name {name!a} has control characters")


def cloud_of(secrets: Mapping[str, str]) -> str:
    """The cloud of clouds.yaml that the secrets choose, empty for the default. Raises InvalidArgument on other keys.

    Its credentials come from clouds.yaml alone, so no other secret has a meaning here.
    """
    for key in secrets:
        if key not in _SECRETS:
            raise unknown_key("secret key", key, _SECRETS)
    return secrets.get("cloud", "")


def capacity(message: pb.CapacityRange) -> Capacity:
    """The wanted size in bytes. Raises InvalidArgument when it says nothing, OutOfRange when it cannot be had."""
    required, limit = message.required_bytes, message.limit_bytes
    if required == 0 and limit == 0:
        raise InvalidArgument("capacity_range is empty: required_bytes or limit_bytes must be above 0")
    if required < 0 or limit < 0:
        raise InvalidArgument(f"capacity_range is negative: required_bytes {required}, limit_bytes {limit}")
    if 0 < limit < required:
        raise OutOfRange(f"capacity_range: limit_bytes {limit} is less than required_bytes {required}")
    return Capacity(required, limit)


def capabilities(messages: Iterable[pb.VolumeCapability]) -> tuple[Capability, ...]:
    """All of them; see `capability`."""
    return tuple(capability(message) for message in messages)


def capability(message: pb.VolumeCapability) -> Capability:
    """One way to use a volume. Raises InvalidArgument without an access type or a known access mode."""
    mode = access_mode(message.access_mode.mode)
    kind = message.WhichOneof("access_type")
    if kind == "block":
        return Capability(AccessType.BLOCK, mode)
    if kind == "mount":
        mount = message.mount
        return Capability(AccessType.MOUNT, mode, mount.fs_type, tuple(mount.mount_flags), mount.volume_mount_group)
    raise InvalidArgument("volume_capability.access_type is missing: mount or block")


def access_mode(number: int) -> AccessMode:
    """The mode of that number. Raises InvalidArgument for 0 and for numbers of a later CSI."""
    if number == 0:
        raise InvalidArgument("volume_capability.access_mode is missing")
    try:
        return AccessMode(number)
    except ValueError:
        raise InvalidArgument(f"volume_capability.access_mode {number} is not known") from None


def with_fs_type(wanted: Iterable[Capability], fs_type: str) -> tuple[Capability, ...]:
    """The capabilities, where mounts without a file system of their own get this one."""
    return tuple(
        replace(one, fs_type=fs_type) if one.access_type is AccessType.MOUNT and not one.fs_type else one
        for one in wanted
    )


def topology_requirement(message: pb.TopologyRequirement) -> TopologyRequirement:
    """Where the volume must be reachable; empty when the request has no such wish."""
    return TopologyRequirement(requisite=segments(message.requisite), preferred=segments(message.preferred))


def segments(messages: Iterable[pb.Topology]) -> tuple[Segment, ...]:
    """The places, in their order."""
    return tuple(dict(message.segments) for message in messages)


def capability_message(value: Capability) -> pb.VolumeCapability:
    """`capability`, the other way."""
    mode = pb.VolumeCapability.AccessMode(mode=pb.VolumeCapability.AccessMode.Mode.Name(value.access_mode.value))
    if value.access_type is AccessType.BLOCK:
        return pb.VolumeCapability(block=pb.VolumeCapability.BlockVolume(), access_mode=mode)
    mount = pb.VolumeCapability.MountVolume(
        fs_type=value.fs_type, mount_flags=value.mount_flags, volume_mount_group=value.mount_group
    )
    return pb.VolumeCapability(mount=mount, access_mode=mode)


def topology_message(segment: Segment) -> pb.Topology:
    """One place."""
    return pb.Topology(segments=segment)


def volume_message(volume: Volume) -> pb.Volume:
    """A volume as CreateVolume and the lists answer it."""
    return pb.Volume(
        volume_id=volume.id,
        capacity_bytes=volume.size_bytes,
        volume_context=volume.context,
        accessible_topology=[topology_message(segment) for segment in volume.topology],
    )


def condition_message(status: VolumeStatus) -> pb.VolumeCondition:
    """Whether the volume is well, and what it is when not."""
    return pb.VolumeCondition(abnormal=status.abnormal, message=status.message)


def entry_message(status: VolumeStatus) -> pb.ListVolumesResponse.Entry:
    """A line of ListVolumes."""
    return pb.ListVolumesResponse.Entry(
        volume=volume_message(status.volume),
        status=pb.ListVolumesResponse.VolumeStatus(
            published_node_ids=status.published_nodes, volume_condition=condition_message(status)
        ),
    )


def status_message(status: VolumeStatus) -> pb.ControllerGetVolumeResponse:
    """The answer of ControllerGetVolume."""
    return pb.ControllerGetVolumeResponse(
        volume=volume_message(status.volume),
        status=pb.ControllerGetVolumeResponse.VolumeStatus(
            published_node_ids=status.published_nodes, volume_condition=condition_message(status)
        ),
    )
