"""The Controller over a real socket, on the service and a backend in memory."""

from __future__ import annotations

import threading
import time

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openstack_csi.csi.controller import Controller, page
from openstack_csi.csi.identity import Identity
from openstack_csi.csi.pb import csi_pb2 as pb
from openstack_csi.csi.pb import csi_pb2_grpc as csi
from openstack_csi.errors import Aborted, ResourceExhausted
from openstack_csi.model import GIB, Volume, VolumeStatus
from openstack_csi.service import VolumeService
from tests.unit.csi.memory_backend import KEY, MemoryBackend

Mode = pb.VolumeCapability.AccessMode
Code = grpc.StatusCode
NODES = ("node-1", "node-2")


def capability(mode: str = "SINGLE_NODE_WRITER") -> pb.VolumeCapability:
    return pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(), access_mode=Mode(mode=mode))


def wanted(name: str = "pvc-1", gib: int = 1, **fields: object) -> pb.CreateVolumeRequest:
    return pb.CreateVolumeRequest(
        name=name,
        capacity_range=pb.CapacityRange(required_bytes=gib * GIB),
        volume_capabilities=[capability()],
        **fields,
    )


def publication(volume_id: str, node_id: str = "node-1") -> pb.ControllerPublishVolumeRequest:
    return pb.ControllerPublishVolumeRequest(
        volume_id=volume_id, node_id=node_id, volume_capability=capability(), volume_context={}
    )


@pytest.fixture
def cloud():
    return MemoryBackend(NODES)


@pytest.fixture
def channel(serve, cloud):
    identity = Identity("cinder.csi.openstack.org", "1", lambda: (True, ""))
    return serve(Controller(VolumeService(cloud), "cluster-1"), identity)


@pytest.fixture
def stub(channel):
    return csi.ControllerStub(channel)


def test_a_volumes_whole_life(stub, cloud):
    volume = stub.CreateVolume(wanted(gib=2), timeout=10).volume
    assert volume.capacity_bytes == 2 * GIB
    assert volume.accessible_topology[0].segments[KEY] == "nova"
    published = stub.ControllerPublishVolume(publication(volume.volume_id), timeout=10)
    assert volume.volume_id[:20] in published.publish_context["DevicePath"]
    seen = stub.ControllerGetVolume(pb.ControllerGetVolumeRequest(volume_id=volume.volume_id), timeout=10)
    assert list(seen.status.published_node_ids) == ["node-1"]
    detach = pb.ControllerUnpublishVolumeRequest(volume_id=volume.volume_id, node_id="node-1")
    stub.ControllerUnpublishVolume(detach, timeout=10)
    stub.DeleteVolume(pb.DeleteVolumeRequest(volume_id=volume.volume_id), timeout=10)
    assert cloud.list() == []


def test_everything_may_be_said_ten_times(stub, cloud):
    ids = {stub.CreateVolume(wanted(), timeout=10).volume.volume_id for _ in range(10)}
    [volume_id] = ids
    for _ in range(10):
        stub.ControllerPublishVolume(publication(volume_id), timeout=10)
    for _ in range(10):
        stub.ControllerUnpublishVolume(pb.ControllerUnpublishVolumeRequest(volume_id=volume_id), timeout=10)
    for _ in range(10):
        stub.DeleteVolume(pb.DeleteVolumeRequest(volume_id=volume_id), timeout=10)
    assert cloud.calls == {"create": 1, "publish": 1, "unpublish": 1, "delete": 1}


def test_the_stamp_names_cluster_and_claim(stub, cloud):
    parameters = {"csi.storage.k8s.io/pvc/name": "data", "csi.storage.k8s.io/pvc/namespace": "shop"}
    stub.CreateVolume(wanted(parameters=parameters), timeout=10)
    [orphan] = cloud.orphans()
    assert (orphan.stamp.cluster, orphan.stamp.claim_name, orphan.stamp.claim_namespace) == (
        "cluster-1",
        "data",
        "shop",
    )


def test_the_offers_are_exactly_what_is_served(stub):
    answer = stub.ControllerGetCapabilities(pb.ControllerGetCapabilitiesRequest(), timeout=10)
    assert [pb.ControllerServiceCapability.RPC.Type.Name(one.rpc.type) for one in answer.capabilities] == [
        "CREATE_DELETE_VOLUME",
        "PUBLISH_UNPUBLISH_VOLUME",
        "LIST_VOLUMES",
        "LIST_VOLUMES_PUBLISHED_NODES",
        "GET_VOLUME",
        "VOLUME_CONDITION",
    ]


V, N, C = {"volume_id": "v"}, {"node_id": "node-1"}, {"volume_capability": capability()}


