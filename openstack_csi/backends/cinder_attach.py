"""Attaches Cinder volumes to Nova's servers, in steps.

A step asks Nova once, and then only reads the board: Nova accepts an attach long before it is done, and the volume's
own state in Cinder shows the outcome. What Nova refuses may already be as it should be (somebody else did it, or we
did before a crash), so a refusal makes the step look at the volume, and decide by what it sees (`cinder_state`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from openstack_csi import errors
from openstack_csi.backends.base import Wake
from openstack_csi.backends.cinder_state import MAKING, Next, publishing, unpublishing
from openstack_csi.cloud.board import Board
from openstack_csi.cloud.faults import Refused
from openstack_csi.cloud.servers import Servers
from openstack_csi.cloud.sightings import Sighting
from openstack_csi.cloud.volumes import CinderVolume
from openstack_csi.model import GIB, Attachment, Pending

PATIENCE = 180.0
"""Seconds after which an accepted attach or detach that shows no effect is asked for again."""

_GONE = 404


_Acts = dict[tuple[str, str], float]
"""When Nova accepted what was asked for, by volume and server. Lost with the process; the cloud's state is not."""


class CinderAttachments:
    """The steps. One caller at a time for one volume (the service's lock sees to that)."""

    def __init__(
        self, board: Board[CinderVolume], servers: Servers, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._board = board
        self._servers = servers
        self._clock = clock
        self._attaching: _Acts = {}
        self._detaching: _Acts = {}

    def publish(self, volume_id: str, node_id: str, wake: Wake) -> Attachment | Pending:
        """See `backends.base.Publishing.publish`."""
        key = (volume_id, node_id)
        self._detaching.pop(key, None)
        acted = self._accepted(self._attaching, key)
        seen = self._board.sighting(volume_id)
        what = f"Cinder volume {volume_id} is being attached to server {node_id}"
        if acted is not None:
            if seen is None or seen.began < acted:
                return self._wait(volume_id, None, wake, what)
            return self._judge_publish(key, seen, wake, acted=True)
        if seen is not None and seen.kept is not None and seen.kept.status in MAKING:
            return self._wait(volume_id, seen, wake, f"Cinder volume {volume_id} is {seen.kept.status}")
        try:
            self._servers.attach(node_id, volume_id)
        except Refused as refused:
            return self._publish_refused(key, refused, wake)
        self._attaching[key] = self._clock()
        self._board.acted(volume_id, "attach")
        return self._wait(volume_id, None, wake, what)

    def unpublish(self, volume_id: str, node_id: str, wake: Wake) -> Pending | None:
        """See `backends.base.Publishing.unpublish`."""
        if not node_id:
            return self._unpublish_everywhere(volume_id, wake)
        key = (volume_id, node_id)
        self._attaching.pop(key, None)
        acted = self._accepted(self._detaching, key)
        seen = self._board.sighting(volume_id)
        what = f"Cinder volume {volume_id} is being detached from server {node_id}"
        if acted is not None:
            if seen is None or seen.began < acted:
                return self._wait(volume_id, None, wake, what)
            return self._judge_unpublish(key, seen, wake, acted=True)
        try:
            self._servers.detach(node_id, volume_id)
        except Refused as refused:
            return self._unpublish_refused(key, refused, wake)
        self._detaching[key] = self._clock()
        self._board.acted(volume_id, "detach")
        return self._wait(volume_id, None, wake, what)

    def _judge_publish(
        self, key: tuple[str, str], seen: Sighting[CinderVolume], wake: Wake, *, acted: bool
    ) -> Attachment | Pending:
        volume_id, node_id = key
        try:
            following = publishing(seen.kept, volume_id, node_id, acted)
        except errors.DriverError:
            self._attaching.pop(key, None)
            raise
        if following is Next.DONE and seen.kept is not None:
            self._attaching.pop(key, None)
            self._board.settled(volume_id)
            # The node holds the disk that it finds against it.
            return Attachment(volume_id, node_id, {"sizeBytes": str(seen.kept.size_gib * GIB)})
        if seen.kept is not None and seen.kept.status == "detaching":
            self._attaching.pop(key, None)  # it was accepted before, or never: what comes after must be asked for
        state = seen.kept.status if seen.kept else "gone"
        what = f"Cinder volume {volume_id} is {state}, to be attached to server {node_id}"
        return self._wait(volume_id, seen, wake, what)

    def _publish_refused(self, key: tuple[str, str], refused: Refused, wake: Wake) -> Attachment | Pending:
        """Nova refused: it may be so already, or cannot be yet, or never."""
        volume_id, node_id = key
        if isinstance(refused.error, errors.ResourceExhausted | errors.PermissionDenied):
            raise refused.error from None
        seen = self._look(volume_id)
        if publishing(seen.kept, volume_id, node_id, acted=False) is Next.ACT:
            # The volume is free: the refusal is about the server, or about the two together.
            if refused.status == _GONE:
                raise errors.NotFound(refused.error.message, request_id=refused.error.request_id) from None
            raise errors.FailedPrecondition(
                refused.error.message,
                request_id=refused.error.request_id,
                hint="The server's state or zone forbids it.",
            ) from None
        return self._judge_publish(key, seen, wake, acted=False)

    def _judge_unpublish(
        self,
        key: tuple[str, str],
        seen: Sighting[CinderVolume],
        wake: Wake,
        *,
        acted: bool,
        refused: Refused | None = None,
    ) -> Pending | None:
        volume_id, node_id = key
        unknown = refused is not None and refused.status == _GONE
        try:
            following = unpublishing(seen.kept, node_id, acted, unknown)
        except errors.DriverError:
            self._detaching.pop(key, None)
            raise
        if following is Next.DONE:
            self._detaching.pop(key, None)
            self._board.settled(volume_id)
            return None
        if following is Next.ACT and refused is not None:
            raise errors.FailedPrecondition(refused.error.message, request_id=refused.error.request_id) from None
        state = seen.kept.status if seen.kept else "gone"
        what = f"Cinder volume {volume_id} is {state}, to be detached from server {node_id}"
        return self._wait(volume_id, seen, wake, what)

    def _unpublish_refused(self, key: tuple[str, str], refused: Refused, wake: Wake) -> Pending | None:
        if isinstance(refused.error, errors.PermissionDenied):
            raise refused.error from None
        return self._judge_unpublish(key, self._look(key[0]), wake, acted=False, refused=refused)

    def _unpublish_everywhere(self, volume_id: str, wake: Wake) -> Pending | None:
        volume = self._look(volume_id).kept
        pending = None
        for node_id in volume.server_ids() if volume else ():
            pending = self.unpublish(volume_id, node_id, wake) or pending
        return pending

    def _look(self, volume_id: str) -> Sighting[CinderVolume]:
        began = self._clock()
        return Sighting(self._board.look(volume_id), began)

    def _accepted(self, acts: _Acts, key: tuple[str, str]) -> float | None:
        at = acts.get(key)
        if at is not None and self._clock() - at > PATIENCE:
            del acts[key]
            return None
        return at

    def _wait(self, volume_id: str, seen: Sighting[CinderVolume] | None, wake: Wake, what: str) -> Pending:
        self._board.wake_on_change(volume_id, wake, seen=seen)
        return Pending(what, volume_id)
