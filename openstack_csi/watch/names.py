"""Names that Kubernetes and the stock sidecars gave, so that either can take over from the other."""

from __future__ import annotations

import re

CLAIMS = "/api/v1/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
NODES = "/api/v1/nodes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
CSI_NODES = "/apis/storage.k8s.io/v1/csinodes"
ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"

PROVISIONER = "volume.kubernetes.io/storage-provisioner"
PROVISIONER_BETA = "volume.beta.kubernetes.io/storage-provisioner"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
CLASS_BETA = "volume.beta.kubernetes.io/storage-class"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
DELETION_SECRET_NAME = "volume.kubernetes.io/provisioner-deletion-secret-name"  # noqa: S105
DELETION_SECRET_NAMESPACE = "volume.kubernetes.io/provisioner-deletion-secret-namespace"  # noqa: S105
PROVISIONER_FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
IDENTITY = "storage.kubernetes.io/csiProvisionerIdentity"

NODE_ID = "csi.alpha.kubernetes.io/node-id"


def attacher_finalizer(driver: str) -> str:
    """The finalizer of a driver's attacher on VolumeAttachments and PVs, spelled as the stock attacher does."""
    name = re.sub(r"[^a-zA-Z0-9-]", "-", driver)
    return f"external-attacher/{name}X" if name.endswith("-") else f"external-attacher/{name}"


def claim_path(namespace: str, name: str) -> str:
    """The API path of a claim."""
    return f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"


def volume_path(name: str) -> str:
    """The API path of a PersistentVolume."""
    return f"{VOLUMES}/{name}"


def attachment_path(name: str) -> str:
    """The API path of a VolumeAttachment."""
    return f"{ATTACHMENTS}/{name}"


def secret_path(namespace: str, name: str) -> str:
    """The API path of a Secret."""
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"
