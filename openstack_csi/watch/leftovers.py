"""What a claim left behind: volumes that are in the making, or made, when nobody wants them any more.

A creation that has begun is driven to its end, because only then is it known what to delete:

    the cloud is at it ── service.create until it answers ──▶ its id
    nobody knows whether it was begun ── one fresh list ────▶ its id, or nothing: done
    its id ── no PV refers to it, asked of the API server ──▶ service.delete until the cloud says 404

`orphans` brings here what it decided to delete, so that there is one place that deletes volumes without a PV, and one
place that asks the API server right before it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from openstack_csi.errors import DriverError, Retry
from openstack_csi.kube.rest import NotFound
from openstack_csi.kube.workqueue import WorkQueue
from openstack_csi.model import CreateVolume, Pending
from openstack_csi.watch import names
from openstack_csi.watch.caches import Caches
from openstack_csi.watch.fence import Api, Volumes
from openstack_csi.watch.objects import slim_volume

log = logging.getLogger(__name__)


@dataclass
class _Leftover:
    """A volume to be removed; `volume_id` is empty until it is known."""

    name: str
    volume_id: str = ""
    request: CreateVolume | None = None
    in_the_air: bool = False
    confirmed: bool = False


class Leftovers:
    """See the module. `reconcile` is for the workers of `queue`, whose keys are volume names or ids."""

    def __init__(self, caches: Caches, api: Api, service: Volumes, queue: WorkQueue, driver: str) -> None:
        self._caches = caches
        self._api = api
        self._service = service
        self._queue = queue
        self._driver = driver
        self._leftovers: dict[str, _Leftover] = {}

    def take_over(self, request: CreateVolume, volume_id: str, in_the_air: bool) -> None:
        """Remove what was begun for a request; `in_the_air` where the cloud is known to be at it."""
        self._leftovers[request.name] = _Leftover(request.name, volume_id, request, in_the_air)
        self._queue.add(request.name)

    def remove(self, name: str, volume_id: str) -> None:
        """Remove a volume that stands."""
        if volume_id not in self._leftovers:
            self._leftovers[volume_id] = _Leftover(name, volume_id)
        self._queue.add(volume_id)

    def is_at(self, name: str) -> bool:
        """Whether a volume of that name is being removed."""
        return any(each.name == name for each in tuple(self._leftovers.values()))

    def reconcile(self, key: str) -> None:
        """Take the next step for a leftover.

        Raises:
            DriverError: it did not work now, and is to be tried again.
            NotLeading: the fence is closed.
        """
        leftover = self._leftovers.get(key)
        if leftover is None:
            return
        try:
            done = self._step(key, leftover)
        except DriverError as error:
            if error.retry is Retry.SOON:
                raise
            log.warning("left for the orphans", extra={"volume": leftover.volume_id or key, "error": str(error)})
            done = True
        if done:
            self._leftovers.pop(key, None)
            self._queue.forget(key)

    def _step(self, key: str, leftover: _Leftover) -> bool:
        if not leftover.volume_id and not self._is_found(key, leftover):
            return not leftover.in_the_air
        if not leftover.confirmed and self._has_pv(leftover):
            log.info("kept: a PV refers to it", extra={"volume": leftover.volume_id})
            return True
        leftover.confirmed = True
        if self._service.delete(leftover.volume_id, lambda: self._queue.add(key)) is not None:
            return False
        log.info("removed what a claim left behind", extra={"volume": leftover.volume_id, "volume_name": leftover.name})
        return True

    def _is_found(self, key: str, leftover: _Leftover) -> bool:
        """Whether the id is known now; if not, the cloud is at it (`in_the_air`), or there is no such volume."""
        if leftover.in_the_air and leftover.request:
            try:
                made = self._service.create(leftover.request, lambda: self._queue.add(key))
            except DriverError as error:
                if error.retry is Retry.SOON:
                    raise
                leftover.in_the_air = False  # it came to nothing, or left something in error
            else:
                leftover.volume_id = "" if isinstance(made, Pending) else made.id
                return bool(leftover.volume_id)
        found = [each.volume_id for each in self._service.orphans() if each.name == leftover.name and not each.attached]
        leftover.volume_id = found[0] if found else ""
        return bool(found)

    def _has_pv(self, leftover: _Leftover) -> bool:
        if self._caches.volumes_by_handle.get(f"{self._driver}/{leftover.volume_id}"):
            return True
        try:
            pv = slim_volume(self._api.get(names.volume_path(leftover.name)))
        except NotFound:
            return False
        return pv.handle in ("", leftover.volume_id)
