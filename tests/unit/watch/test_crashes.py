"""The controller dies at every point between two steps; the next one must end in the same place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from openstack_csi.watch import names
from openstack_csi.watch.config import OrphanPolicy, WatchConfig
from tests.unit.watch.world import CLAIMS, World

KINDS = ("create", "publish", "unpublish", "delete")


def new_world() -> World:
    world = World(WatchConfig(cluster="cluster-1", orphan_policy=OrphanPolicy.DELETE, orphan_grace=60))
    world.node("node-a")
    world.storage_class()
    for kind in KINDS:
        world.cloud.hold(kind)
    return world


def whole_life(world: World) -> None:
    world.claim()
    world.settle_within(30)
    (pv,) = world.volumes
    assert pv["status"]["phase"] == "Bound"
    assert [pv["spec"]["csi"]["volumeHandle"]] == world.cloud.ids

    world.attachment(pv["metadata"]["name"], "node-a")
    world.settle_within(30)
    assert world.attachments[0]["status"]["attached"] is True
    assert world.cloud.list()[0].published_nodes == ("id-of-node-a",)

    world.remove(names.attachment_path("csi-1"))
    world.settle_within(30)
    assert world.attachments == []
    assert world.cloud.list()[0].published_nodes == ()

    world.remove(f"{CLAIMS}/data")
    world.settle_within(30)


def deleted_midway(world: World) -> None:
    world.claim()
    world.settle()
    world.remove(f"{CLAIMS}/data")
    world.settle_within(30)
    for _ in range(3):
        world.process.orphans.sweep()
        world.settle_within(60)


def points_of(story: Callable[[World], None]) -> int:
    world = new_world()
    story(world)
    world.process.close()
    return len(world.trace)


@pytest.mark.parametrize("story", [whole_life, deleted_midway])
def test_a_crash_at_any_point_leaks_nothing_and_doubles_nothing(story: Callable[[World], None]) -> None:
    points = points_of(story)
    assert points > 8
    for n in range(1, points + 1):
        world = new_world()
        world.crash_at = n
        story(world)
        where = f"after a crash at point {n}: {world.trace[n - 1]}"
        assert world.replaced == 1, where
        assert world.cloud.ids == [], where
        assert world.volumes == [], where
        assert world.attachments == [], where
        assert world.cloud.calls["create"] <= 1, where
        world.process.close()


@pytest.mark.parametrize("story", [whole_life, deleted_midway])
def test_a_leader_that_loses_its_lease_at_any_point_writes_no_more(story: Callable[[World], None]) -> None:
    """As a crash, but the old process lives on, with its memory and its wakes, and must keep still."""
    for n in range(1, points_of(story) + 1):
        world = new_world()
        world.lose_lease_at = n
        story(world)
        where = f"after the lease was lost at point {n}: {world.trace[n - 1]}"
        assert world.replaced == 1, where
        assert world.cloud.ids == [], where
        assert world.volumes == [], where
        assert world.attachments == [], where
        world.process.close()
