"""What a class and a claim become in Cinder's create call, and what is refused before any call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openstack_csi import errors
from openstack_csi.backends.cinder_request import metadata, refuse_difference, size_gib, stamp, wanted
from openstack_csi.cloud.volumes import CinderVolume
from openstack_csi.model import (
    GIB,
    AccessMode,
    AccessType,
    Capability,
    Capacity,
    CreateVolume,
    Stamp,
    TopologyRequirement,
)

KEY = "topology.cinder.csi.openstack.org/zone"

sizes = st.integers(min_value=0, max_value=1 << 60)


def volume(**changes: object) -> CinderVolume:
    fields: dict[str, object] = {
        "id": "6a1f",
        "name": "pvc-1",
        "status": "available",
        "size_gib": 1,
        "zone": "nova",
        "volume_type": "fast",
        "multiattach": False,
        "metadata": {"cinder.csi.openstack.org/cluster": "c"},
        "attachments": (),
        "created_at": "2026-01-01T00:00:00",
    }
    return CinderVolume(**{**fields, **changes})  # type: ignore[arg-type]


@given(sizes, sizes)
def test_the_volume_is_the_smallest_whole_gib_that_holds_what_is_required(required: int, limit: int) -> None:
    try:
        gib, most = size_gib(Capacity(required, limit))
    except (errors.OutOfRange, errors.InvalidArgument):
        assert limit < max(1, -(-required // GIB)) * GIB
        return
    assert gib * GIB >= required
    assert gib == 1 or (gib - 1) * GIB < required
    assert most is None or gib <= most


def test_a_size_with_no_whole_gib_below_its_limit_is_out_of_range() -> None:
    with pytest.raises(errors.OutOfRange, match="whole GiB"):
        size_gib(Capacity(GIB + 1, GIB + 2))


def test_an_unknown_parameter_is_refused_with_the_nearest_right_one() -> None:
    request = CreateVolume("pvc-1", parameters={"availabilty": "nova"})
    with pytest.raises(errors.InvalidArgument, match=r'unknown StorageClass parameter "availabilty".*"availability"'):
        wanted(request, KEY)


@pytest.mark.parametrize("mode", [AccessMode.MULTI_NODE_MULTI_WRITER, AccessMode.MULTI_NODE_SINGLE_WRITER])
def test_a_file_system_for_several_writing_nodes_is_sent_to_manila(mode: AccessMode) -> None:
    request = CreateVolume("pvc-1", capabilities=(Capability(AccessType.MOUNT, mode),))
    with pytest.raises(errors.InvalidArgument, match="Manila"):
        wanted(request, KEY)


def test_a_file_system_that_the_node_cannot_make_is_refused() -> None:
    request = CreateVolume("pvc-1", capabilities=(Capability(fs_type="ext44"),))
    with pytest.raises(errors.InvalidArgument, match=r'"ext44".*"ext4"'):
        wanted(request, KEY)


def test_the_class_s_zone_wins_over_the_scheduler_s() -> None:
    topology = TopologyRequirement(preferred=({KEY: "az2"},), requisite=({KEY: "az1"},))
    assert wanted(CreateVolume("n", topology=topology), KEY).zone == "az2"
    assert wanted(CreateVolume("n", topology=topology, parameters={"availability": "az3"}), KEY).zone == "az3"


def test_name_and_stamp_are_in_the_create_call_itself() -> None:
    whose = Stamp("cluster-1", "data", "shop", "pvc-1")
    body = wanted(CreateVolume("pvc-1", stamp=whose), KEY).body()
    assert body["name"] == "pvc-1"
    assert stamp(body["metadata"]) == whose


@given(st.builds(Stamp, st.text(), st.text(), st.text(), st.text()))
def test_a_stamp_is_read_back_as_it_was_written(whose: Stamp) -> None:
    assert stamp(metadata(whose)) == whose


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({"size_gib": 3}, "3 GiB"),
        ({"volume_type": "slow"}, 'type "slow"'),
        ({"zone": "az9"}, 'zone "az9"'),
        ({"metadata": {}}, "another cluster"),
    ],
)
def test_a_volume_of_that_name_that_is_not_what_was_asked_for_is_not_adopted(
    found: dict[str, object], why: str
) -> None:
    request = CreateVolume(
        "pvc-1", Capacity(GIB, 2 * GIB), parameters={"type": "fast", "availability": "nova"}, stamp=Stamp("c")
    )
    with pytest.raises(errors.AlreadyExists, match=why):
        refuse_difference(volume(**found), wanted(request, KEY))
    refuse_difference(volume(), wanted(request, KEY))


def test_a_volume_made_in_another_of_the_allowed_zones_is_adopted() -> None:
    topology = TopologyRequirement(requisite=({KEY: "az1"}, {KEY: "az2"}), preferred=({KEY: "az1"},))
    asked = wanted(CreateVolume("pvc-1", Capacity(GIB), topology=topology, stamp=Stamp("c")), KEY)
    assert asked.zone == "az1"
    refuse_difference(volume(zone="az2"), asked)
    with pytest.raises(errors.AlreadyExists, match="az3"):
        refuse_difference(volume(zone="az3"), asked)
