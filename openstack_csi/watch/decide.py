"""What to do about a claim: pure, from the claim, its class and the zones to one of five answers.

    Ignore      not ours, or nothing to do
    StandAside  somebody else fills it (a populator); told once
    Wait        something is missing that others will bring; told, and looked at again
    Refuse      the claim or its class is wrong; told, and looked at again when either changes
    Provision   a request for the service, and what the PV needs besides

The provisioner acts on it; everything that can be said without I/O is said here.
"""

from __future__ import annotations

from dataclasses import dataclass

from openstack_csi.errors import DriverError, InvalidArgument, Unimplemented, unknown_key
from openstack_csi.model import AccessMode, AccessType, Capability, Capacity, CreateVolume, Stamp
from openstack_csi.watch.classes import ClassParameters, read_parameters
from openstack_csi.watch.config import WatchConfig
from openstack_csi.watch.objects import Claim, StorageClass
from openstack_csi.watch.quantity import parse_quantity
from openstack_csi.watch.topology import NoTopology, Zones, requirement

_ACCESS_MODES = {
    "ReadWriteOnce": AccessMode.SINGLE_NODE_WRITER,
    "ReadWriteOncePod": AccessMode.SINGLE_NODE_WRITER,  # the pod is Kubernetes' to hold; CSI knows nodes
    "ReadOnlyMany": AccessMode.MULTI_NODE_READER_ONLY,
    "ReadWriteMany": AccessMode.MULTI_NODE_MULTI_WRITER,
}
_SOURCES_OF_CSI = {("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot")}


@dataclass(frozen=True)
class Ignore:
    """Nothing to do."""

    reason: str


@dataclass(frozen=True)
class StandAside:
    """Somebody else provides the volume; `message` is the event."""

    message: str


@dataclass(frozen=True)
class Wait:
    """Something is missing that others will bring."""

    reason: str


@dataclass(frozen=True)
class Refuse:
    """The claim cannot be met as it is."""

    error: DriverError


@dataclass(frozen=True)
class Provision:
    """The request, and what the PV needs besides."""

    claim: Claim
    storage_class: StorageClass
    parameters: ClassParameters
    request: CreateVolume


Decision = Ignore | StandAside | Wait | Refuse | Provision


def decide(claim: Claim, storage_class: StorageClass | None, zones: Zones, config: WatchConfig) -> Decision:
    """What to do about a claim.

    Args:
        claim: the claim as last seen.
        storage_class: the class that it names, None where there is no such class.
        zones: what the nodes offer.
        config: the driver's name, the defaults.
    """
    reason = _not_ours(claim, storage_class, config.driver)
    if reason:
        return Ignore(reason)
    if storage_class is None:
        return Wait(f'StorageClass "{claim.storage_class}" not found')
    source = claim.data_source
    if source and (source.api_group, source.kind) not in _SOURCES_OF_CSI:
        return StandAside("Assuming an external populator will provision the volume")
    try:
        return _provision(claim, storage_class, zones, config)
    except NoTopology as e:
        return Wait(str(e))
    except DriverError as e:
        return Refuse(e)


def _not_ours(claim: Claim, storage_class: StorageClass | None, driver: str) -> str:
    """Why the claim is none of our business, empty when it is."""
    if claim.volume_name:
        return "it has its volume"
    if claim.deleting:
        return "it is being deleted"
    if claim.provisioner != driver:
        return "it asks for another provisioner"
    if storage_class and storage_class.provisioner != driver:
        return "its class belongs to another provisioner"
    if storage_class and storage_class.delayed and not claim.selected_node:
        return "it waits for its first consumer"
    return ""


def _provision(claim: Claim, storage_class: StorageClass, zones: Zones, config: WatchConfig) -> Provision:
    if claim.has_selector:
        raise InvalidArgument("claim Selector is not supported", hint="Remove spec.selector from the claim.")
    if claim.data_source:
        raise Unimplemented(f"a volume from a {claim.data_source.kind} is not offered yet")
    name = config.volume_name(claim.uid)
    parameters = read_parameters(storage_class, claim, name)
    request = CreateVolume(
        name=name,
        capacity=_capacity(claim),
        capabilities=_capabilities(claim, storage_class, parameters.fs_type, config.default_fs_type),
        parameters=parameters.backend,
        topology=requirement(zones, storage_class, claim.name, claim.selected_node if storage_class.delayed else ""),
        stamp=_stamp(claim, name, config),
    )
    return Provision(claim, storage_class, parameters, request)


def _capacity(claim: Claim) -> Capacity:
    required, limit = _bytes(claim.request, "requests"), _bytes(claim.limit, "limits")
    if required <= 0:
        raise InvalidArgument("the claim asks for no storage", hint="Set spec.resources.requests.storage.")
    if limit and limit < required:
        raise InvalidArgument("the claim's limits.storage is less than its requests.storage")
    return Capacity(required, limit)


def _bytes(text: str, field: str) -> int:
    try:
        return parse_quantity(text) if text else 0
    except ValueError as e:
        raise InvalidArgument(f"the claim's spec.resources.{field}.storage: {e}") from None


def _capabilities(
    claim: Claim, storage_class: StorageClass, fs_type: str, default_fs_type: str
) -> tuple[Capability, ...]:
    """One capability for each of the claim's access modes: the volume must serve them all.

    Which of them a backend can serve, and which file systems, is the backend's to say (`service.check`).
    """
    unknown = next((mode for mode in claim.access_modes if mode not in _ACCESS_MODES), None)
    if unknown or not claim.access_modes:
        raise unknown_key("access mode", unknown or "", _ACCESS_MODES)
    if claim.volume_mode == "Block":
        return tuple(Capability(AccessType.BLOCK, _ACCESS_MODES[mode]) for mode in claim.access_modes)
    return tuple(
        Capability(AccessType.MOUNT, _ACCESS_MODES[mode], fs_type or default_fs_type, storage_class.mount_options)
        for mode in claim.access_modes
    )


def _stamp(claim: Claim, volume_name: str, config: WatchConfig) -> Stamp:
    if not config.extra_metadata:
        return Stamp(config.cluster)
    return Stamp(config.cluster, claim.name, claim.namespace, volume_name)


def volume_capability(
    access_modes: tuple[str, ...], volume_mode: str, fs_type: str, mount_options: tuple[str, ...]
) -> Capability:
    """How a PV is published: its access modes as the one that CSI wants, ReadWriteMany before the others.

    Raises:
        InvalidArgument: the modes cannot be said as one.
    """
    modes = set(access_modes)
    if {"ReadOnlyMany", "ReadWriteOnce"} <= modes and "ReadWriteMany" not in modes:
        raise InvalidArgument("CSI cannot have ReadOnlyMany and ReadWriteOnce on one PersistentVolume")
    order = ("ReadWriteMany", "ReadOnlyMany", "ReadWriteOnce", "ReadWriteOncePod")
    first = next((mode for mode in order if mode in modes), None)
    if first is None:
        raise unknown_key("access mode", "".join(access_modes[:1]), _ACCESS_MODES)
    if volume_mode == "Block":
        return Capability(AccessType.BLOCK, _ACCESS_MODES[first])
    return Capability(AccessType.MOUNT, _ACCESS_MODES[first], fs_type, mount_options)
