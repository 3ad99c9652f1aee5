"""What the wire says becomes what the domain means, and back, with nothing lost and nothing wrong let through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openstack_csi.csi import translate
from openstack_csi.csi.call import patience
from openstack_csi.csi.pb import csi_pb2 as pb
from openstack_csi.errors import InvalidArgument, OutOfRange
from openstack_csi.model import (
    GIB,
    AccessMode,
    AccessType,
    Capability,
    Capacity,
    Stamp,
    Volume,
    VolumeStatus,
)

Mode = pb.VolumeCapability.AccessMode
texts = st.text(max_size=20)
maps = st.dictionaries(texts, texts, max_size=3)
modes = st.sampled_from(AccessMode)
capabilities = st.one_of(
    st.builds(Capability, st.just(AccessType.BLOCK), modes),
    st.builds(Capability, st.just(AccessType.MOUNT), modes, texts, st.lists(texts, max_size=3).map(tuple), texts),
)
volumes = st.builds(Volume, texts, st.integers(0, 2**60), st.lists(maps, max_size=3).map(tuple), maps)


def mount(fs_type: str = "", mode: int = Mode.SINGLE_NODE_WRITER) -> pb.VolumeCapability:
    return pb.VolumeCapability(
        mount=pb.VolumeCapability.MountVolume(fs_type=fs_type), access_mode=Mode(mode=Mode.Mode.Name(mode))
    )


def wanted(**fields: object) -> pb.CreateVolumeRequest:
    return pb.CreateVolumeRequest(**{"name": "pvc-1", "volume_capabilities": [mount()]} | fields)


@given(capabilities)
def test_a_capability_comes_back_as_it_went(capability):
    message = translate.capability_message(capability)
    assert translate.capability(pb.VolumeCapability.FromString(message.SerializeToString())) == capability


@given(volumes)
def test_a_volume_keeps_everything_on_the_wire(volume):
    message = pb.Volume.FromString(translate.volume_message(volume).SerializeToString())
    assert (message.volume_id, message.capacity_bytes) == (volume.id, volume.size_bytes)
    assert dict(message.volume_context) == volume.context
    assert translate.segments(message.accessible_topology) == volume.topology


@given(volumes, st.lists(texts, max_size=3).map(tuple), st.booleans(), texts)
def test_a_status_says_the_same_in_a_list_and_alone(volume, nodes, abnormal, message):
    status = VolumeStatus(volume, nodes, abnormal, message)
    listed, alone = translate.entry_message(status), translate.status_message(status)
    assert listed.volume == alone.volume
    assert tuple(listed.status.published_node_ids) == tuple(alone.status.published_node_ids) == nodes
    assert listed.status.volume_condition == alone.status.volume_condition
    assert listed.status.volume_condition.abnormal == abnormal


def test_every_access_mode_of_csi_has_its_name_in_the_domain():
    named = {name: number for name, number in Mode.Mode.items() if number}
    assert named == {mode.name: mode.value for mode in AccessMode}


def test_a_request_becomes_a_wanted_volume():
    request = wanted(
        capacity_range=pb.CapacityRange(required_bytes=GIB, limit_bytes=2 * GIB),
        volume_capabilities=[mount("xfs"), mount()],
        parameters={
            "type": "fast",
            "csi.storage.k8s.io/pvc/name": "data",
            "csi.storage.k8s.io/pvc/namespace": "shop",
            "csi.storage.k8s.io/pv/name": "pvc-1",
            "csi.storage.k8s.io/fstype": "ext4",
        },
        secrets={"cloud": "west"},
        accessibility_requirements=pb.TopologyRequirement(
            requisite=[pb.Topology(segments={"z": "a"}), pb.Topology(segments={"z": "b"})],
            preferred=[pb.Topology(segments={"z": "b"})],
        ),
    )
    volume = translate.create_volume(request, "cluster-1")
    assert volume.capacity == Capacity(GIB, 2 * GIB)
    assert volume.parameters == {"type": "fast"}
    assert volume.stamp == Stamp("cluster-1", "data", "shop", "pvc-1")
    assert [one.fs_type for one in volume.capabilities] == ["xfs", "ext4"]
    assert volume.topology.requisite == ({"z": "a"}, {"z": "b"})
    assert volume.topology.preferred == ({"z": "b"},)
    assert volume.cloud == "west"


@pytest.mark.parametrize(
    ("change", "kind", "named"),
    [
        ({"name": ""}, InvalidArgument, "^name is missing"),
        ({"name": "n" * 129}, InvalidArgument, "128 bytes"),
        ({"name": "ö" * 65}, InvalidArgument, "128 bytes"),
        ({"name": "pvc\n1"}, InvalidArgument, "control characters"),
        ({"volume_capabilities": []}, InvalidArgument, "^volume_capabilities is missing"),
        ({"volume_capabilities": [pb.VolumeCapability()]}, InvalidArgument, "access_mode is missing"),
        (
            {"volume_capabilities": [pb.VolumeCapability(access_mode=Mode(mode="SINGLE_NODE_WRITER"))]},
            InvalidArgument,
            "access_type is missing",
        ),
        ({"capacity_range": pb.CapacityRange()}, InvalidArgument, "capacity_range is empty"),
        ({"capacity_range": pb.CapacityRange(required_bytes=-1)}, InvalidArgument, "capacity_range is negative"),
        ({"capacity_range": pb.CapacityRange(limit_bytes=-1)}, InvalidArgument, "capacity_range is negative"),
        ({"capacity_range": pb.CapacityRange(required_bytes=2, limit_bytes=1)}, OutOfRange, "limit_bytes 1 is less"),
        ({"secrets": {"clouds": "west"}}, InvalidArgument, 'Did you mean "cloud"'),
        ({"mutable_parameters": {"iops": "1"}}, InvalidArgument, "mutable_parameters"),
        (
            {
                "volume_content_source": pb.VolumeContentSource(
                    volume=pb.VolumeContentSource.VolumeSource(volume_id="v")
                )
            },
            InvalidArgument,
            "volume_content_source",
        ),
    ],
)
def test_what_is_wrong_in_a_request_is_named(change, kind, named):
    with pytest.raises(kind, match=named):
        translate.create_volume(wanted(**change), "cluster-1")


def test_a_secrets_value_is_in_no_refusal():
    with pytest.raises(InvalidArgument) as refused:
        translate.create_volume(wanted(secrets={"password": "hunter2"}), "cluster-1")
    assert "hunter2" not in str(refused.value)


def test_a_name_of_128_bytes_is_taken():
    assert translate.create_volume(wanted(name="n" * 128), "c").name == "n" * 128


def test_an_access_mode_of_a_later_csi_is_refused_by_its_number():
    message = mount()
    message.access_mode.MergeFromString(b"\x08\x63")
    with pytest.raises(InvalidArgument, match="access_mode 99"):
        translate.capability(message)


@pytest.mark.parametrize(
    ("remaining", "seconds"), [(None, 59.5), (9.2e18, 59.5), (15.0, 14.5), (1.0, 0.5), (0.2, 0.1), (0.0, 0.0)]
)
def test_a_handler_stops_before_its_caller_does(remaining, seconds):
    assert patience(remaining) == pytest.approx(seconds)
