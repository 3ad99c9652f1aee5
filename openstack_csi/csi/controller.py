"""CSI Controller, for the stock sidecars and csi-sanity: each call becomes a step of the service, and waits for it.

The rules are all in `service` and below, where the built-in watchers find them too. Here a request is checked and
translated, the step is taken until it is done or the caller's time is nearly up, and the result is translated back.
What is not written here is not offered: the interceptor answers UNIMPLEMENTED.
"""

# ruff: noqa: N802 - the methods bear the names of the RPCs

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import grpc

from openstack_csi.backends.base import Wake
from openstack_csi.csi import translate
from openstack_csi.csi.call import call_of
from openstack_csi.csi.pb import csi_pb2 as pb
from openstack_csi.csi.pb.csi_pb2_grpc import ControllerServicer
from openstack_csi.errors import Aborted, InvalidArgument
from openstack_csi.model import Pending, VolumeStatus
from openstack_csi.service import VolumeService

T = TypeVar("T")

_RPC = pb.ControllerServiceCapability.RPC

OFFERS = (
    _RPC.CREATE_DELETE_VOLUME,
    _RPC.PUBLISH_UNPUBLISH_VOLUME,
    _RPC.LIST_VOLUMES,
    _RPC.LIST_VOLUMES_PUBLISHED_NODES,
    _RPC.GET_VOLUME,
    _RPC.VOLUME_CONDITION,
)

_AFTER = "after:"
"""Starts a token of ListVolumes; the id of the last volume told follows. Volumes that come or go between two pages
then neither shift the rest nor make the token stale."""


class Controller(ControllerServicer):
    """The Controller service of one driver.

    Args:
        service: the domain service of its backend.
        cluster: id of this cluster, for the stamp of new volumes.
        clock: the clock of the service's deadlines.
    """

    def __init__(self, service: VolumeService, cluster: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._cluster = cluster
        self._clock = clock

    def CreateVolume(self, request: pb.CreateVolumeRequest, context: grpc.ServicerContext) -> pb.CreateVolumeResponse:
        """The volume of that name, once it can be used."""
        wanted = translate.create_volume(request, self._cluster)
        self._service.check(wanted)
        volume = self._wait(context, lambda wake: self._service.create(wanted, wake))
        return pb.CreateVolumeResponse(volume=translate.volume_message(volume))

    def DeleteVolume(self, request: pb.DeleteVolumeRequest, context: grpc.ServicerContext) -> pb.DeleteVolumeResponse:
        """Answers once the cloud no longer has the volume."""
        translate.require(request, "volume_id")
        translate.cloud_of(request.secrets)
        self._wait(context, lambda wake: self._service.delete(request.volume_id, wake))
        return pb.DeleteVolumeResponse()

    def ControllerPublishVolume(
        self, request: pb.ControllerPublishVolumeRequest, context: grpc.ServicerContext
    ) -> pb.ControllerPublishVolumeResponse:
        """Answers once the node can see the volume."""
        translate.require(request, "volume_id", "node_id", "volume_capability")
        translate.cloud_of(request.secrets)
        wanted = translate.capability(request.volume_capability)
        attachment = self._wait(
            context,
            lambda wake: self._service.publish(request.volume_id, request.node_id, wanted, request.readonly, wake),
        )
        return pb.ControllerPublishVolumeResponse(publish_context=attachment.context)

    def ControllerUnpublishVolume(
        self, request: pb.ControllerUnpublishVolumeRequest, context: grpc.ServicerContext
    ) -> pb.ControllerUnpublishVolumeResponse:
        """Answers once the node no longer has the volume; without a node, once none has."""
        translate.require(request, "volume_id")
        translate.cloud_of(request.secrets)
        self._wait(context, lambda wake: self._service.unpublish(request.volume_id, request.node_id, wake))
        return pb.ControllerUnpublishVolumeResponse()

    def ValidateVolumeCapabilities(
        self, request: pb.ValidateVolumeCapabilitiesRequest, context: grpc.ServicerContext
    ) -> pb.ValidateVolumeCapabilitiesResponse:
        """Confirms the capabilities, all or none; says nothing of contexts and parameters, which are not checked."""
        translate.require(request, "volume_id", "volume_capabilities")
        translate.cloud_of(request.secrets)
        wanted = translate.capabilities(request.volume_capabilities)
        why_not = self._service.validate(request.volume_id, wanted)
        if why_not:
            return pb.ValidateVolumeCapabilitiesResponse(message=why_not)
        confirmed = pb.ValidateVolumeCapabilitiesResponse.Confirmed(volume_capabilities=request.volume_capabilities)
        return pb.ValidateVolumeCapabilitiesResponse(confirmed=confirmed)

    def ListVolumes(self, request: pb.ListVolumesRequest, context: grpc.ServicerContext) -> pb.ListVolumesResponse:
        """This cluster's volumes with the nodes that have them, by id, in pages when the caller wants so."""
        found, next_token = page(self._service.list(), request.max_entries, request.starting_token)
        return pb.ListVolumesResponse(entries=map(translate.entry_message, found), next_token=next_token)

    def ControllerGetVolume(
        self, request: pb.ControllerGetVolumeRequest, context: grpc.ServicerContext
    ) -> pb.ControllerGetVolumeResponse:
        """One volume as it is now."""
        translate.require(request, "volume_id")
        return translate.status_message(self._service.get(request.volume_id))

    def ControllerGetCapabilities(
        self, request: pb.ControllerGetCapabilitiesRequest, context: grpc.ServicerContext
    ) -> pb.ControllerGetCapabilitiesResponse:
        """Which of the calls are offered."""
        return pb.ControllerGetCapabilitiesResponse(
            capabilities=[pb.ControllerServiceCapability(rpc=_RPC(type=kind)) for kind in OFFERS]
        )

    def _wait(self, context: grpc.ServicerContext, step: Callable[[Wake], T | Pending]) -> T:
        call = call_of(context, self._clock)
        return self._service.wait(call.heard(step), call.deadline)


def page(volumes: Sequence[VolumeStatus], max_entries: int, token: str) -> tuple[Sequence[VolumeStatus], str]:
    """A page of the volumes and the token of the next, empty when there is none.

    Args:
        volumes: all of them, in any order.
        max_entries: the longest page; 0 is all.
        token: where to start: of an earlier page, or empty.

    Raises:
        InvalidArgument: a negative length.
        Aborted: a token that is not ours; CSI has the caller start over then.
    """
    if max_entries < 0:
        raise InvalidArgument(f"max_entries is negative: {max_entries}")
    if token and not token.startswith(_AFTER):
        raise Aborted(f'starting_token "{token}" is not known', hint="List again without a token.")
    last = token.removeprefix(_AFTER)
    rest = sorted((one for one in volumes if one.volume.id > last), key=lambda one: one.volume.id)
    found = rest[:max_entries] if max_entries else rest
    return found, f"{_AFTER}{found[-1].volume.id}" if len(found) < len(rest) else ""
