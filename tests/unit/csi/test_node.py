"""The Node service behind a real socket, as far as it goes without root: what it refuses, and what it says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from openstack_csi.csi.node import NodeService
from openstack_csi.csi.pb import csi_pb2 as pb
from openstack_csi.csi.pb.csi_pb2_grpc import NodeStub
from openstack_csi.host.volumes import Volumes

Serve = Callable[..., grpc.Channel]

ZONE = {"topology.cinder.csi.openstack.org/zone": "nova"}
VOLUME = "5b1e7c3a-9f10-4d8e-8d41-0f6ad1c2e3f4"
WRITER = pb.VolumeCapability.AccessMode(mode=pb.VolumeCapability.AccessMode.SINGLE_NODE_WRITER)
MOUNT = pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(fs_type="ext4"), access_mode=WRITER)


@pytest.fixture
def kubelet(tmp_path: Path) -> Path:
    (tmp_path / "kubelet").mkdir()
    return tmp_path / "kubelet"


@pytest.fixture
def node(serve: Serve, kubelet: Path) -> NodeStub:
    return NodeStub(serve(NodeService(Volumes.of(kubelet), "server-1", ZONE, lambda: 24)))


def refusal(call: Callable[[object], object], request: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call(request)
    return raised.value.code(), raised.value.details()


def test_the_node_says_who_and_where_it_is(node: NodeStub) -> None:
    said = node.NodeGetInfo(pb.NodeGetInfoRequest())
    assert (said.node_id, said.max_volumes_per_node) == ("server-1", 24)
    assert dict(said.accessible_topology.segments) == ZONE


def test_a_node_without_zone_has_no_topology(serve: Serve, kubelet: Path) -> None:
    said = NodeStub(serve(NodeService(Volumes.of(kubelet), "server-1", {}, lambda: 24))).NodeGetInfo(
        pb.NodeGetInfoRequest()
    )
    assert not said.HasField("accessible_topology")


def test_only_what_is_done_is_offered(node: NodeStub) -> None:
    rpc = pb.NodeServiceCapability.RPC
    offered = [one.rpc.type for one in node.NodeGetCapabilities(pb.NodeGetCapabilitiesRequest()).capabilities]
    assert offered == [rpc.STAGE_UNSTAGE_VOLUME, rpc.GET_VOLUME_STATS]
    assert refusal(node.NodeExpandVolume, pb.NodeExpandVolumeRequest(volume_id=VOLUME))[0] is (
        grpc.StatusCode.UNIMPLEMENTED
    )


@pytest.mark.parametrize(
    ("method", "request_type", "fields"),
    [
        ("NodeStageVolume", pb.NodeStageVolumeRequest, ["volume_id", "staging_target_path", "volume_capability"]),
        ("NodeUnstageVolume", pb.NodeUnstageVolumeRequest, ["volume_id", "staging_target_path"]),
        ("NodePublishVolume", pb.NodePublishVolumeRequest, ["volume_id", "target_path", "volume_capability"]),
        ("NodeUnpublishVolume", pb.NodeUnpublishVolumeRequest, ["volume_id", "target_path"]),
        ("NodeGetVolumeStats", pb.NodeGetVolumeStatsRequest, ["volume_id", "volume_path"]),
    ],
)
def test_a_missing_field_is_named(
    node: NodeStub, method: str, request_type: Callable[..., object], fields: list[str]
) -> None:
    complete = {field: MOUNT if field == "volume_capability" else "x" for field in fields}
    for missing in fields:
        given = {field: value for field, value in complete.items() if field != missing}
        code, text = refusal(getattr(node, method), request_type(**given))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert f"{missing} is missing" in text


def test_a_publish_without_a_staging_path_breaks_the_order_of_calls(node: NodeStub) -> None:
    request = pb.NodePublishVolumeRequest(volume_id=VOLUME, target_path="/x", volume_capability=MOUNT)
    code, text = refusal(node.NodePublishVolume, request)
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "staging_target_path" in text


@pytest.mark.parametrize("path", ["some/path", "/etc", "{kubelet}/none", "{kubelet}"])
def test_statistics_of_what_is_no_volume_are_not_found(node: NodeStub, kubelet: Path, path: str) -> None:
    request = pb.NodeGetVolumeStatsRequest(volume_id=VOLUME, volume_path=path.format(kubelet=kubelet))
    assert refusal(node.NodeGetVolumeStats, request)[0] is grpc.StatusCode.NOT_FOUND


def test_what_was_never_there_is_unpublished_and_unstaged(node: NodeStub, kubelet: Path) -> None:
    for _ in range(2):
        node.NodeUnpublishVolume(pb.NodeUnpublishVolumeRequest(volume_id=VOLUME, target_path=f"{kubelet}/target"))
        node.NodeUnstageVolume(pb.NodeUnstageVolumeRequest(volume_id=VOLUME, staging_target_path=f"{kubelet}/staging"))


def test_paths_outside_of_the_kubelets_directory_are_refused_by_every_call(node: NodeStub) -> None:
    away = "/etc/away"
    for call, request in (
        (
            node.NodeStageVolume,
            pb.NodeStageVolumeRequest(volume_id=VOLUME, staging_target_path=away, volume_capability=MOUNT),
        ),
        (node.NodeUnstageVolume, pb.NodeUnstageVolumeRequest(volume_id=VOLUME, staging_target_path=away)),
        (
            node.NodePublishVolume,
            pb.NodePublishVolumeRequest(
                volume_id=VOLUME, staging_target_path=away, target_path=away, volume_capability=MOUNT
            ),
        ),
        (node.NodeUnpublishVolume, pb.NodeUnpublishVolumeRequest(volume_id=VOLUME, target_path=away)),
    ):
        code, text = refusal(call, request)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "--kubelet-dir" in text


@pytest.mark.parametrize(
    ("mount", "context", "told"),
    [
        ({"fs_type": "ext5"}, {}, 'Did you mean "ext'),
        ({"fs_type": "ext4", "volume_mount_group": "1000"}, {}, "volume_mount_group is not offered"),
        ({"fs_type": "ext4"}, {"sizeBytes": "much"}, "sizeBytes"),
    ],
)
def test_what_cannot_be_met_is_refused_by_name(
    node: NodeStub, kubelet: Path, mount: dict[str, str], context: dict[str, str], told: str
) -> None:
    request = pb.NodeStageVolumeRequest(
        volume_id=VOLUME,
        staging_target_path=f"{kubelet}/staging",
        volume_capability=pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(**mount), access_mode=WRITER),
        publish_context=context,
    )
    code, text = refusal(node.NodeStageVolume, request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert told in text


def test_staging_ends_before_its_callers_deadline_with_our_own_words(node: NodeStub, kubelet: Path) -> None:
    request = pb.NodeStageVolumeRequest(
        volume_id=VOLUME, staging_target_path=f"{kubelet}/staging", volume_capability=MOUNT
    )
    code, text = refusal(lambda message: node.NodeStageVolume(message, timeout=1), request)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "this node does not see it" in text


def test_the_node_loads_no_library_of_the_cloud_or_of_kubernetes() -> None:
    code = "import sys, openstack_csi.csi.node, openstack_csi.host.metadata; print(*sys.modules)"
    root = Path(__file__).parents[3]
    loaded = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    heavy = {"openstack", "keystoneauth1", "kubernetes", "requests", "urllib3", "yaml", "pydantic"}
    assert heavy.isdisjoint(loaded.split())
