"""The PersistentVolume of a provisioned claim (core/v1), with all fields that the stock provisioner fills in.

Both finalizers are put on at birth: the provisioner's, so that the PV outlives its cloud object (only with the
policy Delete), and the attacher's where our attacher runs, which saves it a patch at the first attach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openstack_csi.model import AccessType, Segment, Volume
from openstack_csi.watch import classes, names
from openstack_csi.watch.config import WatchConfig
from openstack_csi.watch.decide import Provision
from openstack_csi.watch.objects import PersistentVolume
from openstack_csi.watch.quantity import format_quantity

_SECRET_FIELDS = {
    "controllerPublishSecretRef": classes.CONTROLLER_PUBLISH,
    "nodeStageSecretRef": classes.NODE_STAGE,
    "nodePublishSecretRef": classes.NODE_PUBLISH,
    "controllerExpandSecretRef": classes.CONTROLLER_EXPAND,
    "nodeExpandSecretRef": classes.NODE_EXPAND,
}


def build_volume(plan: Provision, volume: Volume, identity: str, config: WatchConfig) -> dict[str, Any]:
    """The PersistentVolume as JSON.

    Args:
        plan: the claim and class that it is for.
        volume: what the service made.
        identity: names this provisioner process in the volume's attributes.
        config: the driver's name, and which watchers run.
    """
    claim, storage_class = plan.claim, plan.storage_class
    spec: dict[str, Any] = {
        "capacity": {"storage": format_quantity(volume.size_bytes)},
        "accessModes": list(claim.access_modes),
        "volumeMode": claim.volume_mode,
        "persistentVolumeReclaimPolicy": storage_class.reclaim_policy,
        "storageClassName": storage_class.name,
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": claim.namespace,
            "name": claim.name,
            "uid": claim.uid,
            "resourceVersion": claim.resource_version,
        },
        "csi": _source(plan, volume, identity, config),
    }
    if storage_class.mount_options:
        spec["mountOptions"] = list(storage_class.mount_options)
    affinity = _affinity(volume.topology)
    if affinity:
        spec["nodeAffinity"] = affinity
    metadata = {
        "name": plan.request.name,
        "annotations": _annotations(plan, config),
        "finalizers": _finalizers(storage_class.reclaim_policy, config),
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}


def _annotations(plan: Provision, config: WatchConfig) -> dict[str, str]:
    secret = plan.parameters.secrets.get(classes.PROVISION)
    return {
        names.PROVISIONED_BY: config.driver,
        names.DELETION_SECRET_NAME: secret.name if secret else "",
        names.DELETION_SECRET_NAMESPACE: secret.namespace if secret else "",
    }


def _finalizers(reclaim_policy: str, config: WatchConfig) -> list[str]:
    finalizers = [names.PROVISIONER_FINALIZER] if reclaim_policy == "Delete" else []
    return [*finalizers, names.attacher_finalizer(config.driver)] if config.attacher else finalizers


def _source(plan: Provision, volume: Volume, identity: str, config: WatchConfig) -> dict[str, Any]:
    capability = plan.request.capabilities[0]
    source: dict[str, Any] = {
        "driver": config.driver,
        "volumeHandle": volume.id,
        "volumeAttributes": {**volume.context, names.IDENTITY: identity},
    }
    if capability.access_type is AccessType.MOUNT:
        source["fsType"] = capability.fs_type
    for field, use in _SECRET_FIELDS.items():
        secret = plan.parameters.secrets.get(use)
        if secret:
            source[field] = {"name": secret.name, "namespace": secret.namespace}
    return source


def _affinity(segments: Sequence[Segment]) -> Mapping[str, Any] | None:
    terms = [
        {"matchExpressions": [{"key": key, "operator": "In", "values": [value]} for key, value in sorted(each.items())]}
        for each in segments
        if each
    ]
    return {"required": {"nodeSelectorTerms": terms}} if terms else None


def is_same(existing: PersistentVolume, wanted: Mapping[str, Any]) -> bool:
    """The PV of that name is the one that we wanted to make: same claim, same cloud object."""
    spec = wanted["spec"]
    return (existing.driver, existing.handle, existing.claim_uid) == (
        spec["csi"]["driver"],
        spec["csi"]["volumeHandle"],
        spec["claimRef"]["uid"],
    )
