"""The watchers, for as long as this process leads.

Each term of leadership has its own `Watchers`, which know nothing of the term before; a process that does not lead
holds no caches. While a term lasts the backend knows that nobody else makes volumes, which saves it a list per claim.
"""

from __future__ import annotations

import re
import socket
import uuid
from collections.abc import Callable

from openstack_csi.config import ControllerConfig
from openstack_csi.kube.informer import SILENCE_SECONDS
from openstack_csi.kube.leader import LeaderElection
from openstack_csi.kube.rest import Rest
from openstack_csi.ops.metrics import Metrics
from openstack_csi.roles.process import Stop
from openstack_csi.watch.config import OrphanPolicy, WatchConfig
from openstack_csi.watch.run import Watchers

NewWatchers = Callable[[Callable[[], bool]], Watchers]
"""Makes the watchers of one term; they ask the function before each write whether they still lead."""


class Terms:
    """The terms of leadership, one after the other.

    Args:
        new: see `NewWatchers`.
        lead: told True when a term begins and False when it ends.
        metrics: shows what the watchers of the term are at.
    """

    def __init__(self, new: NewWatchers, lead: Callable[[bool], None], metrics: Metrics) -> None:
        self._new = new
        self._lead = lead
        self._metrics = metrics
        self._watchers: Watchers | None = None

    def begin(self, leading: Callable[[], bool]) -> None:
        """Begin a term; returns at once."""
        self._lead(True)
        self._watchers = self._new(leading)
        self._show(self._watchers)
        self._watchers.start()

    def end(self) -> None:
        """End the term; no write is begun after this returns."""
        watchers, self._watchers = self._watchers, None
        if watchers is not None:
            watchers.stop()
            self._lead(False)

    def reason(self) -> str:
        """Why the watchers cannot work; empty when they can, or when another process leads."""
        watchers = self._watchers
        if watchers is None:
            return ""
        listing = [each.name for each in watchers.informers if not each.synced]
        if listing:
            return f"not listed yet: {', '.join(listing)}"
        silent = [each.name for each in watchers.informers if each.lag() > 2 * SILENCE_SECONDS]
        return f"the API server has long been silent about: {', '.join(silent)}" if silent else ""

    def _show(self, watchers: Watchers) -> None:
        for name in watchers.queues:
            self._show_queue(name)
        for number, informer in enumerate(watchers.informers):
            self._show_informer(number, informer.name)
        self._metrics.watch_orphans(self._now(lambda now: now.orphans))
        self._metrics.watch_dropped_events(self._now(lambda now: now.events_dropped))

    def _show_queue(self, name: str) -> None:
        depth, oldest = (
            self._now(lambda now: now.queues[name].depth),
            self._now(lambda now: now.queues[name].oldest_age),
        )
        self._metrics.watch_queue(name, depth, oldest)

    def _show_informer(self, number: int, name: str) -> None:
        self._metrics.watch_informer(name, self._now(lambda now: now.informers[number].lag()))

    def _now(self, read: Callable[[Watchers], float]) -> Callable[[], float]:
        """A state of the present term, 0 between terms. Holds on to no term, for that would keep its caches."""
        return lambda: read(self._watchers) if self._watchers else 0.0


def start(config: ControllerConfig, rest: Rest, terms: Terms, metrics: Metrics, stop: Stop) -> None:
    """Compete for leadership, with a term of the watchers while it lasts; one term for ever without an election."""
    if not config.leader_election:
        terms.begin(lambda: True)
        stop.then("watchers", terms.end)
        return
    name = lease_name(config.driver_name)
    election = LeaderElection(
        rest,
        config.leader_election_namespace,
        name,
        f"{socket.gethostname()}_{uuid.uuid4()}",
        lease=config.leader_election_lease_duration,
        renew=config.leader_election_renew_deadline,
        retry=config.leader_election_retry_period,
        on_started=lambda: terms.begin(lambda: election.is_leader),
        on_stopped=terms.end,
    )
    metrics.watch_leader(name, lambda: election.is_leader)
    election.start()
    stop.then("leader election", election.stop)


def lease_name(driver_name: str) -> str:
    """The Lease of a driver's watchers: `cinder.csi.openstack.org` → `cinder-csi-openstack-org`."""
    return re.sub("[^a-z0-9]", "-", driver_name.lower())


def watch_config(config: ControllerConfig, cluster_id: str) -> WatchConfig:
    """The watchers' knobs as the flags set them."""
    return WatchConfig(
        driver=config.driver_name,
        cluster=cluster_id,
        provisioner="provisioner" in config.watchers,
        attacher="attacher" in config.watchers,
        provision_workers=config.workers,
        attach_workers=config.workers,
        default_fs_type=config.default_fstype,
        retry_start=config.retry_interval_start,
        retry_maximum=config.retry_interval_max,
        orphan_grace=config.orphan_grace,
        orphan_policy=OrphanPolicy(config.orphan_policy),
    )
