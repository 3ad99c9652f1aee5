from __future__ import annotations

import pytest

from openstack_csi import errors
from openstack_csi.watch import names
from tests.unit.watch.world import CLAIMS, DRIVER, World

FINALIZER = "external-attacher/cinder-csi-openstack-org"


@pytest.fixture
def bound(world: World) -> World:
    world.claim()
    world.settle()
    world.rest.calls.clear()
    return world


def pv_of(world: World) -> str:
    return str(world.volumes[0]["metadata"]["name"])


def nodes_of(world: World) -> tuple[str, ...]:
    return world.cloud.list()[0].published_nodes


def test_an_attachment_is_attached_with_its_metadata(bound: World) -> None:
    bound.attachment(pv_of(bound), "node-a")
    bound.settle()

    (va,) = bound.attachments
    assert va["status"] == {
        "attached": True,
        "attachmentMetadata": {"DevicePath": f"/dev/disk/by-id/virtio-{bound.cloud.ids[0][:20]}"},
    }
    assert va["metadata"]["finalizers"] == [FINALIZER]
    assert va["metadata"]["annotations"] == {"csi.alpha.kubernetes.io/node-id": "id-of-node-a"}
    assert nodes_of(bound) == ("id-of-node-a",)
    assert bound.counts["ControllerPublishVolume OK"] == 1


def test_attaching_costs_two_requests_and_detaching_one(bound: World) -> None:
    bound.cloud.hold("publish")
    bound.cloud.hold("unpublish")
    bound.attachment(pv_of(bound), "node-a")
    bound.settle_within(10)
    assert bound.rest.calls == {"patch volumeattachments": 2}

    bound.remove(names.attachment_path("csi-1"))
    bound.settle_within(10)
    assert bound.attachments == []
    assert nodes_of(bound) == ()
    assert bound.rest.calls == {"patch volumeattachments": 3}
    assert bound.cloud.calls["publish"] == 1
    assert bound.cloud.calls["unpublish"] == 1


def test_nothing_is_written_twice_while_the_cache_is_behind(bound: World) -> None:
    bound.attachment(pv_of(bound), "node-a")
    bound.process.sync()
    bound.process.work()
    before = bound.requests()
    bound.process.queues["attach"].add("csi-1")
    bound.process.work()

    assert bound.requests() == before


def test_a_pv_of_another_provisioner_gets_the_finalizer_at_its_first_attachment(bound: World) -> None:
    bound.edit(names.volume_path(pv_of(bound)), {"metadata": {"finalizers": [names.PROVISIONER_FINALIZER]}})
    bound.attachment(pv_of(bound), "node-a")
    bound.settle()

    assert FINALIZER in bound.volumes[0]["metadata"]["finalizers"]


def test_a_pv_that_is_being_deleted_is_not_attached(bound: World) -> None:
    name = pv_of(bound)
    bound.remove(names.volume_path(name))
    bound.settle()
    bound.attachment(name, "node-a")
    bound.settle()

    (va,) = bound.attachments
    assert va["status"]["attached"] is False
    assert va["status"]["attachError"]["message"] == f'PersistentVolume "{name}" is marked for deletion'
    assert "finalizers" not in va["metadata"]
    assert nodes_of(bound) == ()


def test_a_node_without_the_driver_is_told_and_attached_to_once_it_is_registered(bound: World) -> None:
    bound.attachment(pv_of(bound), "node-b")
    bound.settle()
    (va,) = bound.attachments
    assert f'{DRIVER} is not registered on node "node-b"' in va["status"]["attachError"]["message"]
    assert va["status"]["attachError"]["errorCode"] == 9

    bound.node("node-b")
    bound.settle()

    (va,) = bound.attachments
    assert va["status"]["attached"] is True
    assert "attachError" not in va["status"]


def test_a_refused_attachment_says_why_once_and_is_repeated(bound: World) -> None:
    bound.attachment(pv_of(bound), "node-a")
    for _ in range(3):
        bound.cloud.fail("publish", errors.ResourceExhausted("node has 26 of 26 volumes", request_id="req-7"))
        bound.settle()
        bound.clock.advance(200)

    (va,) = bound.attachments
    assert va["status"]["attachError"]["message"] == "node has 26 of 26 volumes [request req-7]"
    assert va["status"]["attachError"]["errorCode"] == 8
    assert bound.rest.calls == {"patch volumeattachments": 2}  # finalizer, error

    bound.settle()
    (va,) = bound.attachments
    assert va["status"]["attached"] is True


def test_a_hiccup_of_the_cloud_is_not_put_into_the_status(bound: World) -> None:
    bound.cloud.fail("publish", errors.Unavailable("503"))
    bound.attachment(pv_of(bound), "node-a")
    bound.settle()
    assert "attachError" not in bound.attachments[0]["status"]

    bound.clock.advance(2)
    bound.settle()
    assert bound.attachments[0]["status"]["attached"] is True


