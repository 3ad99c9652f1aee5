"""The whole life of a volume through the Node service's socket, as the kubelet drives it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from openstack_csi.csi.interceptor import Interceptor
from openstack_csi.csi.node import NodeService
from openstack_csi.csi.pb import csi_pb2 as pb
from openstack_csi.csi.pb.csi_pb2_grpc import NodeStub
from openstack_csi.csi.server import Server
from tests.host.machine import MIB, Machine

WRITER = pb.VolumeCapability.AccessMode(mode=pb.VolumeCapability.AccessMode.SINGLE_NODE_WRITER)
MOUNT = pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(fs_type="xfs"), access_mode=WRITER)
BLOCK = pb.VolumeCapability(block=pb.VolumeCapability.BlockVolume(), access_mode=WRITER)


@pytest.fixture
def node(machine: Machine) -> Iterator[NodeStub]:
    with tempfile.TemporaryDirectory(prefix="csi") as directory:
        service = NodeService(machine.volumes, "server-1", {}, lambda: 25)
        server = Server(f"unix://{directory}/csi.sock", service, interceptors=[Interceptor()])
        server.start()
        with grpc.insecure_channel(server.address) as channel:
            yield NodeStub(channel)
        server.stop(0)


@pytest.mark.parametrize("wanted", [MOUNT, BLOCK], ids=["mount", "block"])
def test_a_volume_is_staged_published_measured_and_taken_away(
    machine: Machine, node: NodeStub, wanted: pb.VolumeCapability
) -> None:
    volume = machine.attach()
    staging, target = str(machine.staging(volume)), str(machine.target(volume))
    node.NodeStageVolume(
        pb.NodeStageVolumeRequest(
            volume_id=volume,
            staging_target_path=staging,
            volume_capability=wanted,
            publish_context={"sizeBytes": str(320 * MIB)},
        )
    )
    node.NodePublishVolume(
        pb.NodePublishVolumeRequest(
            volume_id=volume, staging_target_path=staging, target_path=target, volume_capability=wanted
        )
    )
    measured = node.NodeGetVolumeStats(pb.NodeGetVolumeStatsRequest(volume_id=volume, volume_path=target)).usage
    units = [pb.VolumeUsage.BYTES, pb.VolumeUsage.INODES] if wanted is MOUNT else [pb.VolumeUsage.BYTES]
    assert [usage.unit for usage in measured] == units
    assert 250 * MIB < measured[0].total <= 320 * MIB
    node.NodeUnpublishVolume(pb.NodeUnpublishVolumeRequest(volume_id=volume, target_path=target))
    node.NodeUnstageVolume(pb.NodeUnstageVolumeRequest(volume_id=volume, staging_target_path=staging))
    assert machine.mounted_here() == []
    assert not Path(target).exists()


def test_a_disk_smaller_than_the_controller_said_is_refused(machine: Machine, node: NodeStub) -> None:
    volume = machine.attach()
    request = pb.NodeStageVolumeRequest(
        volume_id=volume,
        staging_target_path=str(machine.staging(volume)),
        volume_capability=MOUNT,
        publish_context={"sizeBytes": str(1024 * MIB)},
    )
    with pytest.raises(grpc.RpcError) as refusal:
        node.NodeStageVolume(request)
    assert refusal.value.code() is grpc.StatusCode.FAILED_PRECONDITION
