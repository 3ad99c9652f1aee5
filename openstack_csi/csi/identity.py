"""CSI Identity: who we are, what we offer, whether we are well. Served on every CSI socket, by both roles."""

# ruff: noqa: N802 - the methods bear the names of the RPCs

from __future__ import annotations

import logging
from collections.abc import Callable

import grpc
from google.protobuf.wrappers_pb2 import BoolValue

from openstack_csi.csi.pb import csi_pb2 as pb
from openstack_csi.csi.pb.csi_pb2_grpc import IdentityServicer
from openstack_csi.errors import FailedPrecondition

log = logging.getLogger(__name__)

Readiness = Callable[[], tuple[bool, str]]
"""Whether the role can serve, and if not, why; must answer at once, from what is known."""

_Service = pb.PluginCapability.Service


class Identity(IdentityServicer):
    """The Identity service.

    Args:
        name: the driver's name, such as `cinder.csi.openstack.org`.
        version: this program's version.
        readiness: see `Readiness`.
        controller: whether a Controller service belongs to the driver.
        topology: whether its volumes are bound to zones.
    """

    def __init__(
        self, name: str, version: str, readiness: Readiness, *, controller: bool = True, topology: bool = True
    ) -> None:
        self._name = name
        self._version = version
        self._readiness = readiness
        self._offers = [
            kind
            for kind, offered in (
                (_Service.CONTROLLER_SERVICE, controller),
                (_Service.VOLUME_ACCESSIBILITY_CONSTRAINTS, topology),
            )
            if offered
        ]
        self._was_ready = False

    def GetPluginInfo(
        self, request: pb.GetPluginInfoRequest, context: grpc.ServicerContext
    ) -> pb.GetPluginInfoResponse:
        """Name and version."""
        return pb.GetPluginInfoResponse(name=self._name, vendor_version=self._version)

    def GetPluginCapabilities(
        self, request: pb.GetPluginCapabilitiesRequest, context: grpc.ServicerContext
    ) -> pb.GetPluginCapabilitiesResponse:
        """Which services the driver has."""
        return pb.GetPluginCapabilitiesResponse(
            capabilities=[pb.PluginCapability(service=_Service(type=kind)) for kind in self._offers]
        )

    def Probe(self, request: pb.ProbeRequest, context: grpc.ServicerContext) -> pb.ProbeResponse:
        """Ready; not ready yet (a plugin that still starts is well); or FAILED_PRECONDITION once it was and is not."""
        ready, why = self._readiness()
        if not ready and self._was_ready:
            raise FailedPrecondition(why)
        if not ready:
            log.info("not ready yet", extra={"why": why})
        self._was_ready = self._was_ready or ready
        return pb.ProbeResponse(ready=BoolValue(value=ready))
