"""All watchers of one driver, as one thing that is started when leadership is gained and stopped when it is lost.

    informers ─▶ handlers ─▶ queues ─▶ workers ─▶ service and API server, behind the fence
                                ▲                     │
                                └──── wake (board) ───┘

Nothing is decided before every informer has its first list: what is not in a cache would count as not there.
A `Watchers` is used for one term of leadership; the next term makes a new one, with nothing remembered.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping

from openstack_csi.kube.informer import Informer
from openstack_csi.kube.rest import Rest
from openstack_csi.kube.workqueue import Workers, WorkQueue, run_workers
from openstack_csi.service import VolumeService
from openstack_csi.watch.attacher import Attacher
from openstack_csi.watch.caches import follow
from openstack_csi.watch.config import WatchConfig
from openstack_csi.watch.events import Recorder
from openstack_csi.watch.fence import Api, Fence, Volumes, until_fenced
from openstack_csi.watch.leftovers import Leftovers
from openstack_csi.watch.observers import NOBODY, Observers
from openstack_csi.watch.orphans import Orphans
from openstack_csi.watch.provisioner import Provisioner
from openstack_csi.watch.reclaimer import Reclaimer

log = logging.getLogger(__name__)

SYNC_LOOK_SECONDS = 0.5
LEFTOVER_WORKERS = 4
RELEASE_WORKERS = 2
STOP_SECONDS = 1.0


class Watchers:
    """See the module.

    Args:
        rest: the API server.
        service: the domain service of the driver.
        config: the knobs.
        leading: whether this process holds the lease now; asked right before each write.
        clock: monotonic seconds.
        observers: are told of each end.
    """

    def __init__(
        self,
        rest: Rest,
        service: VolumeService,
        config: WatchConfig,
        *,
        leading: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
        observers: Observers = NOBODY,
    ) -> None:
        self._config = config
        self._clock = clock
        self._fence = Fence(leading)
        self._stopping = threading.Event()
        self._workers: list[Workers] = []
        self._thread = threading.Thread(target=self._begin, name="watchers", daemon=True)
        self._queues: dict[str, WorkQueue] = {}
        self._loops: list[tuple[WorkQueue, Callable[[str], None], int]] = []
        self._caches, self._informers = follow(rest, config.driver)
        api = Api(rest, self._fence)
        volumes = Volumes(service, self._fence, observers.within)
        self._recorder = Recorder(api, config.driver, clock=clock)
        self._orphans: Orphans | None = None
        if config.provisioner:
            self._orphans = self._provide(api, volumes, observers)
        if config.attacher:
            self._attach(api, volumes, observers)

    @property
    def queues(self) -> Mapping[str, WorkQueue]:
        """The work queues by name, for metrics."""
        return self._queues

    @property
    def informers(self) -> list[Informer[object]]:
        """The informers, for metrics and health."""
        return list(self._informers)

    @property
    def orphans(self) -> int:
        """Orphans at the last look."""
        return self._orphans.count if self._orphans else 0

    @property
    def events_dropped(self) -> int:
        """Events that were never written."""
        return self._recorder.dropped

    @property
    def synced(self) -> bool:
        """Whether every informer has had its first list."""
        return all(each.synced for each in self._informers)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End: no write is begun after this returns. Workers in a slow call are not waited for longer than a moment;
        what they do next is stopped by the fence."""
        self._fence.close()
        self._stopping.set()
        for queue in self._queues.values():
            queue.close(timeout=0)
        self._thread.join(STOP_SECONDS)
        end = self._clock() + STOP_SECONDS
        for each in self._workers:
            each.stop(max(0.0, end - self._clock()))
        if self._orphans:
            self._orphans.stop()
        self._recorder.stop()
        for informer in self._informers:
            informer.stop()
        log.info("watchers stopped")

    def _begin(self) -> None:
        began = self._clock()
        for informer in self._informers:
            informer.start()
        for informer in self._informers:
            while not informer.wait_synced(SYNC_LOOK_SECONDS):
                if self._stopping.is_set():
                    return
        self._recorder.start()
        self._workers = [
            run_workers(queue, until_fenced(reconcile), n, queue.name) for queue, reconcile, n in self._loops
        ]
        if self._orphans:
            self._orphans.start()
        log.info("watchers started", extra={"seconds": round(self._clock() - began, 3)})

    def _provide(self, api: Api, volumes: Volumes, observers: Observers) -> Orphans:
        config, clock = self._config, self._clock
        left = self._queue("leftovers")
        leftovers = Leftovers(self._caches, api, volumes, left, config.driver)
        claims, released = self._queue("claims"), self._queue("volumes")
        identity = f"{int(time.time() * 1000)}-{secrets.randbelow(10_000)}-{config.driver}"
        provisioner = Provisioner(
            self._caches, api, volumes, self._recorder, leftovers, claims, config,
            identity=identity, clock=clock, observers=observers,
        )  # fmt: skip
        reclaimer = Reclaimer(
            self._caches, api, volumes, self._recorder, released, config, clock=clock, observers=observers
        )
        self._loops += [
            (claims, provisioner.reconcile, config.provision_workers),
            (released, reclaimer.reconcile, config.provision_workers),
            (left, leftovers.reconcile, LEFTOVER_WORKERS),
        ]
        return Orphans(self._caches, api, volumes, leftovers, config, provisioner.is_at, clock=clock)

    def _attach(self, api: Api, volumes: Volumes, observers: Observers) -> None:
        config = self._config
        attach, detach, release = self._queue("attach"), self._queue("detach"), self._queue("release")
        attacher = Attacher(
            self._caches, api, volumes, attach, detach, release, config, clock=self._clock, observers=observers
        )
        self._loops += [
            (attach, attacher.attach, config.attach_workers),
            (detach, attacher.detach, config.attach_workers),
            (release, attacher.release, RELEASE_WORKERS),
        ]

    def _queue(self, name: str) -> WorkQueue:
        config = self._config
        queue = WorkQueue(name, clock=self._clock, start=config.retry_start, maximum=config.retry_maximum)
        self._queues[name] = queue
        return queue
