"""Many claims at once."""

from __future__ import annotations

from tests.cluster.cluster import until
from tests.cluster.space import CLAIMS, PODS, Space


def test_fifty_claims_at_once_are_bound_and_leave_nothing_behind(space: Space) -> None:
    storage_class = space.storage_class(binding="Immediate")
    names = [f"data-{i}" for i in range(50)]
    for name in names:
        space.claim(name, storage_class)
    pvs = space.bound(*names)
    assert sorted(each["name"] for each in space.volumes()) == sorted(each["metadata"]["name"] for each in pvs)

    space.delete(CLAIMS, *names)
    space.until_nothing_is_left()


def test_ten_pods_at_once_get_their_volumes_and_leave_nothing_behind(space: Space) -> None:
    storage_class = space.storage_class()
    names = [f"user-{i}" for i in range(10)]
    for name in names:
        space.claim(name, storage_class)
        space.pod(name, name)
    space.running(*names)
    assert {each["status"] for each in space.volumes()} == {"in-use"}

    space.delete(PODS, *names)
    space.delete(CLAIMS, *names)
    until("the pods are gone", lambda: not space.cluster.items(space.path(PODS)))
    space.until_nothing_is_left()
