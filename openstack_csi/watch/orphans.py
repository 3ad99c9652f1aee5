"""Cloud objects with our stamp that nothing refers to: found by one list, proven by the API server, told or removed.

The list is taken after leadership was gained, and then every few minutes. Who refers to an object is decided from the
caches (`find`, pure); before one is removed, `Confirm`ation is asked of the API server itself: no claim of that UID, no
PV of that name or volume. An object is removed only if all hold:

- the policy says so: never, always, or (the default) for what was never attached since it was made. That is what a
  crash leaves behind; a volume that was used may be one whose PV an older backup of etcd does not know
- the object was an orphan for the whole grace time, seen by this process
- its stamp names its claim, so that the API server can be asked for it
- it is not attached, and nobody in this process is making or removing it

Two objects of one name come from an old leader that was paused in the middle: the one that a PV refers to stays, else
the oldest; the other counts as an orphan.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass

from openstack_csi.errors import DriverError
from openstack_csi.kube.rest import NotFound
from openstack_csi.model import Orphan
from openstack_csi.watch import names
from openstack_csi.watch.caches import Caches
from openstack_csi.watch.config import OrphanPolicy, WatchConfig
from openstack_csi.watch.fence import Api, NotLeading, Volumes
from openstack_csi.watch.leftovers import Leftovers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Suspect:
    """An object that nothing in the caches refers to. `double` where another of its name stays."""

    orphan: Orphan
    double: bool = False


def find(objects: Iterable[Orphan], handles: Set[str], claim_uids: Set[str], config: WatchConfig) -> list[Suspect]:
    """The objects that nothing refers to.

    Args:
        objects: everything with our stamp.
        handles: the volume handles of all PVs of the driver.
        claim_uids: the UIDs of all claims.
        config: how a name gives its claim's UID.
    """
    by_name: defaultdict[str, list[Orphan]] = defaultdict(list)
    for each in objects:
        by_name[each.name].append(each)
    suspects = []
    for name, same in by_name.items():
        same.sort(key=lambda each: (each.volume_id not in handles, each.created_at, each.volume_id))
        first, *others = same
        suspects += [Suspect(each, double=True) for each in others if each.volume_id not in handles]
        if first.volume_id not in handles and config.claim_uid(name) not in claim_uids:
            suspects.append(Suspect(first))
    return suspects


class Orphans:
    """See the module.

    Args:
        caches: what is known of the cluster; must be synced.
        api: for claims and PVs.
        service: lists the objects.
        leftovers: removes them.
        config: policy and times.
        is_at: whether a volume of that name is being made now.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        caches: Caches,
        api: Api,
        service: Volumes,
        leftovers: Leftovers,
        config: WatchConfig,
        is_at: Callable[[str], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._caches = caches
        self._api = api
        self._service = service
        self._leftovers = leftovers
        self._config = config
        self._is_at = is_at
        self._clock = clock
        self._seen: dict[str, float] = {}  # volume id → since when it is an orphan
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def count(self) -> int:
        """Orphans at the last look."""
        return len(self._seen)

    def start(self) -> None:
        """Look now, and then every few minutes."""
        self._thread = threading.Thread(target=self._run, name="orphans", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.sweep()
            except NotLeading:
                return
            except DriverError as error:
                log.warning("could not look for orphans", extra={"error": str(error)})
            except Exception:
                log.exception("could not look for orphans")
            interval = self._config.orphan_interval
            self._stopping.wait(min(interval, max(1.0, self._config.orphan_grace)) if self._seen else interval)

    def sweep(self) -> None:
        """Look once.

        Raises:
            DriverError: the cloud or the API server could not be asked.
            NotLeading: the fence is closed.
        """
        objects = self._service.orphans()  # before the caches are read: a claim made meanwhile then has no object here
        pvs = [each for each in self._caches.volumes.values() if each.driver == self._config.driver]
        claims = {each.uid for each in self._caches.claims.values()}
        suspects = find(objects, {each.handle for each in pvs}, claims, self._config)
        orphans = [each for each in suspects if not self._is_busy(each.orphan.name) and self._is_proven(each)]
        now = self._clock()
        self._seen = {each.orphan.volume_id: self._seen.get(each.orphan.volume_id, now) for each in orphans}
        for each in orphans:
            self._treat(each, now - self._seen[each.orphan.volume_id])

    def _is_busy(self, name: str) -> bool:
        return self._is_at(name) or self._leftovers.is_at(name)

    def _is_proven(self, suspect: Suspect) -> bool:
        """The API server itself knows nothing that refers to it, as far as it can be asked."""
        orphan = suspect.orphan
        return not self._has_pv(orphan) and (suspect.double or not self._has_claim(orphan))

    def _has_claim(self, orphan: Orphan) -> bool:
        stamp = orphan.stamp
        if not stamp.claim_name or not stamp.claim_namespace:
            return False
        try:
            claim = self._api.get(names.claim_path(stamp.claim_namespace, stamp.claim_name))
        except NotFound:
            return False
        return bool(claim["metadata"]["uid"] == self._config.claim_uid(orphan.name))

    def _has_pv(self, orphan: Orphan) -> bool:
        try:
            pv = self._api.get(names.volume_path(orphan.name))
        except NotFound:
            return False
        handle = ((pv.get("spec") or {}).get("csi") or {}).get("volumeHandle", "")
        return handle in ("", orphan.volume_id)

    def _treat(self, suspect: Suspect, age: float) -> None:
        orphan = suspect.orphan
        told = {
            "volume": orphan.volume_id,
            "volume_name": orphan.name,
            "status": orphan.status,
            "claim": f"{orphan.stamp.claim_namespace}/{orphan.stamp.claim_name}",
            "double": suspect.double,
        }
        if self._may_go(suspect) and age >= self._config.orphan_grace:
            log.warning("removing an orphan", extra=told)
            self._leftovers.remove(orphan.name, orphan.volume_id)
        else:
            log.warning("orphan: no claim and no PV refers to this volume", extra=told)

    def _may_go(self, suspect: Suspect) -> bool:
        orphan = suspect.orphan
        named = bool(orphan.stamp.claim_name and self._config.claim_uid(orphan.name))
        usable = orphan.status == "available" or not suspect.double
        policy = self._config.orphan_policy
        allowed = policy is OrphanPolicy.DELETE or (policy is OrphanPolicy.UNUSED and orphan.unused)
        return allowed and named and usable and not orphan.attached
