"""CSI Node: requests are checked and translated, `host.volumes` does the rest.

Offered are staging and volume statistics. VOLUME_MOUNT_GROUP is not: ext4 and XFS have no mount option that gives
every file a group, and changing the owner of the files is what the kubelet does by itself (`fsGroupPolicy: File`), with
its own choice of when. A request that names a group all the same is refused, not ignored.

The volume's id is all that is needed of a request; the contexts may be empty, as those of volumes that the Go driver or
the in-tree plugin made. Two calls on one volume never run together: the interceptor refuses the second.
"""

# ruff: noqa: N802 - the methods bear the names of the RPCs

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import grpc

from openstack_csi.csi import translate
from openstack_csi.csi.call import call_of
from openstack_csi.csi.pb import csi_pb2 as pb
from openstack_csi.csi.pb.csi_pb2_grpc import NodeServicer
from openstack_csi.errors import FailedPrecondition, InvalidArgument
from openstack_csi.host.stats import Usage
from openstack_csi.host.volumes import Volumes
from openstack_csi.model import Capability, Segment

SIZE = "sizeBytes"
"""Key of the publish context under which the controller tells the volume's size; the disk must not be smaller."""

_RPC = pb.NodeServiceCapability.RPC
OFFERS = (_RPC.STAGE_UNSTAGE_VOLUME, _RPC.GET_VOLUME_STATS)

_LONGEST_WAIT_FOR_A_DISK = 60.0  # seconds: half of the kubelet's patience, so that the rest of staging has time too


class NodeService(NodeServicer):
    """The Node service of one driver.

    Args:
        volumes: the volumes of this node.
        node_id: UUID of the Nova server.
        segment: where the node is, such as {"topology.cinder.csi.openstack.org/zone": "nova"}; empty when unknown.
        max_volumes: asked at each NodeGetInfo, since it depends on what is plugged in.
        clock: the clock of the volumes' deadlines.
    """

    def __init__(
        self,
        volumes: Volumes,
        node_id: str,
        segment: Segment,
        max_volumes: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._volumes = volumes
        self._node_id = node_id
        self._segment = segment
        self._max_volumes = max_volumes
        self._clock = clock

    def NodeStageVolume(
        self, request: pb.NodeStageVolumeRequest, context: grpc.ServicerContext
    ) -> pb.NodeStageVolumeResponse:
        """The volume is found, checked, and mounted at the staging path unless it is raw block."""
        translate.require(request, "volume_id", "staging_target_path", "volume_capability")
        wanted = _capability(request.volume_capability)
        deadline = min(call_of(context, self._clock).deadline, self._clock() + _LONGEST_WAIT_FOR_A_DISK)
        self._volumes.be_staged(
            request.volume_id, request.staging_target_path, wanted, deadline, _least_bytes(request.publish_context)
        )
        return pb.NodeStageVolumeResponse()

    def NodeUnstageVolume(
        self, request: pb.NodeUnstageVolumeRequest, context: grpc.ServicerContext
    ) -> pb.NodeUnstageVolumeResponse:
        """Nothing is mounted at the staging path."""
        translate.require(request, "volume_id", "staging_target_path")
        self._volumes.be_unstaged(request.staging_target_path)
        return pb.NodeUnstageVolumeResponse()

    def NodePublishVolume(
        self, request: pb.NodePublishVolumeRequest, context: grpc.ServicerContext
    ) -> pb.NodePublishVolumeResponse:
        """The staged volume is at the pod's path."""
        translate.require(request, "volume_id", "target_path", "volume_capability")
        if not request.staging_target_path:
            raise FailedPrecondition("staging_target_path is missing")
        wanted = _capability(request.volume_capability)
        self._volumes.be_published(
            request.volume_id, request.staging_target_path, request.target_path, wanted, request.readonly
        )
        return pb.NodePublishVolumeResponse()

    def NodeUnpublishVolume(
        self, request: pb.NodeUnpublishVolumeRequest, context: grpc.ServicerContext
    ) -> pb.NodeUnpublishVolumeResponse:
        """Nothing is at the pod's path."""
        translate.require(request, "volume_id", "target_path")
        self._volumes.be_unpublished(request.target_path)
        return pb.NodeUnpublishVolumeResponse()

    def NodeGetVolumeStats(
        self, request: pb.NodeGetVolumeStatsRequest, context: grpc.ServicerContext
    ) -> pb.NodeGetVolumeStatsResponse:
        """How full the volume is: bytes, and inodes of a file system."""
        translate.require(request, "volume_id", "volume_path")
        seen = self._volumes.usage(request.volume_path)
        usage = [_usage(seen.bytes, pb.VolumeUsage.BYTES)]
        if seen.inodes is not None:
            usage.append(_usage(seen.inodes, pb.VolumeUsage.INODES))
        return pb.NodeGetVolumeStatsResponse(usage=usage)

    def NodeGetInfo(self, request: pb.NodeGetInfoRequest, context: grpc.ServicerContext) -> pb.NodeGetInfoResponse:
        """Which server this is, where it is, and how many volumes it takes."""
        return pb.NodeGetInfoResponse(
            node_id=self._node_id,
            max_volumes_per_node=self._max_volumes(),
            accessible_topology=translate.topology_message(self._segment) if self._segment else None,
        )

    def NodeGetCapabilities(
        self, request: pb.NodeGetCapabilitiesRequest, context: grpc.ServicerContext
    ) -> pb.NodeGetCapabilitiesResponse:
        """Which of the calls are offered."""
        return pb.NodeGetCapabilitiesResponse(
            capabilities=[pb.NodeServiceCapability(rpc=_RPC(type=kind)) for kind in OFFERS]
        )


def _capability(message: pb.VolumeCapability) -> Capability:
    wanted = translate.capability(message)
    if wanted.mount_group:
        raise InvalidArgument(
            "volume_capability.mount.volume_mount_group is not offered",
            hint="The kubelet applies fsGroup itself: set fsGroupPolicy File in the CSIDriver.",
        )
    return wanted


def _least_bytes(publish_context: Mapping[str, str]) -> int:
    text = publish_context.get(SIZE, "0")
    if not text.isdecimal():
        raise InvalidArgument(f'publish_context["{SIZE}"] is "{text}", which is no number of bytes')
    return int(text)


def _usage(usage: Usage, unit: pb.VolumeUsage.Unit) -> pb.VolumeUsage:
    return pb.VolumeUsage(total=usage.total, used=usage.used, available=usage.available, unit=unit)
