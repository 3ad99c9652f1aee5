"""The domain's nouns: what a volume, a claim and a request are, free of wire, cloud and Kubernetes.

The CSI controller and the watchers both translate into these; the service and the backends speak nothing else.
All are frozen: a value is what somebody saw at one moment.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

GIB = 1024**3

Segment = Mapping[str, str]
"""A topology segment: topology key to value, e.g. {"topology.cinder.csi.openstack.org/zone": "nova"}."""


_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


def zone_label(zone: str) -> str:
    """A zone's name as a label's value: node and controller must write the same for the same zone.

    OpenStack allows more in a name than Kubernetes in a label, which has at most 63 letters, digits, `-`, `_` and `.`,
    with a letter or digit at both ends; what is not allowed becomes a dash.
    """
    return _UNSAFE.sub("-", zone)[:63].strip("-_.")


class AccessType(enum.Enum):
    """How a pod sees the volume."""

    MOUNT = "mount"
    BLOCK = "block"


class AccessMode(enum.Enum):
    """Who may use the volume at one time (CSI 1.12, VolumeCapability.AccessMode.Mode)."""

    SINGLE_NODE_WRITER = 1
    SINGLE_NODE_READER_ONLY = 2
    MULTI_NODE_READER_ONLY = 3
    MULTI_NODE_SINGLE_WRITER = 4
    MULTI_NODE_MULTI_WRITER = 5
    SINGLE_NODE_SINGLE_WRITER = 6
    SINGLE_NODE_MULTI_WRITER = 7

    @property
    def multi_node(self) -> bool:
        """More than one node at a time."""
        return self in (
            AccessMode.MULTI_NODE_READER_ONLY,
            AccessMode.MULTI_NODE_SINGLE_WRITER,
            AccessMode.MULTI_NODE_MULTI_WRITER,
        )


@dataclass(frozen=True)
class Capability:
    """One way in which a volume shall be usable (CSI VolumeCapability)."""

    access_type: AccessType = AccessType.MOUNT
    access_mode: AccessMode = AccessMode.SINGLE_NODE_WRITER
    fs_type: str = ""
    mount_flags: tuple[str, ...] = ()
    mount_group: str = ""


@dataclass(frozen=True)
class Capacity:
    """A wanted size in bytes; 0 means that the side is not bounded (CSI CapacityRange)."""

    required_bytes: int = 0
    limit_bytes: int = 0


@dataclass(frozen=True)
class TopologyRequirement:
    """Where the volume must be reachable, in the order of preference (CSI TopologyRequirement)."""

    requisite: tuple[Segment, ...] = ()
    preferred: tuple[Segment, ...] = ()


@dataclass(frozen=True)
class Stamp:
    """Whose object it is: written on the cloud object in the create call itself, read back by recovery and audit.

    `claim_name`, `claim_namespace` and `pv_name` are empty where the CO did not say.
    """

    cluster: str
    claim_name: str = ""
    claim_namespace: str = ""
    pv_name: str = ""


@dataclass(frozen=True)
class CreateVolume:
    """A wanted volume. The name is the key of idempotency: one name, one volume.

    `parameters` are the StorageClass's keys as written; the backend refuses what it does not know.
    `cloud` names a cloud of clouds.yaml; empty means the default one.
    """

    name: str
    capacity: Capacity = Capacity()
    capabilities: tuple[Capability, ...] = (Capability(),)
    parameters: Mapping[str, str] = field(default_factory=dict)
    topology: TopologyRequirement = TopologyRequirement()
    stamp: Stamp = Stamp(cluster="")
    cloud: str = ""


@dataclass(frozen=True)
class Volume:
    """A volume that can be used.

    `id` is the CSI volume handle (the Cinder volume's or Manila share's UUID); `context` goes to the node as it is.
    """

    id: str
    size_bytes: int
    topology: tuple[Segment, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True)
class VolumeStatus:
    """A volume as the cloud shows it: for ListVolumes, ControllerGetVolume and the attacher's healing.

    `abnormal` with `message` is the CSI VolumeCondition.
    """

    volume: Volume
    published_nodes: tuple[str, ...] = ()
    abnormal: bool = False
    message: str = ""


@dataclass(frozen=True)
class Attachment:
    """A volume that a node can see. `context` becomes the CSI publish context."""

    volume_id: str
    node_id: str
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Orphan:
    """A cloud object with our cluster's stamp; the watcher decides whether a claim or PV still refers to it.

    `unused`: the cloud shows that nothing was done with it since it was made, so that it cannot hold anybody's data.
    """

    volume_id: str
    name: str
    stamp: Stamp
    status: str
    attached: bool
    created_at: str = ""
    unused: bool = False


@dataclass(frozen=True)
class Pending:
    """The answer of a step that the cloud has not finished: what it waits for, in words for an event.

    The board calls the waiter's `wake` when the cloud's state changed; then the same step is taken again.
    """

    what: str
    subject: str = ""
