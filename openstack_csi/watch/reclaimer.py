"""Released PV → nothing: deletes what a claim with the policy Delete leaves behind, and keeps what Retain keeps.

For a PV of ours that is Released with the policy Delete, in this order:

    1. wait until no VolumeAttachment refers to it
    2. DELETE the PV, only if it is still the version that was seen: our finalizer holds it, and from here on the API
       server itself vouches that it was Released, and to be deleted, when we began
    3. service.delete until the cloud says that the volume is gone
    4. take the finalizers off: the PV is gone

A crash between any two is met by the next leader, who sees a PV that is being deleted and goes on with 3.
The finalizer follows the policy while the PV lives, so that a PV which a user deletes first keeps its volume's record
until the claim is gone too (Kubernetes calls it HonorPVReclaimPolicy).
"""

from __future__ import annotations

import enum
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from openstack_csi.errors import Code, DriverError
from openstack_csi.kube.rest import Conflict, NotFound
from openstack_csi.kube.workqueue import WorkQueue
from openstack_csi.watch import names
from openstack_csi.watch.caches import Caches
from openstack_csi.watch.config import WatchConfig
from openstack_csi.watch.events import Recorder
from openstack_csi.watch.fence import Api, Volumes
from openstack_csi.watch.objects import PersistentVolume, VolumeAttachment
from openstack_csi.watch.observers import NOBODY, Observers
from openstack_csi.watch.pauses import Pauses
from openstack_csi.watch.waits import Waits

log = logging.getLogger(__name__)

CHANGED_SECONDS = 1.0  # until the watch has told of the change that a conflict spoke of; its event comes sooner


class _Done(enum.IntEnum):
    """How far we know a PV to be, where the cache may not show it yet."""

    NOTHING = 0
    MARKED = 1
    VOLUME_GONE = 2
    RELEASED = 3


@dataclass(frozen=True)
class Leave:
    """Nothing to do."""


@dataclass(frozen=True)
class AddFinalizer:
    """The volume is to outlive no record of it."""


@dataclass(frozen=True)
class RemoveFinalizer:
    """The volume is the user's to keep."""


@dataclass(frozen=True)
class Reclaim:
    """The volume is to be deleted; `begun` where the PV itself is being deleted already."""

    begun: bool


def decide(pv: PersistentVolume, driver: str) -> Leave | AddFinalizer | RemoveFinalizer | Reclaim:
    """What to do about a PV, with nothing but the PV known."""
    if pv.driver != driver or pv.provisioned_by != driver:
        return Leave()
    held = names.PROVISIONER_FINALIZER in pv.finalizers
    if pv.reclaim_policy != "Delete":
        return RemoveFinalizer() if held else Leave()
    if not held:
        return Leave() if pv.deleting else AddFinalizer()
    if pv.phase != "Released":
        return Leave()
    return Reclaim(begun=pv.deleting)


