from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openstack_csi.model import TopologyRequirement
from openstack_csi.watch.objects import CSINode, Node, StorageClass
from openstack_csi.watch.topology import NoTopology, Zones, requirement

KEY = "topology.cinder.csi.openstack.org/zone"


def zones(**zone_of_node: str) -> Zones:
    return Zones.of(
        [CSINode(name, f"id-{name}", (KEY,)) for name in zone_of_node],
        [Node(name, {KEY: zone}) for name, zone in zone_of_node.items()],
    )


def segments(*names: str) -> tuple[dict[str, str], ...]:
    return tuple({KEY: name} for name in names)


def allowed(*names: str) -> StorageClass:
    return StorageClass("sc", allowed_topologies=(((KEY, names),),))


ANY = StorageClass("sc")
ABC = zones(n1="a", n2="b", n3="c", n4="a")


def test_the_selected_node_s_zone_comes_first_and_the_others_follow() -> None:
    found = requirement(ABC, ANY, "data", "n2")

    assert found == TopologyRequirement(segments("a", "b", "c"), segments("b", "c", "a"))


def test_allowed_topologies_restrict_the_zones() -> None:
    found = requirement(ABC, allowed("c", "b"), "data", "n3")

    assert found == TopologyRequirement(segments("b", "c"), segments("c", "b"))


def test_allowed_topologies_are_multiplied_out() -> None:
    storage_class = StorageClass("sc", allowed_topologies=((("r", ("1", "2")), ("z", ("a",))), (("z", ("b",)),)))

    found = requirement(ABC, storage_class, "data", "")

    assert list(found.requisite) == [{"r": "1", "z": "a"}, {"r": "2", "z": "a"}, {"z": "b"}]


@pytest.mark.parametrize(
    ("offer", "storage_class", "node", "text"),
    [
        (ABC, ANY, "n9", 'not registered on node "n9"'),
        (ABC, allowed("b"), "n1", 'node "n1" is outside of the allowedTopologies'),
        (Zones({"n1": (KEY,)}, {"n1": {}}), ANY, "n1", f'node "n1" has no label {KEY}'),
        (Zones({}, {"n1": {}}), ANY, "", "not registered on any node yet"),
    ],
)
def test_what_is_missing_is_said(offer: Zones, storage_class: StorageClass, node: str, text: str) -> None:
    with pytest.raises(NoTopology, match=text):
        requirement(offer, storage_class, "data", node)


def test_without_zones_nothing_is_required() -> None:
    plain = Zones({"n1": ()}, {"n1": {}})

    assert requirement(plain, ANY, "data", "") == TopologyRequirement()
    assert requirement(plain, ANY, "data", "n1") == TopologyRequirement()


def test_replicas_of_a_stateful_set_spread_over_the_zones() -> None:
    first = [requirement(ABC, ANY, f"data-web-{i}", "").preferred[0][KEY] for i in range(6)]

    assert sorted(first[:3]) == ["a", "b", "c"]
    assert first[3:] == first[:3]


def test_the_claims_of_one_replica_prefer_the_same_zone() -> None:
    data, log = (requirement(ABC, ANY, f"{name}-web-1", "") for name in ("data", "log"))

    assert data == log


@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.sampled_from("xyz"), min_size=1, max_size=8),
    st.text("abc-0123456789", min_size=1, max_size=12),
    st.data(),
)
def test_preferred_is_always_requisite_in_another_order(nodes: dict[str, str], claim: str, data: Any) -> None:
    node = data.draw(st.sampled_from(["", *nodes]))
    found = requirement(zones(**nodes), ANY, claim, node)

    assert sorted(each[KEY] for each in found.preferred) == [each[KEY] for each in found.requisite]
    assert {each[KEY] for each in found.requisite} == set(nodes.values())
    if node:
        assert found.preferred[0][KEY] == nodes[node]
