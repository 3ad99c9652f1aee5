"""Making, removing and showing volumes through the service, against a cloud: the same on the fake and on the real
one. `test_attaching` has the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from openstack_csi import errors
from openstack_csi.backends.cinder import FRESH, LATELY
from openstack_csi.backends.cinder_request import CLUSTER_KEY
from openstack_csi.cloud import pace
from openstack_csi.model import GIB, Pending
from tests.contract.driver import NOWHERE, SHARED_BLOCK, ZONE_KEY, Driver, ShiftedClock, asleep
from tests.contract.world import World

LOOKS = frozenset({"volume_get", "volume_list"})


# Making


def test_a_volume_is_made_with_its_name_stamp_size_type_and_zone(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a", gib=1.5, parameters={"type": "standard"}, zone="az2")
    seen = world.look(volume.id)
    assert seen["status"] == "available"
    assert (seen["name"], seen["size"], seen["volume_type"]) == ("pvc-a", 2, "standard")
    assert seen["metadata"].items() >= {
        (CLUSTER_KEY, driver.cluster),
        ("csi.storage.k8s.io/pvc/name", "data-0"),
        ("csi.storage.k8s.io/pvc/namespace", "default"),
        ("csi.storage.k8s.io/pv/name", "pvc-a"),
    }
    assert volume.size_bytes == 2 * GIB
    assert volume.topology == ({ZONE_KEY: "az2"},)


def test_the_class_chooses_the_zone_before_the_topology_does(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a", parameters={"availability": "az1"}, zone="az2")
    assert world.look(volume.id)["availability_zone"] == "az1"


@pytest.mark.parametrize("alone", [True, False])
def test_a_name_asked_for_twice_is_one_volume(drivers: Callable[..., Driver], world: World, alone: bool) -> None:
    driver = drivers(alone=alone)
    assert driver.create("pvc-a") == driver.create("pvc-a")
    assert driver.calls["volume_create"] == 1
    assert len(world.marked(CLUSTER_KEY, driver.cluster)) == 1


def test_another_process_finds_the_volume_that_the_first_one_made(drivers: Callable[..., Driver]) -> None:
    first, second = drivers(alone=True), drivers(alone=True)
    made = first.create("pvc-a")
    assert drivers(alone=True).create("pvc-a") == made
    assert second.clouds is not first.clouds


def test_what_another_process_made_since_is_found(drivers: Callable[..., Driver], world: World) -> None:
    clock = ShiftedClock()
    first = drivers(clock=clock)
    request = first.request("pvc-a")
    assert isinstance(first.service.create(request, asleep), Pending)
    world.until("its list", lambda: first.calls["volume_list"] > 0)
    made = drivers().create("pvc-a")
    clock.shift(FRESH)
    assert first.create("pvc-a") == made
    assert first.calls["volume_create"] == 0


def test_what_another_leader_made_meanwhile_is_found(drivers: Callable[..., Driver], world: World) -> None:
    first = drivers(alone=True)
    assert isinstance(first.service.create(first.request("pvc-a"), asleep), Pending)
    world.until("its list", lambda: first.calls["volume_list"] > 0)
    first.backend.lead(False)
    made = drivers(alone=True).create("pvc-a")
    first.backend.lead(True)
    assert first.create("pvc-a") == made
    assert first.calls["volume_create"] == 0


def test_a_name_that_is_taken_by_another_size_is_refused(driver: Driver) -> None:
    driver.create("pvc-a", gib=1)
    with pytest.raises(errors.AlreadyExists, match="has 1 GiB, wanted 2"):
        driver.create("pvc-a", gib=2)


@pytest.mark.parametrize("alone", [True, False])
def test_a_volume_that_somebody_deleted_is_made_again(
    drivers: Callable[..., Driver], world: World, alone: bool
) -> None:
    clock = ShiftedClock()
    driver = drivers(alone=alone, clock=clock)
    first = driver.create("pvc-a")
    world.demo.cinder("DELETE", f"/volumes/{first.id}")
    world.be(first.id)
    clock.shift(LATELY)
    second = driver.create("pvc-a")
    assert second.id != first.id
    assert world.look(second.id)["status"] == "available"


def test_a_volume_that_no_back_end_takes_is_an_error_in_the_clouds_words_and_leaves_nothing(
    driver: Driver, world: World
) -> None:
    with pytest.raises(errors.ResourceExhausted, match="Could not find any available weighted backend"):
        driver.create("pvc-a", parameters={"type": "nowhere"})
    world.until("the failed volume to be gone", lambda: not world.marked(CLUSTER_KEY, driver.cluster))


def test_a_volume_that_failed_in_the_making_is_made_again(driver: Driver, world: World) -> None:
    name = f"pvc-{driver.cluster}"
    world.site.fail("create", name)
    with pytest.raises(errors.ResourceExhausted, match="will be made again"):
        driver.create(name, parameters={"type": "az1"})
    assert world.look(driver.create(name, parameters={"type": "az1"}).id)["status"] == "available"
    assert len(world.marked(CLUSTER_KEY, driver.cluster)) == 1


def test_a_quota_that_is_used_up_says_how_much_of_what(driver: Driver) -> None:
    with pytest.raises(errors.ResourceExhausted, match=r"used \d+ of 5000 GiB and \d+ of 500 volumes") as raised:
        driver.create("pvc-a", gib=5001)
    assert "exceeds allowed gigabytes quota" in raised.value.message
    assert raised.value.request_id.startswith("req-")


@pytest.mark.parametrize(
    ("parameters", "named"), [({"type": "gold"}, "gold"), ({"availability": "moon"}, "moon"), ({"tpye": "x"}, "type")]
)
def test_a_wrong_parameter_is_named_and_makes_nothing(
    driver: Driver, world: World, parameters: dict[str, str], named: str
) -> None:
    with pytest.raises((errors.InvalidArgument, errors.NotFound), match=named):
        driver.create("pvc-a", parameters=parameters)
    assert world.marked(CLUSTER_KEY, driver.cluster) == []


def test_several_writers_need_a_multiattach_type(driver: Driver) -> None:
    driver.service.check(driver.request("pvc-b", parameters={"type": "shared"}, capability=SHARED_BLOCK))
    with pytest.raises(errors.InvalidArgument, match="names none"):
        driver.service.check(driver.request("pvc-c", capability=SHARED_BLOCK))
    with pytest.raises(errors.InvalidArgument, match=r'unknown volume type "shred".*Did you mean "shared"'):
        driver.service.check(driver.request("pvc-d", parameters={"type": "shred"}, capability=SHARED_BLOCK))


def test_a_step_that_would_have_to_wait_says_for_what(driver: Driver, world: World) -> None:
    name = f"pvc-{driver.cluster}"
    world.site.slow("create", 3.0, name)
    request = driver.request(name)
    with pytest.raises(errors.DeadlineExceeded, match=r"is creating \(waited"):
        driver.wait(lambda wake: driver.service.create(request, wake), seconds=0.9)
    assert driver.create(name).name == name
    assert driver.calls["volume_create"] == 1


# Removing


def test_a_delete_ends_when_the_volume_is_gone(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a")
    world.site.slow("delete", 0.5, volume.id)
    driver.delete(volume.id)
    assert world.look(volume.id) == {}


@pytest.mark.parametrize("volume_id", [NOWHERE, "pvc-1", "../../types"])
def test_a_volume_that_is_not_there_is_deleted(driver: Driver, volume_id: str) -> None:
    driver.delete(volume_id)


def test_a_volume_that_is_attached_is_not_deleted(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a")
    driver.publish(volume.id, world.server)
    with pytest.raises(errors.FailedPrecondition, match=f"still attached to server {world.server}"):
        driver.delete(volume.id)
    driver.unpublish(volume.id, world.server)
    driver.delete(volume.id)


def test_a_volume_that_is_being_made_is_deleted_afterwards(driver: Driver, world: World) -> None:
    name = f"pvc-{driver.cluster}"
    world.site.slow("create", 0.8, name)
    volume_id = world.asked(name=name, metadata={CLUSTER_KEY: driver.cluster}).json()["volume"]["id"]
    driver.delete(volume_id)
    assert world.look(volume_id) == {}


def test_a_delete_that_failed_is_told_and_tried_again(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a", parameters={"type": "az1"})
    world.site.fail("delete", volume.id)
    with pytest.raises(errors.FailedPrecondition, match="could not delete volume"):
        driver.delete(volume.id)
    with pytest.raises(errors.FailedPrecondition):
        driver.delete(volume.id)
    world.reset(volume.id, "available")
    driver.delete(volume.id)
    assert world.look(volume.id) == {}


# Looking


def test_volumes_are_shown_with_the_nodes_that_have_them(driver: Driver, world: World) -> None:
    free, used = driver.create("pvc-a"), driver.create("pvc-b")
    driver.publish(used.id, world.server)
    assert {s.volume.id: s.published_nodes for s in driver.service.list()} == {free.id: (), used.id: (world.server,)}
    assert driver.service.get(used.id).published_nodes == (world.server,)
    assert driver.service.get(free.id).volume == free
    with pytest.raises(errors.NotFound, match=NOWHERE):
        driver.service.get(NOWHERE)


def test_a_volume_says_which_uses_it_allows(driver: Driver) -> None:
    one = driver.create("pvc-a")
    many = driver.create("pvc-b", parameters={"type": "shared"}, capability=SHARED_BLOCK)
    assert "not multiattach" in driver.service.validate(one.id, [SHARED_BLOCK])
    assert driver.service.validate(many.id, [SHARED_BLOCK]) == ""
    with pytest.raises(errors.NotFound):
        driver.service.validate(NOWHERE, [SHARED_BLOCK])


def test_the_list_shows_this_clusters_volumes_alone(drivers: Callable[..., Driver], world: World) -> None:
    driver = drivers()
    made = driver.create("pvc-a")
    strange = world.volume()
    assert [o.volume_id for o in driver.service.orphans()] == [made.id]
    assert strange not in [status.volume.id for status in driver.service.list()]


def test_orphans_tell_whose_they_are_and_whether_they_are_used(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a")
    driver.publish(volume.id, world.server)
    (orphan,) = driver.service.orphans()
    assert (orphan.volume_id, orphan.name, orphan.status, orphan.attached) == (volume.id, "pvc-a", "in-use", True)
    assert (orphan.stamp.claim_namespace, orphan.stamp.claim_name) == ("default", "data-0")


# The price


def test_a_life_costs_four_calls_and_some_looks(leader: Driver, world: World) -> None:
    volume = leader.create("pvc-a")
    leader.publish(volume.id, world.server)
    leader.unpublish(volume.id, world.server)
    leader.delete(volume.id)
    acts = {kind: n for kind, n in leader.calls.items() if kind not in LOOKS}
    assert acts == {"volume_create": 1, "volume_attach": 1, "volume_detach": 1, "volume_delete": 1}


def test_twenty_at_once_share_their_looks(leader: Driver, world: World) -> None:
    leader.create("pvc-first")
    leader.calls.clear()
    began = time.monotonic()
    everybody = threading.Barrier(20)

    def live(i: int) -> None:
        everybody.wait()
        volume = leader.create(f"pvc-{i}")
        leader.publish(volume.id, world.server)
        leader.unpublish(volume.id, world.server)
        leader.delete(volume.id)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(live, range(20)))
    acts = {kind: n for kind, n in leader.calls.items() if kind not in LOOKS}
    assert acts == {"volume_create": 20, "volume_attach": 20, "volume_detach": 20, "volume_delete": 20}
    ticks = (time.monotonic() - began) / pace.SHORTEST + 1
    assert leader.calls["volume_list"] + leader.calls["volume_get"] <= 2 * ticks, leader.calls


def test_nothing_is_asked_when_nobody_waits(leader: Driver, world: World) -> None:
    leader.delete(leader.create("pvc-a").id)
    leader.calls.clear()
    world.until("half a second to pass", past(0.5))
    assert not leader.calls


def past(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end
