"""A claim's whole life, as Kubernetes and Cinder show it."""

from __future__ import annotations

from tests.cluster.cluster import CORE, PVS, Cluster, Json, until
from tests.cluster.objects import DRIVER
from tests.cluster.space import CLAIMS, PODS, Space

ZONE_KEY = "topology.cinder.csi.openstack.org/zone"
PROVISIONER_FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
ATTACHER_FINALIZER = "external-attacher/cinder-csi-openstack-org"


def cluster_id(cluster: Cluster) -> str:
    namespace = cluster.get(f"{CORE}/namespaces/kube-system")
    assert namespace is not None
    return str(namespace["metadata"]["uid"])


def phase(space: Space, pv: Json) -> str:
    found = space.cluster.get(f"{PVS}/{pv['metadata']['name']}")
    return str(found["status"]["phase"]) if found else "gone"


def test_a_claim_becomes_a_volume_with_its_name_and_stamp_and_leaves_nothing_behind(space: Space) -> None:
    storage_class = space.storage_class(binding="Immediate", parameters={"type": "standard"})
    made = space.claim("data", storage_class, size="1500Mi")
    [pv] = space.bound("data")

    name = f"pvc-{made['metadata']['uid']}"
    volume = space.volume(pv)
    assert volume["name"] == name
    assert volume["size"] == 2
    assert volume["volume_type"] == "standard"
    assert volume["status"] == "available"
    assert volume["metadata"] == {
        "cinder.csi.openstack.org/cluster": cluster_id(space.cluster),
        "csi.storage.k8s.io/pvc/name": "data",
        "csi.storage.k8s.io/pvc/namespace": space.name,
        "csi.storage.k8s.io/pv/name": name,
    }

    space.delete(CLAIMS, "data")
    space.until_nothing_is_left()


def test_a_persistent_volume_says_all_that_kubernetes_and_other_drivers_need(space: Space) -> None:
    storage_class = space.storage_class(binding="Immediate", mount_options=["noatime"])
    claim = space.claim("data", storage_class)
    [pv] = space.bound("data")
    volume = space.volume(pv)

    assert pv["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"] == DRIVER
    assert {PROVISIONER_FINALIZER, ATTACHER_FINALIZER} <= set(pv["metadata"]["finalizers"])
    spec = pv["spec"]
    assert spec["capacity"] == {"storage": "1Gi"}
    assert spec["accessModes"] == ["ReadWriteOnce"]
    assert spec["volumeMode"] == "Filesystem"
    assert spec["persistentVolumeReclaimPolicy"] == "Delete"
    assert spec["storageClassName"] == storage_class
    assert spec["mountOptions"] == ["noatime"]
    assert spec["claimRef"]["uid"] == claim["metadata"]["uid"]
    [term] = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
    zone = volume["availability_zone"]
    assert term["matchExpressions"] == [{"key": ZONE_KEY, "operator": "In", "values": [zone]}]
    csi = spec["csi"]
    assert (csi["driver"], csi["volumeHandle"], csi["fsType"]) == (DRIVER, volume["id"], "ext4")
    assert csi["volumeAttributes"]["storage.kubernetes.io/csiProvisionerIdentity"].endswith(DRIVER)


def test_a_claim_tells_that_its_volume_is_made_and_was_made(space: Space) -> None:
    space.claim("data", space.storage_class(binding="Immediate"))
    [pv] = space.bound("data")
    told = until("the event of success", lambda: space.said("data", "ProvisioningSucceeded"))
    assert told == [f"Successfully provisioned volume {pv['metadata']['name']}"]
    assert space.said("data", "Provisioning")
    assert not space.said("data", "ProvisioningFailed")


def test_a_claim_that_waits_for_its_pod_gets_a_volume_in_the_zone_of_the_pods_node(space: Space) -> None:
    space.claim("data", space.storage_class())
    until("the claim waits for its consumer", lambda: space.said("data", "WaitForFirstConsumer"))
    assert not space.volumes()

    space.pod("user", "data")
    [pv] = space.bound("data")
    [pod] = space.running("user")
    node = space.cluster.get(f"{CORE}/nodes/{pod['spec']['nodeName']}")
    assert node is not None
    volume = space.volume(pv)
    assert volume["availability_zone"] == node["metadata"]["labels"][ZONE_KEY]
    assert volume["status"] == "in-use"
    [attachment] = volume["attachments"]
    assert space.cinder.server(attachment["server_id"]) == pod["spec"]["nodeName"]

    space.until_gone(PODS, "user")
    space.delete(CLAIMS, "data")
    space.until_nothing_is_left()


def test_retain_keeps_the_volume_when_claim_and_persistent_volume_are_deleted(space: Space) -> None:
    space.claim("data", space.storage_class(binding="Immediate", reclaim="Retain"))
    [pv] = space.bound("data")
    assert PROVISIONER_FINALIZER not in pv["metadata"]["finalizers"]

    space.until_gone(CLAIMS, "data")
    until("the PersistentVolume is Released", lambda: phase(space, pv) == "Released")
    assert space.volume(pv)["status"] == "available"

    path = f"{PVS}/{pv['metadata']['name']}"
    space.cluster.delete(path)
    space.cluster.until_gone(path)
    assert space.volume(pv)["status"] == "available"


def test_a_persistent_volume_deleted_while_bound_keeps_its_data_until_the_claim_goes(space: Space) -> None:
    space.claim("data", space.storage_class())
    space.pod("user", "data")
    [pv] = space.bound("data")
    space.running("user")

    space.cluster.delete(f"{PVS}/{pv['metadata']['name']}")
    before = len(space.exec("user", "cat /data/log").splitlines())
    until("the pod writes on", lambda: len(space.exec("user", "cat /data/log").splitlines()) > before + 5)
    assert phase(space, pv) == "Bound"
    assert space.volume(pv)["status"] == "in-use"

    space.until_gone(PODS, "user")
    space.delete(CLAIMS, "data")
    space.until_nothing_is_left()


def test_a_claim_deleted_while_its_volume_is_made_leaves_nothing_behind(space: Space) -> None:
    with space.cinder.slow("create_volume", 2.0):
        space.claim("data", space.storage_class(binding="Immediate"))
        [volume] = until("Cinder is at it", space.volumes)
        assert volume["status"] == "creating"
        space.until_gone(CLAIMS, "data")
        space.until_nothing_is_left()
