"""VolumeAttachment → volume at the node, and back.

Attaching and detaching have a queue and workers each, so that a wave of one does not hold up the other. A
VolumeAttachment goes to the lane of its wish: attach while it lives, detach once it is being deleted. A worker holds
the VolumeAttachment's name while it works, because the wish can turn while the other lane is still at it, and a
publish after the unpublish would leave a volume attached that nobody knows of.

    attach: finalizer and node id onto the VolumeAttachment ─▶ service.publish ─▶ status.attached
    detach: service.unpublish ─▶ finalizer off, and with it the VolumeAttachment is gone

Our finalizer on the PV keeps the volume's id known as long as a VolumeAttachment may need it; a PV of our provisioner
is born with it. It goes once the PV is being deleted and nothing refers to it any more; where the reclaimer is to have
the last word, it takes this one off together with its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Literal

from openstack_csi import errors
from openstack_csi.errors import Code, DriverError, Retry
from openstack_csi.kube.rest import NotFound
from openstack_csi.kube.workqueue import WorkQueue
from openstack_csi.model import Attachment, Pending
from openstack_csi.watch import names
from openstack_csi.watch.caches import Caches
from openstack_csi.watch.config import WatchConfig
from openstack_csi.watch.decide import volume_capability
from openstack_csi.watch.fence import Api, Volumes
from openstack_csi.watch.objects import CSINode, PersistentVolume, VolumeAttachment
from openstack_csi.watch.observers import NOBODY, Observers
from openstack_csi.watch.pauses import Pauses
from openstack_csi.watch.waits import Waits

log = logging.getLogger(__name__)

BUSY_SECONDS = 0.1
FAILURES_BEFORE_TOLD = 3  # an error in the status makes the attach controller back off, for longer than a hiccup lasts
LONGEST_ERROR = 1024  # the API server refuses a longer VolumeError

Step = Callable[[VolumeAttachment], None]


class Lane:
    """One direction: its queue, and what is known of the keys in it."""

    def __init__(
        self, queue: WorkQueue, error_field: str, rpc: str, config: WatchConfig, clock: Callable[[], float]
    ) -> None:
        self.queue = queue
        self.error_field = error_field
        self.rpc = rpc
        self.pauses = Pauses(queue, config, clock)
        self.waits = Waits(queue, config, clock)

    def forget(self, name: str) -> None:
        """The key reached its end."""
        self.pauses.forget(name)
        self.waits.forget(name)


class Attacher:
    """See the module. `attach`, `detach` and `release` are for the workers of the three queues.

    Args:
        caches: what is known of the cluster.
        api: for VolumeAttachments and PVs.
        service: attaches and detaches.
        attach_queue: of VolumeAttachments by name.
        detach_queue: of VolumeAttachments by name.
        release_queue: of PVs by name.
        config: the knobs.
        clock: monotonic seconds.
        now: the time that errors in a status carry.
        observers: are told of each end.
    """

    def __init__(
        self,
        caches: Caches,
        api: Api,
        service: Volumes,
        attach_queue: WorkQueue,
        detach_queue: WorkQueue,
        release_queue: WorkQueue,
        config: WatchConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        observers: Observers = NOBODY,
    ) -> None:
        self._caches = caches
        self._api = api
        self._service = service
        self._attaching = Lane(attach_queue, "attachError", "ControllerPublishVolume", config, clock)
        self._detaching = Lane(detach_queue, "detachError", "ControllerUnpublishVolume", config, clock)
        self._releasing = release_queue
        self._config = config
        self._clock = clock
        self._now = now
        self._observers = observers
        self._finalizer = names.attacher_finalizer(config.driver)
        self._lock = threading.Lock()
        self._held: set[str] = set()  # names of VolumeAttachments that a worker of either lane is at
        self._done: dict[str, Literal["attached", "detached"]] = {}  # by UID, where the cache may not show it yet
        caches.attachments.on_change(self._on_attachment)
        caches.csi_nodes.on_change(self._on_csi_node)
        caches.volumes.on_change(self._on_volume)

    # What changes

    def _on_attachment(self, name: str, old: VolumeAttachment | None, new: VolumeAttachment | None) -> None:
        if new is not None and new.attacher == self._config.driver and (new.deleting or not new.attached):
            (self._detaching if new.deleting else self._attaching).queue.add(name)
        if new is None and old is not None and old.attacher == self._config.driver:
            self._done.pop(old.uid, None)
            self._attaching.forget(name)
            self._detaching.forget(name)
            self._releasing.add(old.volume_name)
            for other in self._caches.attachments_of.get(old.volume_name):  # they may have waited for this one
                if not other.attached:
                    self._attaching.pauses.forget(other.name)
                    self._attaching.queue.add(other.name)

    def _on_csi_node(self, node: str, old: CSINode | None, new: CSINode | None) -> None:
        self._look_again(each for each in self._caches.attachments.values() if each.node == node)

    def _look_again(self, wishes: Iterable[VolumeAttachment]) -> None:
        for each in wishes:
            if each.attacher == self._config.driver and (each.deleting or not each.attached):
                (self._detaching if each.deleting else self._attaching).queue.add(each.name)

    def _on_volume(self, name: str, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        if new is not None and new.deleting and self._finalizer in new.finalizers:
            self._releasing.add(name)
        if old is None or new is None:
            self._look_again(self._caches.attachments_of.get(name))

    # What is done

    def attach(self, name: str) -> None:
        """Take the next step of an attachment. Raises ApiError, for the workers to retry, and NotLeading."""
        self._reconcile(self._attaching, name, False, self._attach)

    def detach(self, name: str) -> None:
        """Take the next step of a detachment. Raises ApiError, for the workers to retry, and NotLeading."""
        self._reconcile(self._detaching, name, True, self._detach)

    def _reconcile(self, lane: Lane, name: str, deleting: bool, step: Step) -> None:
        if not self._hold(name):
            lane.queue.add_after(name, BUSY_SECONDS)
            return
        try:
            wish = self._caches.attachments.get(name)
            if wish is None or wish.deleting is not deleting or self._is_done(wish):
                lane.forget(name)
                return
            if lane.pauses.resting(name, self._matter(wish)):
                return
            lane.waits.begin(name)
            self._try(lane, wish, step)
        finally:
            self._let_go(name)

    def _try(self, lane: Lane, wish: VolumeAttachment, step: Step) -> None:
        try:
            step(wish)
        except NotFound:
            lane.forget(wish.name)  # somebody took the finalizer off, and it is gone
        except DriverError as error:
            self._fail(lane, wish, error)

    def _is_done(self, wish: VolumeAttachment) -> bool:
        done = self._done.get(wish.uid)
        if wish.deleting:
            return done == "detached" or self._finalizer not in wish.finalizers
        return done == "attached" or wish.attached

    def _attach(self, wish: VolumeAttachment) -> None:
        pv = self._volume(wish)
        if pv.deleting:
            raise errors.FailedPrecondition(f'PersistentVolume "{pv.name}" is marked for deletion')
        capability = volume_capability(pv.access_modes, pv.volume_mode, pv.fs_type, pv.mount_options)
        node_id = self._node_id(wish.node)
        if self._finalizer not in pv.finalizers:
            self._api.finalizers(names.volume_path(pv.name), pv.uid, add=[self._finalizer])
        if self._finalizer not in wish.finalizers or wish.node_id != node_id:
            self._api.annotate(
                names.attachment_path(wish.name), wish.uid, {names.NODE_ID: node_id}, add=[self._finalizer]
            )
        lane = self._attaching
        made = self._service.publish(pv.handle, node_id, capability, pv.read_only, lambda: lane.queue.add(wish.name))
        if isinstance(made, Pending):
            self._wait(lane, wish, made)
        else:
            self._mark_attached(wish, made)

    def _mark_attached(self, wish: VolumeAttachment, made: Attachment) -> None:
        status = {"attached": True, "attachmentMetadata": dict(made.context), "attachError": None}
        self._api.merge(f"{names.attachment_path(wish.name)}/status", {"status": status})
        self._done[wish.uid] = "attached"
        self._end(self._attaching, wish, "attached", made.volume_id)

    def _detach(self, wish: VolumeAttachment) -> None:
        pv = self._volume(wish)
        node_id = wish.node_id or self._node_id(wish.node)
        lane = self._detaching
        pending = self._service.unpublish(pv.handle, node_id, lambda: lane.queue.add(wish.name))
        if pending is not None:
            self._wait(lane, wish, pending)
            return
        path = names.attachment_path(wish.name)
        if set(wish.finalizers) != {self._finalizer}:  # it stays for somebody else, and must not say "attached"
            status = {"attached": False, "attachmentMetadata": None, "detachError": None}
            self._api.merge(f"{path}/status", {"status": status})
        self._api.finalizers(path, wish.uid, remove=[self._finalizer])
        self._done[wish.uid] = "detached"
        self._end(lane, wish, "detached", pv.handle)

    def release(self, name: str) -> None:
        """Take our finalizer off a PV that is being deleted and that nothing refers to any more."""
        pv = self._caches.volumes.get(name)
        if pv is None or not pv.deleting or self._finalizer not in pv.finalizers:
            return
        if self._config.provisioner and names.PROVISIONER_FINALIZER in pv.finalizers:
            return
        if self._caches.attachments_of.get(name):
            return
        try:
            self._api.finalizers(names.volume_path(name), pv.uid, remove=[self._finalizer])
        except NotFound:
            log.debug("the PV went by itself", extra={"pv": name})
        self._releasing.forget(name)

    # What it needs

    def _volume(self, wish: VolumeAttachment) -> PersistentVolume:
        if not wish.volume_name:
            raise errors.Unimplemented("only PersistentVolumes can be attached, no inline volumes")
        pv = self._caches.volumes.get(wish.volume_name)
        if pv is None:
            raise errors.NotFound(f'there is no PersistentVolume "{wish.volume_name}"')
        if pv.driver != self._config.driver:
            raise errors.InvalidArgument(f'PersistentVolume "{pv.name}" does not belong to {self._config.driver}')
        return pv

    def _node_id(self, node: str) -> str:
        csi_node = self._caches.csi_nodes.get(node)
        if csi_node is None or not csi_node.node_id:
            raise errors.FailedPrecondition(
                f'{self._config.driver} is not registered on node "{node}"',
                hint="Look whether the driver's node pod runs there.",
            )
        return csi_node.node_id

    def _matter(self, wish: VolumeAttachment) -> object:
        """What a failure was about: with another PV or node id it is another try."""
        return wish.uid, self._caches.volumes.get(wish.volume_name), self._caches.csi_nodes.get(wish.node)

    # How it ends

    def _wait(self, lane: Lane, wish: VolumeAttachment, pending: Pending) -> None:
        if lane.waits.is_time_to_tell(wish.name):
            log.info(
                "still waiting",
                extra={"attachment": wish.name, "pv": wish.volume_name, "node": wish.node, "for": pending.what},
            )

    def _end(self, lane: Lane, wish: VolumeAttachment, what: str, volume_id: str) -> None:
        seconds = self._clock() - lane.waits.began(wish.name)
        lane.forget(wish.name)
        self._observers.ended(lane.rpc, Code.OK, seconds)
        log.info(
            what,
            extra={"pv": wish.volume_name, "volume": volume_id, "node": wish.node, "seconds": round(seconds, 3)},
        )

    def _fail(self, lane: Lane, wish: VolumeAttachment, error: DriverError) -> None:
        """Let it rest, and put the error into the status, where the kubelet's events come from."""
        seconds = lane.pauses.rest(wish.name, self._matter(wish), error)
        self._observers.ended(lane.rpc, error.code, self._clock() - lane.waits.began(wish.name))
        log.warning(
            "attachment rests",
            extra={
                "rpc": lane.rpc,
                "pv": wish.volume_name,
                "node": wish.node,
                "error": str(error),
                "request_id": error.request_id,
                "next_try_in": round(seconds, 1),
            },
        )
        text = str(error)[:LONGEST_ERROR]
        told = wish.detach_error if wish.deleting else wish.attach_error
        passing = error.retry is Retry.SOON and lane.queue.failures(wish.name) < FAILURES_BEFORE_TOLD
        if text != told and not passing:
            self._api.merge(
                f"{names.attachment_path(wish.name)}/status",
                {"status": {lane.error_field: _volume_error(text, error.code, self._now())}},
            )

    def _hold(self, name: str) -> bool:
        with self._lock:
            if name in self._held:
                return False
            self._held.add(name)
            return True

    def _let_go(self, name: str) -> None:
        with self._lock:
            self._held.discard(name)


def _volume_error(text: str, code: Code, when: datetime) -> dict[str, Any]:
    """A storage/v1 VolumeError."""
    return {"time": when.strftime("%Y-%m-%dT%H:%M:%SZ"), "message": text, "errorCode": int(code)}
