"""Attaching and detaching through the service, against a cloud: the same on the fake and on the real one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from openstack_csi import errors
from openstack_csi.backends.cinder_request import CLUSTER_KEY
from openstack_csi.model import Pending
from tests.contract.driver import NOWHERE, SHARED_BLOCK, Driver, asleep
from tests.contract.world import World


def test_publish_and_unpublish_may_be_repeated(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a")
    first = driver.publish(volume.id, world.server)
    assert driver.publish(volume.id, world.server) == first
    assert world.servers_of(volume.id) == [world.server]
    driver.unpublish(volume.id, world.server)
    driver.unpublish(volume.id, world.server)
    assert world.look(volume.id)["status"] == "available"


def test_a_new_process_finds_the_attachment_that_another_made(drivers: Callable[..., Driver], world: World) -> None:
    driver = drivers()
    volume = driver.create("pvc-a")
    driver.publish(volume.id, world.server)
    drivers().publish(volume.id, world.server)
    drivers().unpublish(volume.id, world.server)
    assert world.servers_of(volume.id) == []


def test_a_volume_is_attached_as_soon_as_it_is_made(driver: Driver, world: World) -> None:
    name = f"pvc-{driver.cluster}"
    world.site.slow("create", 0.8, name)
    volume_id = world.asked(name=name, metadata={CLUSTER_KEY: driver.cluster}).json()["volume"]["id"]
    driver.publish(volume_id, world.server)
    assert world.servers_of(volume_id) == [world.server]


def test_a_volume_that_another_node_has_is_refused_by_its_name(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a")
    driver.publish(volume.id, world.server)
    with pytest.raises(errors.AttachedElsewhere, match=world.server):
        driver.publish(volume.id, world.second_server)
    driver.unpublish(volume.id, world.server)
    driver.publish(volume.id, world.second_server)
    assert world.servers_of(volume.id) == [world.second_server]


def test_a_server_or_a_volume_that_is_not_there_is_not_found(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a")
    with pytest.raises(errors.NotFound, match=NOWHERE):
        driver.publish(volume.id, NOWHERE)
    with pytest.raises(errors.NotFound, match=NOWHERE):
        driver.publish(NOWHERE, world.server)
    driver.unpublish(volume.id, NOWHERE)
    driver.unpublish(NOWHERE, world.server)


def test_a_server_in_another_zone_is_told_apart(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a", zone="az2")
    with pytest.raises(errors.FailedPrecondition, match="not in the same availability_zone"):
        driver.publish(volume.id, world.server)


def test_two_servers_share_a_multiattach_volume(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a", parameters={"type": "shared"}, capability=SHARED_BLOCK)
    driver.publish(volume.id, world.server, SHARED_BLOCK)
    driver.publish(volume.id, world.second_server, SHARED_BLOCK)
    assert sorted(driver.service.get(volume.id).published_nodes) == sorted([world.server, world.second_server])
    driver.unpublish(volume.id, world.server)
    assert world.servers_of(volume.id) == [world.second_server]
    driver.unpublish(volume.id, world.second_server)
    assert world.look(volume.id)["status"] == "available"


def test_without_a_node_a_volume_is_unpublished_everywhere(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a", parameters={"type": "shared"}, capability=SHARED_BLOCK)
    driver.publish(volume.id, world.server, SHARED_BLOCK)
    driver.publish(volume.id, world.second_server, SHARED_BLOCK)
    driver.unpublish(volume.id, "")
    assert world.look(volume.id)["status"] == "available"


def test_a_server_that_is_deleted_has_let_go(driver: Driver, world: World) -> None:
    server = world.site.server("contract-doomed")
    volume = driver.create("pvc-a")
    driver.publish(volume.id, server)
    assert world.demo.nova("DELETE", f"/servers/{server}").status_code == 204
    world.until("the server to be gone", lambda: world.demo.nova("GET", f"/servers/{server}").status_code == 404)
    driver.unpublish(volume.id, server)
    assert world.look(volume.id)["status"] == "available"


def test_a_server_takes_as_many_disks_as_fit_and_says_so_of_the_next(driver: Driver, world: World) -> None:
    server = world.site.server("contract-full")
    names = [f"pvc-{i}" for i in range(world.site.max_disks)]
    with ThreadPoolExecutor(8) as pool:
        volumes = list(pool.map(driver.create, names))
        list(pool.map(lambda volume: driver.publish(volume.id, server), volumes[:-1]))
    with pytest.raises(errors.ResourceExhausted, match="maximum allowed number of disk devices"):
        driver.publish(volumes[-1].id, server)
    world.demo.nova("DELETE", f"/servers/{server}")
    world.until("the server to be gone", lambda: world.demo.nova("GET", f"/servers/{server}").status_code == 404)


def test_a_volume_that_somebody_reserved_is_waited_for(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a")
    world.reset(volume.id, "reserved")
    with pytest.raises(errors.DeadlineExceeded, match="is reserved, to be attached"):
        driver.wait(
            lambda wake: driver.service.publish(volume.id, world.server, SHARED_BLOCK, False, wake), seconds=0.8
        )
    driver.unpublish(volume.id, world.server)
    world.reset(volume.id, "available")
    driver.publish(volume.id, world.server)


def test_a_volume_that_is_being_detached_is_attached_afterwards(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a")
    driver.publish(volume.id, world.server)
    world.site.slow("detach", 0.8, volume.id)
    assert isinstance(driver.service.unpublish(volume.id, world.server, asleep), Pending)
    driver.publish(volume.id, world.second_server)
    assert world.servers_of(volume.id) == [world.second_server]


def test_a_volume_that_is_being_attached_is_detached_afterwards(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a")
    world.site.slow("attach", 0.8, volume.id)
    assert isinstance(driver.service.publish(volume.id, world.server, SHARED_BLOCK, False, asleep), Pending)
    driver.unpublish(volume.id, world.server)
    assert world.look(volume.id)["status"] == "available"


def test_an_attach_that_failed_is_told_and_may_be_repeated(driver: Driver, world: World) -> None:
    volume = driver.create("pvc-a")
    world.site.fail("attach", volume.id)
    with pytest.raises(errors.Unavailable, match="accepted to attach"):
        driver.publish(volume.id, world.server)
    driver.publish(volume.id, world.server)
    assert world.servers_of(volume.id) == [world.server]
