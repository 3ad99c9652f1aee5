"""The Kubernetes objects that the watchers look at, cut down to what they look at.

An informer keeps thousands of these: each is a frozen record with slots, made by its `slim_…` from the raw JSON
and dropped with it. Texts that many objects share (classes, drivers, finalizers, nodes) are kept once.
A quantity stays text, so that a strange one is refused at its claim and not in the informer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from openstack_csi.watch import names

Raw = Mapping[str, Any]
T = TypeVar("T", str, tuple[str, ...])


@lru_cache(maxsize=1024)
def _once(value: T) -> T:
    """The first of all equal values: the others can go."""
    return value


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """What an event is about (core/v1 ObjectReference)."""

    kind: str
    name: str
    uid: str
    namespace: str = ""
    api_version: str = "v1"
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class DataSource:
    """Whence a claim wants its first contents."""

    kind: str
    name: str
    api_group: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim. `annotations` is empty once the claim is bound."""

    namespace: str
    name: str
    uid: str
    resource_version: str = ""
    deleting: bool = False
    storage_class: str = ""
    provisioner: str = ""
    selected_node: str = ""
    volume_name: str = ""
    access_modes: tuple[str, ...] = ()
    volume_mode: str = "Filesystem"
    request: str = ""
    limit: str = ""
    has_selector: bool = False
    data_source: DataSource | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def ref(self) -> ObjectRef:
        """The claim as an event names it."""
        return ObjectRef(
            "PersistentVolumeClaim", self.name, self.uid, self.namespace, resource_version=self.resource_version
        )


@dataclass(frozen=True, slots=True)
class PersistentVolume:
    """A PersistentVolume; `driver` and `handle` are empty where it is not a CSI volume."""

    name: str
    uid: str
    resource_version: str = ""
    deleting: bool = False
    phase: str = ""
    reclaim_policy: str = "Retain"
    storage_class: str = ""
    provisioned_by: str = ""
    finalizers: tuple[str, ...] = ()
    driver: str = ""
    handle: str = ""
    read_only: bool = False
    fs_type: str = ""
    mount_options: tuple[str, ...] = ()
    volume_mode: str = "Filesystem"
    access_modes: tuple[str, ...] = ()
    claim_namespace: str = ""
    claim_name: str = ""
    claim_uid: str = ""

    @property
    def ref(self) -> ObjectRef:
        """The PV as an event names it."""
        return ObjectRef("PersistentVolume", self.name, self.uid, resource_version=self.resource_version)


TopologyTerm = tuple[tuple[str, tuple[str, ...]], ...]
"""One allowed topology of a class: (key, allowed values), all of which must hold."""


@dataclass(frozen=True, slots=True)
class StorageClass:
    """A StorageClass. `delayed` is WaitForFirstConsumer."""

    name: str
    provisioner: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    reclaim_policy: str = "Delete"
    mount_options: tuple[str, ...] = ()
    delayed: bool = False
    allowed_topologies: tuple[TopologyTerm, ...] = ()


@dataclass(frozen=True, slots=True)
class VolumeAttachment:
    """A VolumeAttachment: the wish that a PV be attached to a node, and what became of it."""

    name: str
    uid: str
    attacher: str = ""
    volume_name: str = ""
    node: str = ""
    deleting: bool = False
    finalizers: tuple[str, ...] = ()
    node_id: str = ""
    attached: bool = False
    attach_error: str = ""
    detach_error: str = ""


@dataclass(frozen=True, slots=True)
class CSINode:
    """What one driver registered on a node; `node_id` is empty where the driver is not registered."""

    name: str
    node_id: str = ""
    topology_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A node's labels."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


def slim_claim(raw: Raw) -> Claim:
    """A claim from its JSON."""
    meta, spec = raw["metadata"], raw.get("spec") or {}
    annotations = meta.get("annotations") or {}
    resources = spec.get("resources") or {}
    bound = spec.get("volumeName") or ""
    return Claim(
        namespace=_once(meta["namespace"]),
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta.get("resourceVersion", ""),
        deleting="deletionTimestamp" in meta,
        storage_class=_once(annotations.get(names.CLASS_BETA) or spec.get("storageClassName") or ""),
        provisioner=_once(annotations.get(names.PROVISIONER) or annotations.get(names.PROVISIONER_BETA) or ""),
        selected_node=annotations.get(names.SELECTED_NODE) or "",
        volume_name=bound,
        access_modes=_once(tuple(spec.get("accessModes") or ())),
        volume_mode=_once(spec.get("volumeMode") or "Filesystem"),
        request=_once((resources.get("requests") or {}).get("storage", "")),
        limit=(resources.get("limits") or {}).get("storage", ""),
        has_selector=spec.get("selector") is not None,
        data_source=_data_source(spec),
        annotations={} if bound else {k: v for k, v in annotations.items() if k != names.LAST_APPLIED},
    )