def test_a_failed_detachment_is_told_and_repeated(bound: World) -> None:
    bound.attachment(pv_of(bound), "node-a")
    bound.settle()
    bound.cloud.fail("unpublish", errors.FailedPrecondition("server is locked"))
    bound.remove(names.attachment_path("csi-1"))
    bound.settle()
    assert bound.attachments[0]["status"]["detachError"]["message"] == "server is locked"

    bound.settle_within(30)
    assert bound.attachments == []
    assert nodes_of(bound) == ()


def test_an_attachment_that_is_deleted_while_it_is_attached_ends_detached(bound: World) -> None:
    bound.cloud.hold("publish")
    bound.attachment(pv_of(bound), "node-a")
    bound.settle()
    bound.remove(names.attachment_path("csi-1"))
    bound.settle()
    bound.cloud.release("publish")
    bound.settle()

    assert bound.attachments == []
    assert nodes_of(bound) == ()


def test_the_other_lane_waits_while_one_has_the_attachment(bound: World) -> None:
    """A publish that comes after the unpublish would leave a volume attached that nobody knows of."""
    bound.attachment(pv_of(bound), "node-a")
    point = bound.rest.point

    def turn_the_wish(what: str) -> None:
        point(what)
        if what == f"after patch {names.attachment_path('csi-1')}":
            bound.rest.point = point
            bound.remove(names.attachment_path("csi-1"))
            bound.process.sync()
            bound.process.attacher.detach("csi-1")  # another thread, at the worst moment

    bound.rest.point = turn_the_wish
    bound.process.sync()
    bound.process.work()
    bound.settle_within(5, step=1)

    assert bound.attachments == []
    assert nodes_of(bound) == ()


def test_a_volume_moves_to_another_node_as_soon_as_it_is_detached(bound: World) -> None:
    bound.node("node-b")
    bound.attachment(pv_of(bound), "node-a", "csi-a")
    bound.settle()
    bound.attachment(pv_of(bound), "node-b", "csi-b")
    bound.settle()
    errors_told = {va["metadata"]["name"]: va["status"].get("attachError") for va in bound.attachments}
    assert "attached to id-of-node-a" in errors_told["csi-b"]["message"]

    bound.remove(names.attachment_path("csi-a"))
    bound.settle()

    assert nodes_of(bound) == ("id-of-node-b",)
    assert [va["status"]["attached"] for va in bound.attachments] == [True]


def test_a_detachment_uses_the_node_id_that_was_attached_to(bound: World) -> None:
    bound.attachment(pv_of(bound), "node-a")
    bound.settle()
    bound.remove(f"{names.CSI_NODES}/node-a")
    bound.remove(names.attachment_path("csi-1"))
    bound.settle()

    assert bound.attachments == []
    assert nodes_of(bound) == ()


def test_an_attachment_of_another_attacher_is_left_alone(bound: World) -> None:
    spec = {"attacher": "other", "nodeName": "node-a", "source": {"persistentVolumeName": pv_of(bound)}}
    bound.make(names.ATTACHMENTS, {"metadata": {"name": "x"}, "spec": spec, "status": {"attached": False}})
    bound.settle()

    assert bound.rest.calls == {}


def test_an_attachment_that_others_hold_too_no_longer_says_attached(bound: World) -> None:
    bound.attachment(pv_of(bound), "node-a")
    bound.settle()
    bound.edit(names.attachment_path("csi-1"), {"metadata": {"finalizers": [FINALIZER, "other/finalizer"]}})
    bound.remove(names.attachment_path("csi-1"))
    bound.settle()

    (va,) = bound.attachments
    assert va["status"] == {"attached": False}
    assert va["metadata"]["finalizers"] == ["other/finalizer"]


def test_a_retained_pv_that_is_deleted_is_let_go_once_nothing_is_attached(bound: World) -> None:
    name = pv_of(bound)
    bound.edit(names.volume_path(name), {"spec": {"persistentVolumeReclaimPolicy": "Retain"}})
    bound.attachment(name, "node-a")
    bound.settle()
    bound.remove(f"{CLAIMS}/data")
    bound.remove(names.volume_path(name))
    bound.settle()
    assert bound.volumes[0]["metadata"]["finalizers"] == [FINALIZER]

    bound.remove(names.attachment_path("csi-1"))
    bound.settle()

    assert bound.volumes == []
    assert len(bound.cloud.ids) == 1


def test_a_volume_s_life_costs_nine_requests(world: World) -> None:
    for kind in ("create", "publish", "unpublish", "delete"):
        world.cloud.hold(kind)
    world.claim()
    world.settle_within(5)
    world.attachment(pv_of(world), "node-a")
    world.settle_within(5)
    world.remove(names.attachment_path("csi-1"))
    world.settle_within(5)
    world.remove(f"{CLAIMS}/data")
    world.settle_within(5)

    assert world.volumes == []
    assert world.cloud.ids == []
    assert world.requests() == 9