@pytest.mark.parametrize(
    ("method", "request_", "code", "said"),
    [
        ("CreateVolume", pb.CreateVolumeRequest(), Code.INVALID_ARGUMENT, "name is missing"),
        ("CreateVolume", pb.CreateVolumeRequest(name="n"), Code.INVALID_ARGUMENT, "volume_capabilities is missing"),
        ("CreateVolume", wanted(parameters={"typ": "x"}), Code.INVALID_ARGUMENT, 'Did you mean "type"'),
        ("DeleteVolume", pb.DeleteVolumeRequest(), Code.INVALID_ARGUMENT, "volume_id is missing"),
        ("ControllerPublishVolume", pb.ControllerPublishVolumeRequest(**N, **C), Code.INVALID_ARGUMENT, "volume_id"),
        ("ControllerPublishVolume", pb.ControllerPublishVolumeRequest(**V, **C), Code.INVALID_ARGUMENT, "node_id"),
        ("ControllerPublishVolume", pb.ControllerPublishVolumeRequest(**V, **N), Code.INVALID_ARGUMENT, "capability"),
        ("ControllerPublishVolume", publication("v"), Code.NOT_FOUND, "volume v does not exist"),
        ("ControllerUnpublishVolume", pb.ControllerUnpublishVolumeRequest(), Code.INVALID_ARGUMENT, "volume_id"),
        ("ValidateVolumeCapabilities", pb.ValidateVolumeCapabilitiesRequest(), Code.INVALID_ARGUMENT, "volume_id"),
        ("ValidateVolumeCapabilities", pb.ValidateVolumeCapabilitiesRequest(**V), Code.INVALID_ARGUMENT, "capabilit"),
        (
            "ValidateVolumeCapabilities",
            pb.ValidateVolumeCapabilitiesRequest(volume_id="v", volume_capabilities=[capability()]),
            Code.NOT_FOUND,
            "volume v",
        ),
        ("ControllerGetVolume", pb.ControllerGetVolumeRequest(), Code.INVALID_ARGUMENT, "volume_id"),
        ("ControllerGetVolume", pb.ControllerGetVolumeRequest(**V), Code.NOT_FOUND, "volume v"),
        ("ListVolumes", pb.ListVolumesRequest(starting_token="invalid-token"), Code.ABORTED, "invalid-token"),
        ("ListVolumes", pb.ListVolumesRequest(max_entries=-1), Code.INVALID_ARGUMENT, "max_entries"),
        ("GetCapacity", pb.GetCapacityRequest(), Code.UNIMPLEMENTED, "GetCapacity"),
        ("CreateSnapshot", pb.CreateSnapshotRequest(), Code.UNIMPLEMENTED, "CreateSnapshot"),
        ("ControllerExpandVolume", pb.ControllerExpandVolumeRequest(), Code.UNIMPLEMENTED, "ControllerExpandVolume"),
    ],
)
def test_a_bad_request_is_refused_with_its_code_and_words(stub, cloud, method, request_, code, said):
    with pytest.raises(grpc.RpcError) as refused:
        getattr(stub, method)(request_, timeout=10)
    assert refused.value.code() is code
    assert said in refused.value.details()
    assert not cloud.calls


def test_the_same_name_with_another_size_is_another_volume_and_refused(stub):
    stub.CreateVolume(wanted(gib=1), timeout=10)
    with pytest.raises(grpc.RpcError) as refused:
        stub.CreateVolume(wanted(gib=2), timeout=10)
    assert refused.value.code() is Code.ALREADY_EXISTS


def test_a_volume_that_nobody_knows_counts_as_deleted_and_detached(stub):
    stub.DeleteVolume(pb.DeleteVolumeRequest(volume_id="fake"), timeout=10)
    stub.ControllerUnpublishVolume(pb.ControllerUnpublishVolumeRequest(volume_id="fake", node_id="n"), timeout=10)


def test_a_volume_attached_elsewhere_or_to_nowhere_is_told(stub):
    volume_id = stub.CreateVolume(wanted(), timeout=10).volume.volume_id
    with pytest.raises(grpc.RpcError) as nowhere:
        stub.ControllerPublishVolume(publication(volume_id, "node-9"), timeout=10)
    assert nowhere.value.code() is Code.NOT_FOUND
    stub.ControllerPublishVolume(publication(volume_id, "node-1"), timeout=10)
    with pytest.raises(grpc.RpcError) as elsewhere:
        stub.ControllerPublishVolume(publication(volume_id, "node-2"), timeout=10)
    assert elsewhere.value.code() is Code.FAILED_PRECONDITION
    with pytest.raises(grpc.RpcError) as in_use:
        stub.DeleteVolume(pb.DeleteVolumeRequest(volume_id=volume_id), timeout=10)
    assert in_use.value.code() is Code.FAILED_PRECONDITION


def test_capabilities_are_confirmed_all_or_none(stub):
    volume_id = stub.CreateVolume(wanted(), timeout=10).volume.volume_id
    one, many = capability(), capability("MULTI_NODE_MULTI_WRITER")
    good = pb.ValidateVolumeCapabilitiesRequest(volume_id=volume_id, volume_capabilities=[one])
    assert list(stub.ValidateVolumeCapabilities(good, timeout=10).confirmed.volume_capabilities) == [one]
    bad = pb.ValidateVolumeCapabilitiesRequest(volume_id=volume_id, volume_capabilities=[one, many])
    answer = stub.ValidateVolumeCapabilities(bad, timeout=10)
    assert not answer.HasField("confirmed")
    assert "several nodes" in answer.message


