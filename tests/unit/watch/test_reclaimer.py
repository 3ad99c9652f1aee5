from __future__ import annotations

import pytest

from openstack_csi import errors
from openstack_csi.watch import names
from openstack_csi.watch.objects import PersistentVolume
from openstack_csi.watch.reclaimer import AddFinalizer, Leave, Reclaim, RemoveFinalizer, decide
from tests.unit.watch.world import CLAIMS, DRIVER, World

HELD = (names.PROVISIONER_FINALIZER,)


def pv(**fields: object) -> PersistentVolume:
    given = {
        "reclaim_policy": "Delete",
        "driver": DRIVER,
        "provisioned_by": DRIVER,
        "finalizers": HELD,
        "phase": "Bound",
    }
    return PersistentVolume("pv", "uid", **{**given, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        (pv(), Leave()),
        (pv(deleting=True), Leave()),
        (pv(phase="Released"), Reclaim(begun=False)),
        (pv(phase="Released", deleting=True), Reclaim(begun=True)),
        (pv(phase="Released", deleting=True, finalizers=("other",)), Leave()),
        (pv(phase="Released", finalizers=()), AddFinalizer()),
        (pv(finalizers=()), AddFinalizer()),
        (pv(reclaim_policy="Retain", phase="Released"), RemoveFinalizer()),
        (pv(reclaim_policy="Retain", phase="Released", finalizers=()), Leave()),
        (pv(provisioned_by="", phase="Released"), Leave()),
        (pv(provisioned_by="kubernetes.io/cinder", phase="Released"), Leave()),
        (pv(driver="other", phase="Released"), Leave()),
    ],
)
def test_what_is_done_about_a_pv(volume: PersistentVolume, expected: object) -> None:
    assert decide(volume, DRIVER) == expected


@pytest.fixture
def bound(world: World) -> World:
    world.claim()
    world.settle()
    world.rest.calls.clear()
    return world


def test_a_deleted_claim_takes_its_volume_with_it(bound: World) -> None:
    bound.remove(f"{CLAIMS}/data")
    bound.settle()

    assert bound.volumes == []
    assert bound.cloud.ids == []
    assert bound.counts["deleted"] == 1
    assert bound.counts["DeleteVolume OK"] == 1


def test_deleting_costs_two_requests(bound: World) -> None:
    bound.cloud.hold("delete")
    bound.remove(f"{CLAIMS}/data")
    bound.settle_within(10)

    assert bound.volumes == []
    assert bound.rest.calls == {"delete persistentvolumes": 1, "patch persistentvolumes": 1}
    assert bound.cloud.calls["delete"] == 1


def test_the_volume_stays_while_an_attachment_refers_to_it(bound: World) -> None:
    name = bound.volumes[0]["metadata"]["name"]
    bound.attachment(name, "node-a")
    bound.settle()
    bound.remove(f"{CLAIMS}/data")
    bound.settle()
    bound.clock.advance(15)
    bound.settle()

    assert len(bound.cloud.ids) == 1
    assert "deletionTimestamp" not in bound.volumes[0]["metadata"]
    assert ("VolumeFailedDelete", f"persistentvolume {name} is still attached to node node-a") in bound.events

    bound.remove(names.attachment_path("csi-1"))
    bound.settle()

    assert bound.volumes == []
    assert bound.cloud.ids == []


def test_a_pv_that_a_user_deletes_first_keeps_its_volume_until_the_claim_is_gone(bound: World) -> None:
    name = bound.volumes[0]["metadata"]["name"]
    bound.remove(names.volume_path(name))
    bound.settle_within(60)
    assert len(bound.cloud.ids) == 1

    bound.remove(f"{CLAIMS}/data")
    bound.settle()

    assert bound.cloud.ids == []
    assert bound.volumes == []
    assert bound.rest.calls["delete persistentvolumes"] == 0


def test_a_policy_turned_to_retain_at_the_last_moment_saves_the_volume(bound: World) -> None:
    path = names.volume_path(bound.volumes[0]["metadata"]["name"])
    bound.remove(f"{CLAIMS}/data")
    bound.control()
    bound.process.sync()
    bound.edit(path, {"spec": {"persistentVolumeReclaimPolicy": "Retain"}})
    bound.process.work()
    bound.settle_within(60)

    assert len(bound.cloud.ids) == 1
    assert names.PROVISIONER_FINALIZER not in bound.volumes[0]["metadata"]["finalizers"]


def test_a_deletion_that_the_cloud_refuses_is_told_and_repeated(bound: World) -> None:
    bound.cloud.fail("delete", errors.FailedPrecondition("volume has 2 snapshots", hint="Delete them first."))
    bound.remove(f"{CLAIMS}/data")
    bound.settle()
    assert bound.events[-1] == ("VolumeFailedDelete", "volume has 2 snapshots. Delete them first.")
    assert bound.counts["deleted failed"] == 1

    bound.settle_within(30)
    assert bound.cloud.ids == []
    assert bound.volumes == []


def test_a_pv_without_finalizer_gets_it_before_anything_is_deleted(bound: World) -> None:
    path = names.volume_path(bound.volumes[0]["metadata"]["name"])
    bound.edit(path, {"metadata": {"finalizers": []}})
    bound.settle()
    assert bound.volumes[0]["metadata"]["finalizers"] == [names.PROVISIONER_FINALIZER]

    bound.remove(f"{CLAIMS}/data")
    bound.settle()
    assert bound.volumes == []
    assert bound.cloud.ids == []
