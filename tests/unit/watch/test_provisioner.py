from __future__ import annotations

from collections.abc import Callable

import pytest

from openstack_csi import errors
from openstack_csi.watch import names
from tests.unit.watch.world import CLAIMS, DRIVER, ZONE, World


def test_a_claim_becomes_a_bound_volume_with_all_fields(world: World) -> None:
    claim = world.claim()
    world.settle()

    (pv,) = world.volumes
    uid = claim["metadata"]["uid"]
    (volume_id,) = world.cloud.ids
    assert pv["metadata"]["name"] == f"pvc-{uid}"
    assert pv["metadata"]["annotations"] == {
        names.PROVISIONED_BY: DRIVER,
        names.DELETION_SECRET_NAME: "",
        names.DELETION_SECRET_NAMESPACE: "",
    }
    assert pv["metadata"]["finalizers"] == [
        "external-provisioner.volume.kubernetes.io/finalizer",
        "external-attacher/cinder-csi-openstack-org",
    ]
    spec = pv["spec"]
    assert spec["capacity"] == {"storage": "1Gi"}
    assert spec["accessModes"] == ["ReadWriteOnce"]
    assert spec["volumeMode"] == "Filesystem"
    assert spec["persistentVolumeReclaimPolicy"] == "Delete"
    assert spec["storageClassName"] == "standard"
    assert (spec["claimRef"]["name"], spec["claimRef"]["uid"]) == ("data", uid)
    assert spec["csi"] == {
        "driver": DRIVER,
        "volumeHandle": volume_id,
        "fsType": "ext4",
        "volumeAttributes": {"storage.kubernetes.io/csiProvisionerIdentity": "test"},
    }
    (term,) = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term == {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["nova"]}]}
    assert world.all(CLAIMS)[0]["spec"]["volumeName"] == pv["metadata"]["name"]
    assert world.events == [
        ("Provisioning", 'External provisioner is provisioning volume for claim "default/data"'),
        ("ProvisioningSucceeded", f"Successfully provisioned volume pvc-{uid}"),
    ]
    assert world.counts == {"provisioned": 1, "CreateVolume OK": 1}


def test_the_cloud_object_carries_name_and_stamp(world: World) -> None:
    claim = world.claim()
    world.settle()

    (made,) = world.cloud.orphans()
    assert made.name == f"pvc-{claim['metadata']['uid']}"
    assert (made.stamp.cluster, made.stamp.claim_namespace, made.stamp.claim_name, made.stamp.pv_name) == (
        "cluster-1", "default", "data", made.name,
    )  # fmt: skip


def test_no_request_is_made_for_a_claim_of_another_provisioner(world: World) -> None:
    world.claim(annotations={names.PROVISIONER: "somebody.else"})
    world.settle()

    assert world.requests() == 0
    assert world.cloud.ids == []


def test_a_block_volume_gets_no_file_system(world: World) -> None:
    world.claim(volumeMode="Block")
    world.settle()

    assert "fsType" not in world.volumes[0]["spec"]["csi"]


def test_a_worker_does_not_wait_for_the_cloud(world: World) -> None:
    world.cloud.hold("create")
    for i in range(50):
        world.claim(f"data-{i}")
    world.settle()

    assert world.cloud.waiting("create") == 50
    assert world.volumes == []

    world.cloud.release("create")
    world.settle()

    assert len(world.volumes) == 50
    assert world.cloud.calls["create"] == 50


def test_a_long_wait_is_told_in_words_and_not_with_each_wake(world: World) -> None:
    world.cloud.hold("create")
    world.claim()
    world.settle()
    waits = [message for _, message in world.events if message.startswith("Waiting")]
    assert waits == []

    for _ in range(30):
        world.clock.advance(5)
        world.process.queues["claims"].add("default/data")
        world.settle()

    (told,) = [each for each in world.all("/api/v1/namespaces/default/events") if "Waiting" in each["message"]]
    assert told["message"] == f"Waiting: volume {world.cloud.ids[0]} is creating"
    assert told["count"] == 3  # after 10, 70 and 130 seconds


def test_a_delayed_claim_waits_for_its_node_and_goes_there(world: World) -> None:
    world.node("node-b", zone="zone-b")
    world.storage_class("delayed", delayed=True)
    world.claim(storageClassName="delayed")
    world.settle()
    assert world.requests() == 0

    world.edit(f"{CLAIMS}/data", {"metadata": {"annotations": {names.SELECTED_NODE: "node-b"}}})
    world.settle()

    assert len(world.volumes) == 1


def test_a_claim_waits_until_the_driver_is_registered_on_its_node(world: World) -> None:
    world.storage_class("delayed", delayed=True)
    world.claim(storageClassName="delayed", annotations={names.SELECTED_NODE: "node-b"})
    world.settle()
    assert world.events == [
        (
            "ProvisioningFailed",
            'failed to provision volume with StorageClass "delayed": the driver is not registered on node "node-b", '
            "which the scheduler selected",
        )
    ]

    world.node("node-b")
    world.settle()

    assert len(world.volumes) == 1


