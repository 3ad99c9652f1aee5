"""A node loses its power: its pods and their data go on elsewhere, and the node, once back, keeps nothing of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import CORE, Cluster, Json, until
from tests.cluster.driver import Driver
from tests.cluster.objects import claim, pod
from tests.cluster.space import CLAIMS, PODS, SETS, Space, is_ready
from tests.testbed.bed import Bed

LOST = "node-2"
TAINT = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}


@pytest.fixture
def node(bed: Bed, cluster: Cluster, driver: Driver) -> Iterator[str]:
    """A node that may be switched off; in the end it is on, without the taint."""
    yield LOST
    if bed.node_pid(LOST) is None:
        bed.restart_node(LOST)
    be_in_service(cluster, LOST)
    driver.be_rolled_out()


def be_out_of_service(cluster: Cluster, node: str) -> None:
    """Say what an administrator says of a node that is known to be off (KEP-2268)."""
    cluster.bed.kubectl("taint", "node", node, f"{TAINT['key']}={TAINT['value']}:{TAINT['effect']}", "--overwrite")


def be_in_service(cluster: Cluster, node: str) -> None:
    found = cluster.get(f"{CORE}/nodes/{node}") or {}
    taints = [each for each in found["spec"].get("taints", []) if each["key"] != TAINT["key"]]
    cluster.patch(f"{CORE}/nodes/{node}", {"spec": {"taints": taints or None}})


def lonely(storage_class: str) -> Json:
    """A StatefulSet of one, which likes the node that will be lost best."""
    spec = pod("unnamed", "unnamed")["spec"]
    del spec["volumes"]
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [LOST]}]}
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": term}]}
    spec["affinity"] = {"nodeAffinity": preferred}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "lonely"},
        "spec": {
            "replicas": 1,
            "serviceName": "lonely",
            "selector": {"matchLabels": {"app": "lonely"}},
            "template": {"metadata": {"labels": {"app": "lonely"}}, "spec": spec},
            "volumeClaimTemplates": [claim("data", storage_class)],
        },
    }


def test_a_pod_and_its_data_go_on_elsewhere_when_a_node_loses_its_power(space: Space, bed: Bed, node: str) -> None:
    space.create(SETS, lonely(space.storage_class()))
    [first] = space.running("lonely-0")
    assert first["spec"]["nodeName"] == node
    space.exec("lonely-0", "echo note > /data/note && sync")
    [pv] = space.bound("data-lonely-0")

    bed.cut_power(node)
    be_out_of_service(space.cluster, node)
    until("another pod runs elsewhere", lambda: runs_elsewhere(space, first))
    assert space.exec("lonely-0", "cat /data/note") == "note"
    assert attached_to(space, pv) == [space.get(PODS, "lonely-0")["spec"]["nodeName"]]

    bed.restart_node(node)
    be_in_service(space.cluster, node)
    until("the node has put the old pod away", lambda: not remains(bed, node, first, pv))
    assert space.exec("lonely-0", "cat /data/note") == "note"
    assert len(space.cluster.attachments(pv["metadata"]["name"])) == 1

    space.until_gone(SETS, "lonely")
    until("its pod is gone", lambda: not space.cluster.items(space.path(PODS)))
    space.delete(CLAIMS, "data-lonely-0")
    space.until_nothing_is_left()


def runs_elsewhere(space: Space, first: Json) -> bool:
    found = space.cluster.get(space.path(PODS, "lonely-0"))
    if found is None or found["metadata"]["uid"] == first["metadata"]["uid"]:
        return False
    return is_ready(found) and found["spec"]["nodeName"] != first["spec"]["nodeName"]


def attached_to(space: Space, pv: Json) -> list[str]:
    """The nodes that have the volume, as Cinder says."""
    return [space.cinder.server(each["server_id"]) for each in space.volume(pv)["attachments"]]


def remains(bed: Bed, node: str, pod: Json, pv: Json) -> list[str]:
    """The kubelet's folders of the pod and its volume, and mounts of theirs, that are still on the node."""
    kubelet = "/var/lib/kubelet"
    folders = bed.exec_on_node(node, ["find", f"{kubelet}/pods", f"{kubelet}/plugins", "-maxdepth", "5"]).splitlines()
    mounts = bed.exec_on_node(node, ["cat", "/proc/mounts"]).splitlines()
    names = (pod["metadata"]["uid"], hashlib.sha256(pv["spec"]["csi"]["volumeHandle"].encode()).hexdigest())
    return [line for line in folders + mounts if any(name in line for name in names)]
