"""Every metric of the project, in one file; names that dashboards of the Go drivers and sidecars know stay theirs.

The layers do not import this module: a role makes one `Metrics` and hands its methods on as observers. What is a state
(queue depth, informer lag, leader) is read when Prometheus asks, from functions that were registered with `watch_…`.
Series whose labels are known beforehand exist from the start with 0, so that a rate is right from its first event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from openstack_csi import __version__
from openstack_csi.errors import Code

RPC_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600)
"""Buckets of csi_sidecar_operations_seconds, those of the sidecars."""

API_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

API_REQUESTS = ("volume_create", "volume_delete", "volume_get", "volume_list", "volume_attach", "volume_detach")

CONTROLLER_RPCS = tuple(
    f"/csi.v1.Controller/{name}"
    for name in ("CreateVolume", "DeleteVolume", "ControllerPublishVolume", "ControllerUnpublishVolume")
)
NODE_RPCS = tuple(
    f"/csi.v1.Node/{name}"
    for name in ("NodeStageVolume", "NodeUnstageVolume", "NodePublishVolume", "NodeUnpublishVolume")
)

_RPC: ContextVar[str] = ContextVar("rpc", default="")
_CODE_NAMES = {code: "".join(word.capitalize() for word in code.name.split("_")) for code in Code} | {
    Code.OK: "OK",
    Code.CANCELLED: "Canceled",
}


@contextmanager
def working_for(rpc: str) -> Iterator[None]:
    """Count the cloud calls made inside, by this thread, for `rpc` (such as "CreateVolume" or "board")."""
    token = _RPC.set(rpc)
    try:
        yield
    finally:
        _RPC.reset(token)


class Metrics:
    """The metrics of one process."""

    def __init__(self, driver_name: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library does not type it
        self._driver_name = driver_name
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._states = _States()
        self._registry.register(self._states)
        self._states.add("openstack_csi_build_info", "Version that runs.", {"version": __version__}, lambda: 1.0)

        self._rpcs = Histogram(
            "csi_sidecar_operations_seconds",
            "Seconds of CSI operations, by gRPC status; the built-in watchers' are counted as the RPC they stand for.",
            ("driver_name", "method_name", "grpc_status_code"),
            buckets=RPC_SECONDS,
            registry=self._registry,
        )
        self._api_seconds = Histogram(
            "openstack_api_request_duration_seconds",
            "Seconds of OpenStack API calls.",
            ("request",),
            buckets=API_SECONDS,
            registry=self._registry,
        )
        self._api_calls = Counter(
            "openstack_api_requests",
            "OpenStack API calls, by HTTP status (0: no answer) and the operation that they were made for.",
            ("request", "status", "rpc"),
            registry=self._registry,
        )
        self._api_errors = Counter(
            "openstack_api_request_errors",
            "OpenStack API calls that were refused or not answered.",
            ("request", "status", "rpc"),
            registry=self._registry,
        )
        self._ticks = Counter(
            "openstack_csi_board_ticks",
            "Looks at the cloud for all waiters at once.",
            ("kind",),
            registry=self._registry,
        )
        self._kube_calls = Counter(
            "openstack_csi_kubernetes_requests",
            "Kubernetes API calls, by HTTP status (0: no answer).",
            ("verb", "resource", "status"),
            registry=self._registry,
        )
        self._tools = Histogram(
            "openstack_csi_tool_duration_seconds",
            "Seconds of the programs that a node runs: mount, mkfs, fsck.",
            ("tool", "outcome"),
            buckets=API_SECONDS,
            registry=self._registry,
        )
        self._provisioned = _Outcomes(
            "controller_persistentvolumeclaim_provision", "claims provisioned", ("class", "source"), self._registry
        )
        self._deleted = _Outcomes(
            "controller_persistentvolume_delete", "persistent volumes deleted", ("class",), self._registry
        )

    # Observers

    def rpc(self, method: str, code: Code, seconds: float) -> None:
        """A CSI operation ended. `method` is the full name of the RPC, such as /csi.v1.Controller/CreateVolume."""
        self._rpcs.labels(self._driver_name, method, _CODE_NAMES[code]).observe(seconds)

    def api_call(self, request: str, status: int, seconds: float) -> None:
        """A call to OpenStack ended with the HTTP status; 0 when there was no answer."""
        labels = (request, str(status), _RPC.get())
        self._api_seconds.labels(request).observe(seconds)
        self._api_calls.labels(*labels).inc()
        if status == 0 or status >= 400:
            self._api_errors.labels(*labels).inc()

    def board_tick(self, kind: str) -> None:
        """The board looked at the cloud: `one`, `changes`, `all`, …"""
        self._ticks.labels(kind).inc()

    def provisioned(self, storage_class: str, seconds: float, *, failed: bool = False) -> None:
        """A claim got its volume, or a try failed. `seconds` since the claim was first seen."""
        self._provisioned.count((storage_class, ""), seconds, failed=failed)

    def deleted(self, storage_class: str, seconds: float, *, failed: bool = False) -> None:
        """A persistent volume is gone, or a try failed. `seconds` since its deletion was first seen."""
        self._deleted.count((storage_class,), seconds, failed=failed)

    def kube_call(self, verb: str, resource: str, status: int, seconds: float) -> None:
        """A call to the Kubernetes API ended with the HTTP status; 0 when there was no answer."""
        self._kube_calls.labels(verb, resource, str(status)).inc()

    def tool(self, tool: str, seconds: float, outcome: str) -> None:
        """A program that the node ran has ended: "ok", "failed", "killed" or "missing"."""
        self._tools.labels(tool, outcome).observe(seconds)

    # States, read at each scrape

    def watch_queue(self, name: str, depth: Callable[[], float], oldest: Callable[[], float]) -> None:
        """Show a work queue: keys waiting, and for how many seconds the oldest has been."""
        self._states.add("workqueue_depth", "Keys that wait in the queue.", {"name": name}, depth)
        self._states.add(
            "openstack_csi_workqueue_oldest_seconds", "How long the oldest key has waited.", {"name": name}, oldest
        )

    def watch_informer(self, name: str, lag: Callable[[], float]) -> None:
        """Show an informer: seconds since the API server was last heard of."""
        self._states.add(
            "openstack_csi_informer_lag_seconds", "Seconds since the last event or bookmark.", {"informer": name}, lag
        )

    def watch_leader(self, lease: str, is_leader: Callable[[], bool]) -> None:
        """Show whether this process leads."""
        self._states.add(
            "leader_election_master_status", "1 on the leader.", {"name": lease}, lambda: float(is_leader())
        )

    def watch_orphans(self, count: Callable[[], float]) -> None:
        """Show how many volumes of this cluster neither a claim nor a PV refers to."""
        self._states.add("openstack_csi_orphans", "Volumes of this cluster that nothing refers to.", {}, count)

    def watch_dropped_events(self, count: Callable[[], float]) -> None:
        """Show how many Kubernetes events could not be written."""
        self._states.add("openstack_csi_events_dropped", "Kubernetes events that were never written.", {}, count)

    # Exposition

    def start_at_zero(self, rpcs: Iterable[str], requests: Iterable[str] = ()) -> None:
        """Let the RPCs and the kinds of cloud calls exist before the first of them."""
        for method in rpcs:
            self._rpcs.labels(self._driver_name, method, "OK")
        for request in requests:
            self._api_seconds.labels(request)

    def page(self) -> tuple[str, bytes]:
        """Content type and body of /metrics."""
        return CONTENT_TYPE_LATEST, generate_latest(self._registry)


class _Outcomes:
    """The three metrics that sig-storage-lib has for an operation: done, failed, seconds."""

    def __init__(self, name: str, what: str, labels: tuple[str, ...], registry: CollectorRegistry) -> None:
        self._done = Counter(name, f"Number of {what}.", labels, registry=registry)
        self._failed = Counter(f"{name}_failed", f"Number of tries that failed: {what}.", labels, registry=registry)
        self._seconds = Histogram(
            f"{name}_duration_seconds", f"Seconds: {what}.", labels, buckets=RPC_SECONDS, registry=registry
        )

    def count(self, labels: tuple[str, ...], seconds: float, *, failed: bool) -> None:
        if failed:
            self._failed.labels(*labels).inc()
            return
        self._done.labels(*labels).inc()
        self._seconds.labels(*labels).observe(seconds)


class _States(Collector):
    """Gauges whose values are asked for at each scrape; a series that is added again replaces the old one."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._series: dict[str, dict[tuple[tuple[str, str], ...], Callable[[], float]]] = {}

    def add(self, name: str, text: str, labels: dict[str, str], value: Callable[[], float]) -> None:
        self._texts[name] = text
        self._series.setdefault(name, {})[tuple(labels.items())] = value

    def collect(self) -> Iterator[Metric]:
        for name, series in tuple(self._series.items()):
            family = GaugeMetricFamily(name, self._texts[name], labels=[key for key, _ in next(iter(series))])
            for labels, value in tuple(series.items()):
                family.add_metric([text for _, text in labels], value())
            yield family