def test_an_unknown_parameter_is_refused_by_name_and_tried_again_when_the_class_is_corrected(world: World) -> None:
    world.storage_class("typo", parameters={"tpye": "fast"})
    world.claim(storageClassName="typo")
    world.settle()
    assert world.cloud.ids == []
    assert world.events == [
        (
            "ProvisioningFailed",
            "Volume provisioning failed with infeasible error. Retries will be delayed. failed to provision volume "
            'with StorageClass "typo": unknown StorageClass parameter "tpye". Did you mean "type"?',
        )
    ]

    world.remove(f"{names.CLASSES}/typo")
    world.storage_class("typo", parameters={"type": "fast"})
    world.settle()

    assert len(world.volumes) == 1


def test_an_infeasible_claim_is_left_alone_for_five_minutes(world: World) -> None:
    world.storage_class("typo", parameters={"tpye": "fast"})
    world.claim(storageClassName="typo")
    world.settle()
    before = world.requests()

    for second in range(0, 290, 10):
        world.clock.advance(10)
        world.edit(f"{CLAIMS}/data", {"metadata": {"annotations": {"touched-at": str(second)}}})
        world.settle()
    assert world.requests() == before

    world.clock.advance(20)
    world.settle()
    assert world.requests() == before + 1  # the event's count


def test_a_used_up_quota_is_told_once_and_tried_slowly(world: World) -> None:
    world.claim()
    for _ in range(4):
        world.cloud.fail("create", errors.ResourceExhausted("quota gigabytes 10 of 10 used", request_id="req-1"))
        world.settle()
        world.clock.advance(100)

    failures = [
        each for each in world.all("/api/v1/namespaces/default/events") if each["reason"] == "ProvisioningFailed"
    ]
    (failure,) = failures
    assert failure["message"].endswith("quota gigabytes 10 of 10 used [request req-1]")
    assert failure["count"] == 4
    assert world.cloud.calls["create"] == 0

    world.settle()
    assert len(world.volumes) == 1


def test_retry_after_is_honoured(world: World) -> None:
    world.cloud.fail("create", errors.Unavailable("too many requests", retry_after=17))
    world.claim()
    world.settle()
    world.clock.advance(16)
    world.settle()
    assert world.cloud.ids == []

    world.clock.advance(2)
    world.settle()
    assert len(world.volumes) == 1


def test_a_missing_secret_is_named_and_nothing_is_made(world: World) -> None:
    prefix = "csi.storage.k8s.io/provisioner-secret"
    world.storage_class("secret", parameters={f"{prefix}-name": "cloud-${pvc.name}", f"{prefix}-namespace": "default"})
    world.claim(storageClassName="secret")
    world.settle()

    assert world.cloud.ids == []
    assert 'there is no Secret "default/cloud-data"' in world.events[0][1]

    world.make(
        "/api/v1/namespaces/default/secrets", {"metadata": {"name": "cloud-data"}, "data": {"cloud": "YmVybGlu"}}
    )
    world.settle_within(30)

    (pv,) = world.volumes
    assert pv["metadata"]["annotations"][names.DELETION_SECRET_NAME] == "cloud-data"


def test_a_claim_from_a_snapshot_is_refused_and_one_for_a_populator_is_left_to_it(world: World) -> None:
    world.claim("a", dataSource={"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"})
    world.claim("b", dataSourceRef={"apiGroup": "example.org", "kind": "Dump", "name": "d"})
    world.settle()

    assert world.cloud.ids == []
    refused, aside = sorted(world.events)[::-1]
    assert refused[0] == "ProvisioningFailed"
    assert "a volume from a VolumeSnapshot is not offered yet" in refused[1]
    assert aside == ("Provisioning", "Assuming an external populator will provision the volume")


# What goes away, and what goes wrong


def test_a_claim_deleted_while_its_volume_is_made_leaves_nothing_behind(world: World) -> None:
    world.cloud.hold("create")
    world.claim()
    world.settle()
    assert len(world.cloud.ids) == 1

    world.remove(f"{CLAIMS}/data")
    world.settle()
    world.cloud.release("create")
    world.settle()

    assert world.cloud.ids == []
    assert world.volumes == []


def test_a_claim_deleted_and_made_again_under_its_name_gets_a_volume_of_its_own(world: World) -> None:
    world.cloud.hold("create")
    first = world.claim()
    world.settle()
    world.remove(f"{CLAIMS}/data")
    second = world.claim()
    world.settle()
    world.cloud.release("create")
    world.settle()

    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert [each.name for each in world.cloud.orphans()] == [f"pvc-{second['metadata']['uid']}"]
    assert len(world.volumes) == 1


