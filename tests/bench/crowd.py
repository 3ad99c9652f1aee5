"""A controller that looks after 3,000 claims: how much memory that takes.

Every claim is Bound to a PV of the driver, with a volume in the cloud and a VolumeAttachment: all the objects that the
controller keeps something of. The API server is the fake one, since a real one's controllers would take minutes over
3,000 bindings; the objects have a real one's size. A hundred more claims are then provisioned, so that workers,
connections and the index of names are in use too.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import yaml

from tests.bench.cluster import DRIVER
from tests.bench.figures import Book
from tests.bench.machine import memory_mib
from tests.bench.programs import Controller, until
from tests.fakecloud import Config, FakeCloud
from tests.fakecloud.model import Volume
from tests.fakekube import FakeKube

CLAIMS = 3000
MORE = 100
NAMESPACES = 10
SETTLE_SECONDS = 120.0
CLUSTER_KEY = "cinder.csi.openstack.org/cluster"

Json = dict[str, Any]

_MANAGED = [{"manager": "kube", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:spec": "f:" * 400}}]
"""As long as the records of field managers that the API server adds to each object."""


def measure(folder: Path, book: Book) -> None:
    """Start a controller among the claims, and note its memory once it knows them all."""
    with FakeKube() as kube, FakeCloud(Config()) as cloud:
        server = cloud.add_server("node-1").id
        kube.create("/apis/storage.k8s.io/v1/storageclasses", {"metadata": {"name": "fast"}, "provisioner": DRIVER})
        kube.create(
            "/apis/storage.k8s.io/v1/csinodes",
            {"metadata": {"name": "node-1"}, "spec": {"drivers": [{"name": DRIVER, "nodeID": server}]}},
        )
        for number in range(CLAIMS):
            _make(kube, cloud, number)
        environment = _environment(folder, kube, cloud)
        with Controller(DRIVER, folder, environment) as controller:
            for number in range(CLAIMS, CLAIMS + MORE):
                kube.create(_claims(number), _claim(number))
            until(
                "the further claims have their PVs",
                lambda: len(kube.list("/api/v1/persistentvolumes")) == CLAIMS + MORE,
                SETTLE_SECONDS,
            )
            book.add(f"memory of the controller, {CLAIMS} claims", memory_mib(controller.pid), "MiB")


def _make(kube: FakeKube, cloud: FakeCloud, number: int) -> None:
    """A claim, its PV, its volume, its VolumeAttachment."""
    claim = kube.create(_claims(number), _claim(number))
    metadata = claim["metadata"]
    name = f"pvc-{metadata['uid']}"
    volume = _volume(kube, cloud, name)
    kube.create("/api/v1/persistentvolumes", _pv(name, volume, metadata))
    bound = {"spec": {"volumeName": name}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
    kube.patch(f"{_claims(number)}/{metadata['name']}", bound)
    kube.create(
        "/apis/storage.k8s.io/v1/volumeattachments",
        {
            "metadata": {
                "name": f"csi-{uuid.uuid4().hex}",
                "finalizers": [f"external-attacher/{DRIVER.replace('.', '-')}"],
                "managedFields": _MANAGED,
            },
            "spec": {"attacher": DRIVER, "nodeName": "node-1", "source": {"persistentVolumeName": name}},
            "status": {"attached": True},
        },
    )


def _volume(kube: FakeKube, cloud: FakeCloud, name: str) -> str:
    """A volume with the cluster's stamp, past the fake's API: 3,000 requests would take half a minute."""
    state = cloud.state
    cluster = kube.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    user = state.users["demo"]
    volume = Volume(
        id=state.new_id(),
        number=state.new_number(),
        project=user.project,
        user=user,
        name=name,
        description=None,
        size=1,
        zone=cloud.config.default_zone,
        type=next(iter(state.types.values())),
        created_at=state.timeline.wall(),
        metadata={
            CLUSTER_KEY: cluster,
            "csi.storage.k8s.io/pv/name": name,
            "csi.storage.k8s.io/pvc/name": f"data-of-a-service-{name[-4:]}",
            "csi.storage.k8s.io/pvc/namespace": "team-1",
        },
        status="in-use",
    )
    state.volumes[volume.id] = volume
    return volume.id


def _claims(number: int) -> str:
    return f"/api/v1/namespaces/team-{number % NAMESPACES}/persistentvolumeclaims"


def _claim(number: int) -> Json:
    return {
        "metadata": {
            "name": f"data-of-a-service-{number}",
            "annotations": {"volume.kubernetes.io/storage-provisioner": DRIVER},
            "finalizers": ["kubernetes.io/pvc-protection"],
            "labels": {"app.kubernetes.io/name": "service", "app.kubernetes.io/instance": str(number)},
            "managedFields": _MANAGED,
        },
        "spec": {
            "storageClassName": "fast",
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def _pv(name: str, volume: str, claim: Json) -> Json:
    return {
        "metadata": {
            "name": name,
            "annotations": {"pv.kubernetes.io/provisioned-by": DRIVER},
            "finalizers": [
                "kubernetes.io/pv-protection",
                "external-provisioner.volume.kubernetes.io/finalizer",
                f"external-attacher/{DRIVER.replace('.', '-')}",
            ],
            "managedFields": _MANAGED,
        },
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "fast",
            "claimRef": {"kind": "PersistentVolumeClaim", **{k: claim[k] for k in ("namespace", "name", "uid")}},
            "csi": {"driver": DRIVER, "volumeHandle": volume, "fsType": "ext4"},
        },
        "status": {"phase": "Bound"},
    }


def _environment(folder: Path, kube: FakeKube, cloud: FakeCloud) -> dict[str, str]:
    kubeconfig, clouds = folder / "crowd.kubeconfig", folder / "crowd-clouds.yaml"
    named = {"name": "crowd"}
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "crowd",
                "clusters": [{**named, "cluster": {"server": kube.url}}],
                "users": [{**named, "user": {}}],
                "contexts": [{**named, "context": {"cluster": "crowd", "user": "crowd"}}],
            }
        )
    )
    cloud.write_clouds_yaml(clouds)
    return {"KUBECONFIG": str(kubeconfig), "OS_CLIENT_CONFIG_FILE": str(clouds), "OS_CLOUD": "demo"}
