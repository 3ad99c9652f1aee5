"""The node: CSI Identity and Node on one socket, made known to the kubelet on another. No cloud, no Kubernetes.

Start: learn which Nova server this is, serve CSI, then register, for the kubelet calls NodeGetInfo as soon as it sees
the registration. Stop is the reverse.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

from openstack_csi import __version__
from openstack_csi.config import ZONE_KEY, NodeConfig
from openstack_csi.csi.identity import Identity
from openstack_csi.csi.interceptor import Interceptor
from openstack_csi.csi.node import NodeService
from openstack_csi.csi.registration import Registration, registration_server, socket_path
from openstack_csi.csi.server import Server
from openstack_csi.errors import InvalidArgument
from openstack_csi.host import limits, metadata
from openstack_csi.host.run import Runner
from openstack_csi.host.volumes import Volumes
from openstack_csi.ops.health import Health, Progress
from openstack_csi.ops.metrics import NODE_RPCS, Metrics
from openstack_csi.roles import process
from openstack_csi.roles.process import DRAIN_SECONDS, Stop

log = logging.getLogger(__name__)


def run(config: NodeConfig) -> int:
    """Run the role until the process is asked to end."""
    return process.run(config.log_format, config.log_level, functools.partial(start, config))


def start(config: NodeConfig, stop: Stop) -> None:
    """Start the role's parts.

    Raises:
        DriverError: a flag names something that is not there, or a socket cannot be had.
        OSError: the same, of directories and addresses.
        Stopped: the end was asked for meanwhile.
    """
    if not config.kubelet_dir.is_dir():
        raise InvalidArgument(f"--kubelet-dir: {config.kubelet_dir} is not a directory")
    metrics, health = Metrics(config.driver_name), Health()
    metrics.start_at_zero(NODE_RPCS)
    process.serve_http(config.http_endpoint, health, metrics)

    runner = Runner(observe=metrics.tool)
    server = _know_itself(config, runner, health, stop)
    log.info("this node", extra={"node": server.node_id, "zone": server.zone})
    volumes = Volumes.of(config.kubelet_dir, run=runner)
    segment = {ZONE_KEY: server.zone} if server.zone else {}
    service = NodeService(volumes, server.node_id, segment, _max_volumes(config, volumes))
    interceptor = Interceptor(metrics.rpc)
    # Always ready: the socket is there only once the node can serve, and from then on it needs nothing but its kernel.
    # A node without a zone must not promise one: the kubelet refuses a driver that does.
    identity = Identity(config.driver_name, __version__, lambda: (True, ""), topology=bool(server.zone))
    _serve(config, identity, service, interceptor, stop)
    if config.registration:
        _register(config, interceptor, health, stop)


def _know_itself(config: NodeConfig, runner: Runner, health: Health, stop: Stop) -> metadata.Identity:
    """Which Nova server this is, asked until somebody knows."""
    progress = Progress("looking for this node's Nova server")
    health.add("node-id", progress)
    sources = _sources(config, runner)
    return process.until(
        lambda: metadata.identify(metadata.Identity(config.node_id, config.zone), sources), progress, stop
    )


def _sources(config: NodeConfig, runner: Runner) -> list[tuple[str, metadata.Source]]:
    """Whom to ask, in the configured order; Node.spec.providerID, which knows no zone, comes last."""
    drive = config.config_drive
    known: dict[str, metadata.Source] = {
        "configDrive": (lambda: metadata.from_directory(drive)) if drive else (lambda: metadata.from_disk(runner)),
        "metadataService": metadata.from_service,
    }
    sources = [(name, known[name]) for name in config.metadata_order]
    if config.provider_id:
        sources.append(("providerID", lambda: metadata.from_provider_id(config.provider_id)))
    return sources


def _max_volumes(config: NodeConfig, volumes: Volumes) -> Callable[[], int]:
    """The configured limit, else what the bus has room for now."""
    if config.max_volumes:
        return lambda: config.max_volumes
    return lambda: limits.max_volumes(limits.disks(), limits.csi_disks(volumes.mounts.table(), config.kubelet_dir))


def _serve(config: NodeConfig, identity: Identity, service: NodeService, interceptor: Interceptor, stop: Stop) -> None:
    config.csi_socket.parent.mkdir(parents=True, exist_ok=True)
    server = Server(f"unix://{config.csi_socket}", identity, service, interceptors=[interceptor])
    server.start()
    stop.then("csi", functools.partial(server.stop, DRAIN_SECONDS))
    log.info("serving CSI", extra={"socket": str(config.csi_socket)})


def _register(config: NodeConfig, interceptor: Interceptor, health: Health, stop: Stop) -> None:
    progress = Progress("the kubelet has not asked for the driver yet")
    health.add("registration", progress)

    def told(registered: bool, why: str) -> None:
        if registered:
            progress.done()
        else:
            progress.wait_for(f"the kubelet refuses the driver: {why}")

    socket_path(config.kubelet_dir, config.driver_name).parent.mkdir(exist_ok=True)
    registration = Registration(config.driver_name, config.csi_socket, told)
    server = registration_server(config.kubelet_dir, registration, config.driver_name, [interceptor])
    server.start()
    stop.then("registration", functools.partial(server.stop, 0))