def _data_source(spec: Raw) -> DataSource | None:
    source = spec.get("dataSourceRef") or spec.get("dataSource")
    return DataSource(source["kind"], source["name"], source.get("apiGroup") or "") if source else None


def slim_volume(raw: Raw) -> PersistentVolume:
    """A PersistentVolume from its JSON."""
    meta, spec = raw["metadata"], raw.get("spec") or {}
    csi, claim = spec.get("csi") or {}, spec.get("claimRef") or {}
    return PersistentVolume(
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta.get("resourceVersion", ""),
        deleting="deletionTimestamp" in meta,
        phase=_once((raw.get("status") or {}).get("phase", "")),
        reclaim_policy=_once(spec.get("persistentVolumeReclaimPolicy") or "Retain"),
        storage_class=_once(spec.get("storageClassName") or ""),
        provisioned_by=_once((meta.get("annotations") or {}).get(names.PROVISIONED_BY, "")),
        finalizers=_once(tuple(meta.get("finalizers") or ())),
        driver=_once(csi.get("driver", "")),
        handle=csi.get("volumeHandle", ""),
        read_only=bool(csi.get("readOnly")),
        fs_type=_once(csi.get("fsType") or ""),
        mount_options=_once(tuple(spec.get("mountOptions") or ())),
        volume_mode=_once(spec.get("volumeMode") or "Filesystem"),
        access_modes=_once(tuple(spec.get("accessModes") or ())),
        claim_namespace=_once(claim.get("namespace", "")),
        claim_name=claim.get("name", ""),
        claim_uid=claim.get("uid", ""),
    )


def slim_class(raw: Raw) -> StorageClass:
    """A StorageClass from its JSON."""
    return StorageClass(
        name=raw["metadata"]["name"],
        provisioner=raw.get("provisioner", ""),
        parameters=dict(raw.get("parameters") or {}),
        reclaim_policy=raw.get("reclaimPolicy") or "Delete",
        mount_options=tuple(raw.get("mountOptions") or ()),
        delayed=raw.get("volumeBindingMode") == "WaitForFirstConsumer",
        allowed_topologies=tuple(
            tuple((each["key"], tuple(each["values"])) for each in term.get("matchLabelExpressions") or ())
            for term in raw.get("allowedTopologies") or ()
        ),
    )


def slim_attachment(raw: Raw) -> VolumeAttachment:
    """A VolumeAttachment from its JSON."""
    meta, spec, status = raw["metadata"], raw["spec"], raw.get("status") or {}
    return VolumeAttachment(
        name=meta["name"],
        uid=meta["uid"],
        attacher=_once(spec.get("attacher", "")),
        volume_name=(spec.get("source") or {}).get("persistentVolumeName") or "",
        node=_once(spec.get("nodeName", "")),
        deleting="deletionTimestamp" in meta,
        finalizers=_once(tuple(meta.get("finalizers") or ())),
        node_id=_once((meta.get("annotations") or {}).get(names.NODE_ID, "")),
        attached=bool(status.get("attached")),
        attach_error=(status.get("attachError") or {}).get("message") or "",
        detach_error=(status.get("detachError") or {}).get("message") or "",
    )


def slim_csi_node(raw: Raw, driver: str) -> CSINode:
    """What `driver` registered in a CSINode."""
    for each in (raw.get("spec") or {}).get("drivers") or ():
        if each["name"] == driver:
            return CSINode(raw["metadata"]["name"], each["nodeID"], tuple(sorted(each.get("topologyKeys") or ())))
    return CSINode(raw["metadata"]["name"])


def slim_node(raw: Raw) -> Node:
    """A node from its JSON."""
    return Node(raw["metadata"]["name"], dict(raw["metadata"].get("labels") or {}))
