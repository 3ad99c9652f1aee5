"""The controller: CSI Identity and Controller on a socket, and on the leader the built-in watchers.

What is needed before anything can be served is waited for, not died for: the cluster's id here, the cloud in
`roles.cloud`. The process stays up and says what is missing, once, in its log and on /readyz, and goes on by itself as
soon as it is there. Leadership only decides who runs the watchers; a replica that does not lead is ready too.
"""

from __future__ import annotations

import functools
import logging

from openstack_csi import __version__
from openstack_csi.backends.cinder import CinderBackend
from openstack_csi.cloud.connection import Cloud, Clouds
from openstack_csi.config import ZONE_KEY, ControllerConfig
from openstack_csi.csi.controller import Controller
from openstack_csi.csi.identity import Identity
from openstack_csi.csi.interceptor import Interceptor
from openstack_csi.csi.server import Server
from openstack_csi.errors import InvalidArgument
from openstack_csi.kube.rest import Rest
from openstack_csi.ops.health import Health, Progress
from openstack_csi.ops.metrics import API_REQUESTS, CONTROLLER_RPCS, Metrics, working_for
from openstack_csi.roles import process, watching
from openstack_csi.roles.cloud import CloudKeeper
from openstack_csi.roles.process import DRAIN_SECONDS, Stop
from openstack_csi.service import VolumeService
from openstack_csi.watch.observers import Observers
from openstack_csi.watch.run import Watchers

log = logging.getLogger(__name__)


def run(config: ControllerConfig) -> int:
    """Run the role until the process is asked to end."""
    return process.run(config.log_format, config.log_level, functools.partial(start, config))


def start(config: ControllerConfig, stop: Stop) -> None:
    """Start the role's parts.

    Raises:
        DriverError: there is no way to the Kubernetes API, or a socket cannot be had.
        OSError: an address cannot be had.
        Stopped: the end was asked for meanwhile.
    """
    metrics, health = Metrics(config.driver_name), Health()
    metrics.start_at_zero(CONTROLLER_RPCS, API_REQUESTS)
    process.serve_http(config.http_endpoint, health, metrics)

    cloud = Clouds(config.clouds_file, config.cloud, observe=metrics.api_call).get()
    keeper = CloudKeeper(cloud, stop)
    health.add("cloud", keeper)
    keeper.start()

    cluster_id = config.cluster_id or _cluster_id(_kubernetes(config, metrics), health, stop)
    log.info("this cluster", extra={"cluster": cluster_id})
    cinder = make_cinder(cloud, cluster_id, metrics)
    service = VolumeService(cinder)
    _serve(config, Controller(service, cluster_id), Interceptor(metrics.rpc, working_for), health, stop)
    if config.watchers:
        _watch(config, cluster_id, cinder, service, metrics, health, stop)


def _watch(
    config: ControllerConfig,
    cluster_id: str,
    cinder: CinderBackend,
    service: VolumeService,
    metrics: Metrics,
    health: Health,
    stop: Stop,
) -> None:
    rest = _kubernetes(config, metrics)
    settings = watching.watch_config(config, cluster_id)
    observers = Observers(metrics.provisioned, metrics.deleted, metrics.rpc, working_for)
    terms = watching.Terms(
        lambda leading: Watchers(rest, service, settings, leading=leading, observers=observers),
        # Without the provisioner, claims are another process's to answer, however well we lead.
        cinder.lead if settings.provisioner else lambda leading: None,
        metrics,
    )
    health.add("informers", terms.reason)
    watching.start(config, rest, terms, metrics, stop)


def make_cinder(cloud: Cloud, cluster_id: str, metrics: Metrics) -> CinderBackend:
    """The backend of the Cinder driver; makes no call yet."""
    return CinderBackend(cloud, cluster_id=cluster_id, topology_key=ZONE_KEY, observe_tick=metrics.board_tick)


def _kubernetes(config: ControllerConfig, metrics: Metrics) -> Rest:
    try:
        return Rest.connect(config.kubeconfig or None, observer=metrics.kube_call)
    except InvalidArgument as fault:
        if config.watchers:
            raise
        raise InvalidArgument(fault.message, hint=f"{fault.hint} Or do without, by --cluster-id.") from fault


def _cluster_id(rest: Rest, health: Health, stop: Stop) -> str:
    """The UID of the namespace kube-system, asked for until the API server answers."""
    progress = Progress("asking Kubernetes for the cluster's id")
    health.add("cluster-id", progress)
    namespace = process.until(lambda: rest.get("/api/v1/namespaces/kube-system"), progress, stop)
    return str(namespace["metadata"]["uid"])


def _serve(
    config: ControllerConfig, controller: Controller, interceptor: Interceptor, health: Health, stop: Stop
) -> None:
    def readiness() -> tuple[bool, str]:
        why = health.reason()
        return not why, why

    identity = Identity(config.driver_name, __version__, readiness)
    server = Server(f"unix://{config.endpoint}", identity, controller, interceptors=[interceptor])
    server.start()
    stop.then("csi", functools.partial(server.stop, DRAIN_SECONDS))
    log.info("serving CSI", extra={"socket": str(config.endpoint)})