def test_a_fault_of_the_cloud_reaches_the_caller(stub, cloud):
    cloud.fail("create", ResourceExhausted("quota gigabytes: 10 of 10 used", request_id="req-1"))
    with pytest.raises(grpc.RpcError) as refused:
        stub.CreateVolume(wanted(), timeout=10)
    assert refused.value.code() is Code.RESOURCE_EXHAUSTED
    assert refused.value.details() == "quota gigabytes: 10 of 10 used [request req-1]"


def test_a_call_waits_until_the_cloud_is_done(stub, cloud):
    cloud.hold("create")
    call = stub.CreateVolume.future(wanted(), timeout=20)
    until(lambda: cloud.waiting("create") == 1)
    assert not call.done()
    cloud.release("create")
    assert call.result().volume.volume_id


def test_a_caller_whose_time_is_up_learns_what_was_waited_for_and_loses_nothing(stub, cloud):
    cloud.hold("create")
    with pytest.raises(grpc.RpcError) as late:
        stub.CreateVolume(wanted(), timeout=0.4)
    assert late.value.code() is Code.DEADLINE_EXCEEDED
    assert "is creating" in late.value.details()
    cloud.release("create")
    stub.CreateVolume(wanted(), timeout=10)
    assert cloud.calls["create"] == 1


def test_a_caller_that_hangs_up_frees_its_place_at_once(stub, cloud):
    cloud.hold("create")
    call = stub.CreateVolume.future(wanted(), timeout=30)
    until(lambda: cloud.waiting("create") == 1)
    call.cancel()
    until(lambda: refusal(stub, wanted()) is Code.DEADLINE_EXCEEDED)  # ABORTED as long as the first call is served


def test_probe_answers_while_32_creates_are_held(channel, stub, cloud):
    cloud.hold("create")
    calls = [stub.CreateVolume.future(wanted(f"pvc-{n}"), timeout=60) for n in range(32)]
    until(lambda: cloud.waiting("create") == 32)
    slowest = 0.0
    for _ in range(5):
        began = time.monotonic()
        csi.IdentityStub(channel).Probe(pb.ProbeRequest(), timeout=10)
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1.0
    cloud.release("create")
    assert len({call.result().volume.volume_id for call in calls}) == 32


def test_pages_follow_each_other_though_volumes_come_and_go(stub):
    ids = sorted(stub.CreateVolume(wanted(f"pvc-{n}"), timeout=10).volume.volume_id for n in range(5))
    first = stub.ListVolumes(pb.ListVolumesRequest(max_entries=2), timeout=10)
    assert [one.volume.volume_id for one in first.entries] == ids[:2]
    stub.DeleteVolume(pb.DeleteVolumeRequest(volume_id=ids[1]), timeout=10)
    second = stub.ListVolumes(pb.ListVolumesRequest(max_entries=2, starting_token=first.next_token), timeout=10)
    assert [one.volume.volume_id for one in second.entries] == ids[2:4]
    last = stub.ListVolumes(pb.ListVolumesRequest(starting_token=second.next_token), timeout=10)
    assert [one.volume.volume_id for one in last.entries] == ids[4:]
    assert last.next_token == ""


def test_the_list_tells_who_has_a_volume(stub):
    volume_id = stub.CreateVolume(wanted(), timeout=10).volume.volume_id
    stub.ControllerPublishVolume(publication(volume_id), timeout=10)
    [entry] = stub.ListVolumes(pb.ListVolumesRequest(), timeout=10).entries
    assert list(entry.status.published_node_ids) == ["node-1"]
    assert not entry.status.volume_condition.abnormal


@given(st.sets(st.text(min_size=1, max_size=6), max_size=30), st.integers(1, 10))
def test_pages_of_any_length_hold_every_volume_once(ids, length):
    volumes = [VolumeStatus(Volume(one, GIB)) for one in ids]
    told, token = [], ""
    while True:
        found, token = page(volumes, length, token)
        assert len(found) <= length
        told += [one.volume.id for one in found]
        if not token:
            break
    assert told == sorted(ids)


@given(st.text(min_size=1).filter(lambda token: not token.startswith("after:")))
def test_a_token_that_we_never_gave_is_refused(token):
    with pytest.raises(Aborted, match="starting_token"):
        page([], 0, token)


def until(happened, seconds: float = 20.0) -> None:
    """Wait for something that another thread brings about."""
    end = time.monotonic() + seconds
    tick = threading.Event()
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        tick.wait(0.005)


def refusal(stub: csi.ControllerStub, request: pb.CreateVolumeRequest) -> grpc.StatusCode:
    """How a call with little time ends while the cloud holds creates."""
    with pytest.raises(grpc.RpcError) as refused:
        stub.CreateVolume(request, timeout=0.2)
    return refused.value.code()
