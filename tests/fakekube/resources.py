"""The kinds that the fake API server knows, and how a path names them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Resource:
    version: str  # as in apiVersion: "v1" or "storage.k8s.io/v1"
    plural: str
    kind: str
    namespaced: bool = False
    has_status: bool = False  # with /status, which alone may change it
    status_changes_metadata: bool = True  # whether a write of /status also writes labels, annotations, finalizers
    returns_deleted: bool = True  # DELETE answers with the object, else with a Status
    made_by_put: bool = False  # PUT may create, so a PUT of what is gone is a conflict and not a 404

    @property
    def label(self) -> str:
        group = self.version.rpartition("/")[0]
        return f"{self.plural}.{group}" if group else self.plural


@dataclass(frozen=True)
class Ref:
    """What a path names: a collection (no name), an object or one of its subresources."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""


class UnknownPath(Exception):
    """No known kind has that path."""


_ALL = [
    Resource("v1", "configmaps", "ConfigMap", namespaced=True, returns_deleted=False),
    Resource("v1", "events", "Event", namespaced=True, returns_deleted=False),
    Resource("v1", "namespaces", "Namespace", has_status=True),
    Resource("v1", "nodes", "Node", has_status=True, returns_deleted=False),
    Resource("v1", "persistentvolumeclaims", "PersistentVolumeClaim", namespaced=True, has_status=True),
    Resource("v1", "persistentvolumes", "PersistentVolume", has_status=True),
    Resource("v1", "pods", "Pod", namespaced=True, has_status=True),
    Resource("v1", "secrets", "Secret", namespaced=True, returns_deleted=False),
    Resource("coordination.k8s.io/v1", "leases", "Lease", namespaced=True, returns_deleted=False, made_by_put=True),
    Resource("events.k8s.io/v1", "events", "Event", namespaced=True, returns_deleted=False),
    Resource("snapshot.storage.k8s.io/v1", "volumesnapshotclasses", "VolumeSnapshotClass"),
    Resource("snapshot.storage.k8s.io/v1", "volumesnapshotcontents", "VolumeSnapshotContent", has_status=True),
    Resource("snapshot.storage.k8s.io/v1", "volumesnapshots", "VolumeSnapshot", namespaced=True, has_status=True),
    Resource("storage.k8s.io/v1", "csidrivers", "CSIDriver"),
    Resource("storage.k8s.io/v1", "csinodes", "CSINode"),
    Resource("storage.k8s.io/v1", "csistoragecapacities", "CSIStorageCapacity", namespaced=True, returns_deleted=False),
    Resource("storage.k8s.io/v1", "storageclasses", "StorageClass"),
    Resource(
        "storage.k8s.io/v1", "volumeattachments", "VolumeAttachment", has_status=True, status_changes_metadata=False
    ),
    Resource("storage.k8s.io/v1", "volumeattributesclasses", "VolumeAttributesClass"),
]
RESOURCES = {(resource.version, resource.plural): resource for resource in _ALL}


@lru_cache(maxsize=10_000)
def resolve(path: str) -> Ref:
    """Raises UnknownPath where a real server answers 404 page not found."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        version, rest = parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        version, rest = "/".join(parts[1:3]), parts[3:]
    else:
        raise UnknownPath(path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and (version, rest[2]) in RESOURCES:
        namespace, rest = rest[1], rest[2:]
    resource = RESOURCES.get((version, rest[0]))
    if resource is None or len(rest) > 3 or (namespace and not resource.namespaced):
        raise UnknownPath(path)
    name, subresource = [*rest[1:], "", ""][:2]
    if subresource and not (subresource == "status" and resource.has_status):
        raise UnknownPath(path)
    if resource.namespaced and name and not namespace:
        raise UnknownPath(path)
    return Ref(resource, namespace, name, subresource)
