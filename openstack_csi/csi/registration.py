"""The node plugin makes itself known to the kubelet, so that no registrar sidecar is needed.

The kubelet watches `<kubelet dir>/plugins_registry`. A socket of ours appears there; the kubelet asks it GetInfo, calls
NodeGetInfo on the CSI socket named in the answer, writes the CSINode object, and tells how it went. When our socket
goes away, the kubelet forgets the driver. So this server starts after the CSI server and stops before it.

Source: Kubernetes' kubelet plugin registration API, v1.
"""

# ruff: noqa: N802 - the methods bear the names of the RPCs

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc

from openstack_csi.csi.pb import pluginregistration_pb2 as pb
from openstack_csi.csi.pb.pluginregistration_pb2_grpc import RegistrationServicer
from openstack_csi.csi.server import Server

log = logging.getLogger(__name__)

CSI_VERSIONS = ("1.0.0",)  # the kubelet compares the major version alone

Told = Callable[[bool, str], None]
"""Called when the kubelet has said whether it took the driver, and if not, why."""


class Registration(RegistrationServicer):
    """The registration service of one driver.

    Args:
        driver: its name, the same that Identity answers.
        csi_socket: path of the node's CSI socket, as the kubelet sees it.
        told: see `Told`; for the role's health.
    """

    def __init__(self, driver: str, csi_socket: Path, told: Told = lambda registered, why: None) -> None:
        self._info = pb.PluginInfo(
            type="CSIPlugin", name=driver, endpoint=str(csi_socket), supported_versions=CSI_VERSIONS
        )
        self._told = told

    def GetInfo(self, request: pb.InfoRequest, context: grpc.ServicerContext) -> pb.PluginInfo:
        """Which driver this is, and where its CSI socket is."""
        return self._info

    def NotifyRegistrationStatus(
        self, request: pb.RegistrationStatus, context: grpc.ServicerContext
    ) -> pb.RegistrationStatusResponse:
        """How the registration went."""
        if request.plugin_registered:
            log.info("the kubelet has registered the driver", extra={"driver": self._info.name})
        else:
            log.error(
                "the kubelet refuses the driver: no pod on this node can use its volumes",
                extra={"driver": self._info.name, "error": request.error, "csi_socket": self._info.endpoint},
            )
        self._told(request.plugin_registered, request.error)
        return pb.RegistrationStatusResponse()


def socket_path(kubelet_dir: Path, driver: str) -> Path:
    """Where the kubelet finds the driver's registration socket."""
    return kubelet_dir / "plugins_registry" / f"{driver}-reg.sock"


def registration_server(
    kubelet_dir: Path, registration: Registration, driver: str, interceptors: Sequence[grpc.ServerInterceptor] = ()
) -> Server:
    """The server of the registration socket, not yet started; only root may connect to it."""
    path = socket_path(kubelet_dir, driver)
    return Server(f"unix://{path}", registration, interceptors=interceptors, workers=2, socket_mode=0o600)
