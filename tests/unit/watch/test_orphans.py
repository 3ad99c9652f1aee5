from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from openstack_csi.model import GIB, Capability, Capacity, CreateVolume, Orphan, Stamp, Volume
from openstack_csi.watch import names
from openstack_csi.watch.config import OrphanPolicy, WatchConfig
from openstack_csi.watch.orphans import Suspect, find
from tests.unit.watch.world import World

CONFIG = WatchConfig()


Uids = set[str]


def made(volume_id: str, name: str = "pvc-u1", created_at: str = "2026-11-21T10:00:00") -> Orphan:
    return Orphan(volume_id, name, Stamp("c1", "data", "default", name), "available", False, created_at)


EARLIER, LATER = made("b", created_at="1"), made("a", created_at="2")


@pytest.mark.parametrize(
    ("objects", "handles", "uids", "expected"),
    [
        ([made("a")], {"a"}, set(), []),
        ([made("a")], set(), {"u1"}, []),
        ([made("a")], set(), set(), [Suspect(made("a"))]),
        ([made("a", "by-hand")], set(), {"by-hand"}, [Suspect(made("a", "by-hand"))]),
        (
            [LATER, EARLIER],
            set(),
            {"u1"},
            [Suspect(LATER, double=True)],
        ),
        (
            [LATER, EARLIER],
            {"a"},
            {"u1"},
            [Suspect(EARLIER, double=True)],
        ),
        ([made("a"), made("b")], {"a", "b"}, {"u1"}, []),
    ],
)
def test_what_nothing_refers_to(
    objects: list[Orphan], handles: set[str], uids: set[str], expected: list[Suspect]
) -> None:
    assert find(objects, handles, uids, CONFIG) == expected


def lose(world: World, claim: str = "gone", uid: str = "u-1", *, named: bool = True) -> Volume:
    """A volume that an earlier controller made for a claim that is no more."""
    stamp = Stamp("cluster-1", claim, "default", f"pvc-{uid}") if named else Stamp("cluster-1")
    volume = world.cloud.create(CreateVolume(f"pvc-{uid}", Capacity(GIB), stamp=stamp), lambda: None)
    assert isinstance(volume, Volume)
    return volume


def sweep(world: World, times: int = 2, apart: float = 700.0) -> None:
    for _ in range(times):
        world.process.sync()
        world.process.orphans.sweep()
        world.settle()
        world.clock.advance(apart)


@pytest.fixture
def deleting(world_with: Callable[..., World]) -> World:
    return world_with(orphan_policy=OrphanPolicy.DELETE, orphan_grace=600.0)


def use(world: World, volume: Volume) -> None:
    """A pod had the volume once."""
    world.cloud.publish(volume.id, "server-1", Capability(), False, lambda: None)
    world.cloud.unpublish(volume.id, "server-1", lambda: None)


def test_by_default_an_orphan_that_was_used_is_reported_and_kept(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    volume = lose(world)
    use(world, volume)
    sweep(world, 4)

    assert world.process.orphans.count == 1
    assert world.cloud.ids == [volume.id]
    assert "orphan: no claim and no PV refers to this volume" in caplog.text


def test_by_default_an_orphan_that_nobody_ever_used_goes_after_the_grace_time(world: World) -> None:
    volume = lose(world)
    sweep(world, 1)
    assert world.cloud.ids == [volume.id]

    sweep(world, 2)
    assert world.cloud.ids == []


def test_a_policy_of_reporting_removes_nothing(world_with: Callable[..., World]) -> None:
    world = world_with(orphan_policy=OrphanPolicy.REPORT)
    volume = lose(world)
    sweep(world, 4)
    assert world.cloud.ids == [volume.id]


def test_an_orphan_is_removed_after_the_grace_time_where_the_policy_says_so(deleting: World) -> None:
    volume = lose(deleting)
    use(deleting, volume)
    sweep(deleting, 1)
    assert deleting.cloud.ids == [volume.id]

    sweep(deleting, 2)
    assert deleting.cloud.ids == []
    assert deleting.process.orphans.count == 0


def test_a_volume_is_kept_while_its_claim_stands_though_the_cache_does_not_show_it(deleting: World) -> None:
    claim = deleting.claim(annotations={names.PROVISIONER: "nobody"})
    lose(deleting, "data", claim["metadata"]["uid"])
    for _ in range(3):
        deleting.process.orphans.sweep()
        assert deleting.process.orphans.count == 0
        deleting.process.work()
        deleting.clock.advance(700)

    assert len(deleting.cloud.ids) == 1


def test_a_volume_of_an_earlier_claim_of_that_name_is_an_orphan(deleting: World) -> None:
    deleting.claim(annotations={names.PROVISIONER: "nobody"})
    lose(deleting, "data", "an-older-uid")
    sweep(deleting)

    assert deleting.cloud.ids == []


def test_a_volume_is_kept_while_a_pv_refers_to_it_though_the_cache_does_not_show_it(deleting: World) -> None:
    volume = lose(deleting)
    body = {"metadata": {"name": "pvc-u-1"}, "spec": {"csi": {"driver": "x", "volumeHandle": volume.id}}}
    deleting.make(names.VOLUMES, body)
    for _ in range(3):
        deleting.process.orphans.sweep()
        assert deleting.process.orphans.count == 0
        deleting.process.work()
        deleting.clock.advance(700)

    assert deleting.cloud.ids == [volume.id]


def test_a_volume_that_a_pv_of_another_name_adopted_is_kept(deleting: World) -> None:
    volume = lose(deleting)
    csi = {"driver": deleting.config.driver, "volumeHandle": volume.id}
    deleting.make(names.VOLUMES, {"metadata": {"name": "by-hand"}, "spec": {"csi": csi, "claimRef": {"uid": "x"}}})
    sweep(deleting, 3)

    assert deleting.cloud.ids == [volume.id]


def test_a_volume_whose_stamp_names_no_claim_is_only_reported(deleting: World) -> None:
    lose(deleting, named=False)
    sweep(deleting, 4)

    assert len(deleting.cloud.ids) == 1
    assert deleting.process.orphans.count == 1


def test_an_attached_volume_is_never_removed(deleting: World) -> None:
    volume = lose(deleting)
    deleting.cloud._kept[volume.id].nodes.add("some-node")
    sweep(deleting, 4)

    assert deleting.cloud.ids == [volume.id]


def test_a_volume_that_is_being_made_is_no_orphan(deleting: World) -> None:
    deleting.cloud.hold("create")
    deleting.claim()
    deleting.settle()
    sweep(deleting, 3)

    assert len(deleting.cloud.ids) == 1
    assert deleting.process.orphans.count == 0


def test_of_two_volumes_of_one_name_the_one_without_pv_goes(deleting: World) -> None:
    deleting.claim()
    deleting.settle()
    (kept,) = deleting.cloud.ids
    double = dataclasses.replace(deleting.cloud._kept[kept].volume, id="0-double")
    deleting.cloud._kept["0-double"] = dataclasses.replace(deleting.cloud._kept[kept], volume=double)
    sweep(deleting, 3)

    assert deleting.cloud.ids == [kept]
