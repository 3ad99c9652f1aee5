"""Kubernetes objects as the tests apply them: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.testbed.layout import BUSYBOX_IMAGE

Json = dict[str, Any]

DRIVER = "cinder.csi.openstack.org"
WRITE_ON = "while read up rest < /proc/uptime; do echo $up >> /data/log || exit 1; sleep 0.2; done"
"""Writes the machine's uptime five times a second, and ends when a write fails."""
IDLE = "while sleep 1; do :; done"


def storage_class(
    name: str,
    *,
    driver: str = DRIVER,
    binding: str = "WaitForFirstConsumer",
    reclaim: str = "Delete",
    parameters: Mapping[str, str] | None = None,
    mount_options: Sequence[str] = (),
) -> Json:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": driver,
        "volumeBindingMode": binding,
        "reclaimPolicy": reclaim,
        "parameters": dict(parameters or {}),
        "mountOptions": list(mount_options),
    }


def claim(
    name: str,
    storage_class_name: str,
    *,
    size: str = "1Gi",
    limit: str = "",
    mode: str = "Filesystem",
    access: str = "ReadWriteOnce",
) -> Json:
    resources = {"requests": {"storage": size}} | ({"limits": {"storage": limit}} if limit else {})
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": storage_class_name,
            "accessModes": [access],
            "volumeMode": mode,
            "resources": resources,
        },
    }


def pod(
    name: str,
    claim_name: str,
    *,
    script: str = WRITE_ON,
    block: bool = False,
    read_only: bool = False,
    node: str = "",
    not_on: str = "",
    security: Mapping[str, Any] | None = None,
) -> Json:
    """A busybox with the claim at /data, or its disk at /dev/data."""
    at = {"volumeDevices": [{"name": "data", "devicePath": "/dev/data"}]} if block else {}
    container = {
        "name": "main",
        "image": BUSYBOX_IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", script],
        **(at or {"volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": read_only}]}),
    }
    source = {"claimName": claim_name, "readOnly": read_only}
    spec: Json = {
        "terminationGracePeriodSeconds": 0,
        "enableServiceLinks": False,
        "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": source}],
        "securityContext": dict(security or {}),
    }
    if node or not_on:
        spec["affinity"] = _affinity("In" if node else "NotIn", node or not_on)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _affinity(operator: str, node: str) -> Json:
    # not spec.nodeName: a pod that passes the scheduler by leaves its claim without a selected node
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": operator, "values": [node]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def of_image(workload: Json, storage_class_name: str) -> Json:
    """A StatefulSet of the examples, with the bed's busybox and a class of the test's own."""
    container = workload["spec"]["template"]["spec"]["containers"][0]
    container |= {"image": BUSYBOX_IMAGE, "imagePullPolicy": "Never"}
    workload["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] = storage_class_name
    return workload