def test_a_claim_deleted_after_a_create_that_got_no_answer_leaves_nothing_behind(world: World) -> None:
    world.cloud.hold("create")
    world.claim()
    world.settle()
    world.cloud.fail("create", errors.Unavailable("no answer"))
    world.process.queues["claims"].add("default/data")
    world.settle()
    world.remove(f"{CLAIMS}/data")
    world.settle()

    assert world.cloud.ids == []


def test_a_claim_that_was_bound_to_another_volume_meanwhile_leaves_nothing_behind(world: World) -> None:
    world.cloud.hold("create")
    world.claim()
    world.settle()
    world.edit(f"{CLAIMS}/data", {"spec": {"volumeName": "by-hand"}})
    world.settle()
    world.cloud.release("create")
    world.settle()

    assert world.cloud.ids == []


def test_a_claim_deleted_after_its_pv_was_written_without_an_answer_leaves_the_volume_to_the_pv(world: World) -> None:
    world.storage_class("kept", reclaimPolicy="Retain")
    world.claim(storageClassName="kept")
    world.process.sync()
    world.rest.fail("create", 504, done=True)
    world.process.work()
    world.remove(f"{CLAIMS}/data")
    world.settle_within(60)

    assert [pv["spec"]["csi"]["volumeHandle"] for pv in world.volumes] == world.cloud.ids
    assert len(world.cloud.ids) == 1


def test_a_stale_cache_makes_no_volume_for_a_claim_that_is_gone(world: World) -> None:
    world.claim()
    world.process.sync()
    world.remove(f"{CLAIMS}/data")
    world.process.work()

    assert world.cloud.calls["create"] == 0


def test_no_second_volume_is_made_when_the_cache_has_not_seen_the_pv(world: World) -> None:
    world.claim()
    world.process.sync()
    world.process.work()
    world.process.queues["claims"].add("default/data")
    before = world.requests()
    world.process.work()

    assert world.cloud.calls["create"] == 1
    assert world.requests() == before


def test_a_pv_whose_creation_got_no_answer_is_found_and_used(world: World) -> None:
    world.rest.fail("create", 504, done=True)
    world.claim()
    world.settle()
    world.clock.advance(5)
    world.settle()

    assert len(world.volumes) == 1
    assert len(world.cloud.ids) == 1
    assert world.cloud.calls["create"] == 1


def test_a_pv_of_that_name_for_another_volume_is_told_and_nothing_is_deleted(world: World) -> None:
    claim = world.claim()
    name = f"pvc-{claim['metadata']['uid']}"
    world.process.sync()
    world.make(
        names.VOLUMES,
        {
            "metadata": {"name": name},
            "spec": {"csi": {"driver": DRIVER, "volumeHandle": "other"}, "claimRef": {"uid": "x"}},
        },
    )
    world.process.work()
    world.process.recorder.flush()

    assert len(world.cloud.ids) == 1
    assert f'PersistentVolume {name} stands for volume "other"' in world.events[-1][1]


def test_an_api_server_that_is_down_costs_no_volume(world: World) -> None:
    world.claim()
    world.process.sync()
    world.rest.fail("create", 503, times=6)
    for _ in range(20):
        world.settle()
        world.clock.advance(20)

    assert len(world.volumes) == 1
    assert world.cloud.calls["create"] == 1


@pytest.mark.parametrize("writes", range(1, 6))
def test_nothing_is_written_after_leadership_is_lost(world: World, writes: int) -> None:
    left = writes
    process = world.process

    def leading() -> bool:
        nonlocal left
        left -= 1
        return left > 0

    process.fence._leading = leading
    world.claim()
    process.settle()
    seen = len(world.trace)
    world.remove(f"{CLAIMS}/data")
    process.settle()
    world.clock.advance(1000)
    process.settle()

    assert len(world.trace) == seen

    world.restart()
    world.settle_within(60)
    assert world.volumes == []


def test_provisioning_costs_four_requests(world: World) -> None:
    world.claim()
    world.settle()

    assert world.rest.calls == {
        "get persistentvolumeclaims": 1,
        "create persistentvolumes": 1,
        "create events": 2,
    }


def test_with_retain_the_volume_outlives_its_claim(world: World) -> None:
    world.storage_class("kept", reclaimPolicy="Retain")
    world.claim(storageClassName="kept")
    world.settle()
    world.remove(f"{CLAIMS}/data")
    world.settle_within(60)

    assert len(world.cloud.ids) == 1
    assert world.volumes[0]["status"]["phase"] == "Released"
    assert world.volumes[0]["metadata"]["finalizers"] == ["external-attacher/cinder-csi-openstack-org"]


def test_without_our_attacher_the_pv_is_born_without_its_finalizer(world_with: Callable[..., World]) -> None:
    world = world_with(attacher=False)
    world.claim()
    world.settle()

    assert world.volumes[0]["metadata"]["finalizers"] == [names.PROVISIONER_FINALIZER]