class Reclaimer:
    """See the module. `reconcile` is for the workers of `queue`, whose keys are names of PVs.

    Args:
        caches: what is known of the cluster.
        api: for the PV.
        service: deletes the volume.
        recorder: for events.
        queue: of PVs, by name.
        config: the knobs.
        clock: monotonic seconds.
        observers: are told of each end.
    """

    def __init__(
        self,
        caches: Caches,
        api: Api,
        service: Volumes,
        recorder: Recorder,
        queue: WorkQueue,
        config: WatchConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        observers: Observers = NOBODY,
    ) -> None:
        self._caches = caches
        self._api = api
        self._service = service
        self._recorder = recorder
        self._queue = queue
        self._config = config
        self._clock = clock
        self._observers = observers
        self._pauses = Pauses(queue, config, clock)
        self._waits = Waits(queue, config, clock)
        self._done: dict[str, _Done] = {}  # by the PV's UID
        caches.volumes.on_change(self._on_volume)
        caches.attachments.on_change(self._on_attachment)

    def _on_volume(self, name: str, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        if new is None and old is not None:
            self._done.pop(old.uid, None)
        if new is None or not isinstance(decide(new, self._config.driver), Leave):
            self._queue.add(name)

    def _on_attachment(self, name: str, old: VolumeAttachment | None, new: VolumeAttachment | None) -> None:
        if old is not None and new is None:
            self._queue.add(old.volume_name)

    def reconcile(self, name: str) -> None:
        """Look at a PV, act, return.

        Raises:
            ApiError: the API server did not take a change; the workers retry it.
            NotLeading: the fence is closed.
        """
        pv = self._caches.volumes.get(name)
        if pv is None:
            self._forget(name)
            return
        match decide(pv, self._config.driver):
            case Leave():
                self._forget(name)
            case AddFinalizer():
                self._api.finalizers(names.volume_path(name), pv.uid, add=[names.PROVISIONER_FINALIZER])
            case RemoveFinalizer():
                self._api.finalizers(names.volume_path(name), pv.uid, remove=[names.PROVISIONER_FINALIZER])
            case Reclaim(begun):
                self._reclaim(pv, begun)

    def _reclaim(self, pv: PersistentVolume, begun: bool) -> None:
        done = self._done.setdefault(pv.uid, _Done.MARKED if begun else _Done.NOTHING)
        if done is _Done.RELEASED or self._pauses.resting(pv.name, pv.uid):
            return
        self._waits.begin(pv.name)
        try:
            if self._is_attached(pv) or not self._is_marked(pv, begun) or not self._is_volume_gone(pv):
                return
        except DriverError as error:
            self._fail(pv, error)
            return
        self._release(pv)

    def _is_attached(self, pv: PersistentVolume) -> bool:
        nodes = sorted(each.node for each in self._caches.attachments_of.get(pv.name))
        if nodes and self._waits.is_time_to_tell(pv.name):
            text = f"persistentvolume {pv.name} is still attached to node {', '.join(nodes)}"
            self._recorder.event(pv.ref, "Warning", "VolumeFailedDelete", text)
        return bool(nodes)

    def _is_marked(self, pv: PersistentVolume, begun: bool) -> bool:
        """Whether the API server took the DELETE of the PV, ours only of just the version that was seen."""
        if begun or self._done[pv.uid] >= _Done.MARKED:
            return True
        try:
            self._api.delete(names.volume_path(pv.name), pv.uid, pv.resource_version)
        except NotFound:
            return False
        except Conflict:
            self._queue.add_after(pv.name, CHANGED_SECONDS)
            return False
        self._done[pv.uid] = _Done.MARKED
        return True

    def _is_volume_gone(self, pv: PersistentVolume) -> bool:
        if self._done[pv.uid] < _Done.VOLUME_GONE:
            pending = self._service.delete(pv.handle, lambda: self._queue.add(pv.name))
            if pending is not None:
                if self._waits.is_time_to_tell(pv.name):
                    log.info("still deleting", extra={"pv": pv.name, "volume": pv.handle, "state": pending.what})
                return False
            self._done[pv.uid] = _Done.VOLUME_GONE
            seconds = self._clock() - self._waits.began(pv.name)
            self._observers.deleted(pv.storage_class, seconds)
            self._observers.ended("DeleteVolume", Code.OK, seconds)
            log.info("deleted", extra={"pv": pv.name, "volume": pv.handle, "seconds": round(seconds, 3)})
        return True

    def _release(self, pv: PersistentVolume) -> None:
        """Let the PV go. The attacher's finalizer goes with ours: nothing is attached."""
        finalizers = [names.PROVISIONER_FINALIZER]
        if self._config.attacher:
            finalizers.append(names.attacher_finalizer(self._config.driver))
        try:
            self._api.finalizers(names.volume_path(pv.name), pv.uid, remove=finalizers)
        except NotFound:
            log.debug("the PV went by itself", extra={"pv": pv.name})
        self._done[pv.uid] = _Done.RELEASED
        self._forget(pv.name)

    def _fail(self, pv: PersistentVolume, error: DriverError) -> None:
        seconds = self._pauses.rest(pv.name, pv.uid, error)
        self._recorder.event(pv.ref, "Warning", "VolumeFailedDelete", str(error))
        self._observers.deleted(pv.storage_class, 0.0, failed=True)
        self._observers.ended("DeleteVolume", error.code, self._clock() - self._waits.began(pv.name))
        log.warning(
            "not deleted",
            extra={"pv": pv.name, "volume": pv.handle, "error": str(error), "next_try_in": round(seconds, 1)},
        )

    def _forget(self, name: str) -> None:
        self._pauses.forget(name)
        self._waits.forget(name)
