"""The driver in the cluster: installed from its manifests as shipped, its leader, its processes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.cluster import CORE, Cluster, Json, until
from tests.demo.site import CHECKOUT, one_cloud
from tests.testbed import driver_image

NAMESPACE = "openstack-csi"
CONTROLLER = "deployment/openstack-csi-controller"
NODE = "daemonset/openstack-csi-node"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/cinder-csi-openstack-org"
CLOUD = "demo-appcred"
REMOVING = {"OPENSTACK_CSI_ORPHAN_POLICY": "delete", "OPENSTACK_CSI_ORPHAN_GRACE": "0s"}
IMAGE_ANNOTATION = "openstack-csi-tests/image"


class Driver:
    """What `kubectl apply -k manifests/overlays/testbed` made."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def be_installed(self) -> None:
        """The manifests and the Secret are applied, and every replica is ready and of the newest image."""
        clouds = one_cloud(self.cluster.bed.clouds_yaml, CLOUD)
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "openstack-csi-clouds", "namespace": NAMESPACE},
            "stringData": {"clouds.yaml": clouds},
        }
        self._apply([*self._manifests(), secret])
        self._be_told(dict.fromkeys(REMOVING, ""))  # a run that was cut off may have left them: apply keeps them
        self.be_rolled_out()

    def be_rolled_out(self) -> None:
        """Every replica is ready."""
        for workload in (NODE, CONTROLLER):
            self.cluster.bed.kubectl("-n", NAMESPACE, "rollout", "status", workload, "--timeout=90s")

    def be_removing(self, removing: bool) -> None:
        """The controllers remove what nobody refers to as soon as they see it; or they only report, as shipped."""
        self._be_told(REMOVING if removing else dict.fromkeys(REMOVING, ""))
        self.be_rolled_out()
        until("only the new controllers are left", lambda: len(self.pods("controller")) == 2)

    def _be_told(self, variables: Mapping[str, str]) -> None:
        """The controllers get these environment variables; an empty one is taken away."""
        pairs = [f"{name}={value}" if value else f"{name}-" for name, value in variables.items()]
        self.cluster.bed.kubectl("-n", NAMESPACE, "set", "env", CONTROLLER, *pairs)

    def _manifests(self) -> list[Json]:
        """The test bed's overlay, with the image's hash on the pods: its tag is always the same."""
        text = self.cluster.bed.kubectl("kustomize", str(CHECKOUT / "manifests/overlays/testbed"))
        objects: list[Json] = list(yaml.safe_load_all(text))
        image = driver_image.latest(self.cluster.bed.layout)
        assert image is not None, "there is no image of the driver: python -m tests.testbed image"
        for each in objects:
            if each["kind"] in ("Deployment", "DaemonSet"):
                metadata: dict[str, Any] = each["spec"]["template"]["metadata"]
                metadata["annotations"] = {IMAGE_ANNOTATION: image.path.stem}
        return objects

    def _apply(self, objects: list[Json]) -> None:
        bundle = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.cluster.bed.kubectl("apply", "-f", "-", input=json.dumps(bundle))

    # -- look

    def pods(self, component: str) -> list[Json]:
        """The pods of a component, `controller` or `node`."""
        return self.cluster.items(
            f"{CORE}/namespaces/{NAMESPACE}/pods", labelSelector=f"app.kubernetes.io/component={component}"
        )

    def holder(self) -> str:
        """Who holds the lease, empty if nobody does."""
        lease = self.cluster.get(LEASE)
        return str((lease or {}).get("spec", {}).get("holderIdentity") or "")

    def leader(self) -> Json:
        """The controller pod that leads."""

        def look() -> Json | None:
            holder = self.holder().partition("_")[0]
            return next((each for each in self.pods("controller") if each["metadata"]["name"] == holder), None)

        return until("a controller leads", look)

    def on(self, node: str) -> Json:
        """The node pod of a node."""
        return next(each for each in self.pods("node") if each["spec"]["nodeName"] == node)

    def be_deleted(self, pod: Json) -> None:
        """Ask for the end of one of the driver's pods."""
        self.cluster.delete(f"{CORE}/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}")

    def signal(self, pod: Json, number: int) -> None:
        """Send a signal to the program in a pod, as its node's kernel would."""
        os.kill(process_of(pod), number)


def process_of(pod: Json) -> int:
    """The process of the driver's role in a pod, as this machine counts: the pod's cgroup has its UID in its name."""
    uid = pod["metadata"]["uid"]
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_its = uid in (entry / "cgroup").read_text()
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if is_its and any(word.endswith(b"/openstack-csi") for word in words):
            return int(entry.name)
    raise AssertionError(f"no process of pod {pod['metadata']['name']} runs")
