"""Cinder volumes as a backend: made, removed, attached and shown, in steps (see `base`).

The cloud is the journal. A volume carries its name and stamp from the create call on, so a create whose answer was
lost is found by its name: the board's index of names answers for a create as long as it is complete, and whatever
makes it doubtful (leadership just gained, an answer that did not come) makes the next step wait for a list that began
later. What the steps remember beside that (`_doubts`, `_deleted`) only saves calls.

    create   POST, then read the board until `available`
    delete   DELETE, then read the board until it is in no list any more
    publish, unpublish   see `cinder_attach`
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from openstack_csi import errors
from openstack_csi.backends.base import Wake
from openstack_csi.backends.cinder_attach import CinderAttachments
from openstack_csi.backends.cinder_limits import VolumeTypes, with_quota
from openstack_csi.backends.cinder_request import (
    CLUSTER_KEY,
    PARAMETERS,
    Wanted,
    oldest,
    refuse_difference,
    refuse_unusable,
    stamp,
    wanted,
)
from openstack_csi.backends.cinder_state import MAKING, is_unused
from openstack_csi.cloud import zones
from openstack_csi.cloud.board import Board
from openstack_csi.cloud.connection import Cloud
from openstack_csi.cloud.faults import Refused
from openstack_csi.cloud.servers import Servers
from openstack_csi.cloud.volumes import CinderVolume, Volumes
from openstack_csi.model import (
    GIB,
    AccessType,
    Attachment,
    Capability,
    CreateVolume,
    Orphan,
    Pending,
    Volume,
    VolumeStatus,
)

log = logging.getLogger(__name__)

FRESH = 30.0
"""Seconds for which a full list answers for the next ListVolumes, and for a create where others make volumes too."""

LATELY = 5.0
"""Seconds for which a volume that was seen is believed to be there still, when a create finds its name."""

USABLE = ("available", "in-use", "reserved", "attaching", "detaching")


class CinderBackend:
    """See `base.Backend`. Thread-safe, as long as no two steps work on one volume at one time."""

    def __init__(
        self,
        cloud: Cloud,
        *,
        cluster_id: str,
        topology_key: str = "topology.cinder.csi.openstack.org/zone",
        clock: Callable[[], float] = time.monotonic,
        observe_tick: Callable[[str], None] = lambda kind: None,
    ) -> None:
        """Args:
        cloud: where the volumes are.
        cluster_id: the stamp of this cluster.
        topology_key: the key of zones in topologies.
        clock: monotonic seconds.
        observe_tick: told the kind of every tick of the board.
        """
        self._cloud = cloud
        self._topology_key = topology_key
        self._clock = clock
        self._volumes = Volumes(cloud, {CLUSTER_KEY: cluster_id}, clock=clock)
        self._board: Board[CinderVolume] = Board(
            self._volumes,
            name="cinder-volumes",
            pause=cloud.pause,
            ours=self._volumes.is_ours,
            clock=clock,
            observe=observe_tick,
        )
        self._types = VolumeTypes(self._volumes, clock=clock)
        self._attachments = CinderAttachments(self._board, Servers(cloud), clock=clock)
        self._alone = False
        self._since = clock()
        self._doubts: dict[str, float] = {}
        self._deleted: dict[str, float] = {}

    @property
    def parameters(self) -> frozenset[str]:
        """The StorageClass keys that it knows."""
        return PARAMETERS

    @property
    def topology_key(self) -> str:
        """The key of its zones."""
        return self._topology_key

    def lead(self, alone: bool) -> None:
        """Tell whether this process alone makes volumes (it leads the watchers). While it does not, every create
        looks for its name first; from the moment that it does, one list suffices for all."""
        self._since = self._clock()
        self._alone = alone

    # Making and removing

    def check(self, request: CreateVolume) -> None:
        """See `base.Provisioning.check`."""
        self._wanted(request)
        for capability in request.capabilities:
            if capability.access_mode.multi_node and capability.access_type is AccessType.BLOCK:
                self._types.be_multiattach(request.parameters.get("type", ""), capability)

    def create(self, request: CreateVolume, wake: Wake) -> Volume | Pending:
        """See `base.Provisioning.create`."""
        asked = self._wanted(request)
        doubt = self._doubt(asked.name)
        if self._board.complete < doubt:
            self._board.wake_when_complete(doubt, wake)
            fault = self._cloud.fault
            return Pending(f"looking for a Cinder volume named {asked.name}{f': {fault.message}' if fault else ''}")
        found = self._there(asked.name)
        leaving = next((v for v in found if v.status == "deleting"), None)
        volume = oldest(v for v in found if v.status != "deleting")
        if volume is None and leaving is not None:
            return self._pending(
                leaving, wake, f"an older Cinder volume {leaving.id} of that name is being deleted", True
            )
        if volume is None:
            volume = self._post(asked)
        refuse_difference(volume, asked)
        if volume.status in MAKING:
            return self._pending(volume, wake, f"Cinder volume {volume.id} is {volume.status}")
        if volume.status not in USABLE:
            raise self._failed(volume)
        self._doubts.pop(asked.name, None)
        self._board.settled(volume.id)
        return self._result(volume)

    def _doubt(self, name: str) -> float:
        """Since when a list must have begun to tell whether there is a volume of that name. Where others make volumes
        too, and of the time before this process led, what was learnt once says nothing of now."""
        now = self._clock()
        first, least = (self._since, self._since) if self._alone else (now, now - FRESH)
        return max(self._doubts.setdefault(name, first), least)

    def _there(self, name: str) -> list[CinderVolume]:
        """The volumes of that name. One that nobody saw of late may be gone: it is looked at."""
        old = self._clock() - LATELY
        for volume in self._board.named(name):
            seen = self._board.sighting(volume.id)
            if seen is None or seen.began < old:
                self._board.look(volume.id)
        return self._board.named(name)

    def _wanted(self, request: CreateVolume) -> Wanted:
        if request.cloud and request.cloud != self._cloud.name:
            raise errors.InvalidArgument(
                f'the secret names cloud "{request.cloud}", and this driver uses "{self._cloud.name or "the default"}"',
                hint='Remove the key "cloud" from the secret.',
            )
        return wanted(request, self._topology_key)

    def _post(self, asked: Wanted) -> CinderVolume:
        try:
            volume = self._volumes.create(asked.body())
        except Refused as refused:
            self._settle(asked.name)
            raise with_quota(refused.error, self._volumes) from None
        except errors.Throttled:
            self._settle(asked.name)
            raise
        except errors.Unavailable:
            # No answer is no proof that nothing was made: only a list that begins now can tell.
            self._doubts[asked.name] = self._clock()
            raise
        # The time of the answer, not of the call: a list that began in between may not show it yet.
        self._board.put(volume, self._clock())
        self._board.acted(volume.id, "create")
        log.info("volume asked for", extra={"volume": volume.id, "volume_name": asked.name, "size_gib": asked.size_gib})
        return volume

    def _settle(self, name: str) -> None:
        """Nothing was made, so nothing is in doubt; but where others make volumes too, the next create looks again."""
        if not self._alone:
            self._doubts.pop(name, None)

    def _failed(self, volume: CinderVolume) -> errors.DriverError:
        """What to say of a volume that went wrong in the making; one that nobody ever used is removed, so that the
        next step makes it again."""
        said = self._volumes.messages(volume.id)
        why = said[0] if said else f'its state is "{volume.status}"'
        text = f"Cinder could not make volume {volume.id} ({volume.name}): {why}"
        if volume.status != "error" or volume.attachments:
            return errors.FailedPrecondition(text, hint="Mend or remove it in Cinder.")
        try:
            self._volumes.delete(volume.id)
            self._board.look(volume.id)
        except Refused as refused:
            return errors.FailedPrecondition(f"{text}; and {refused.error.message}", hint="Remove it in Cinder.")
        log.warning("a volume that failed in the making was removed", extra={"volume": volume.id, "why": why})
        return errors.ResourceExhausted(text, hint="It was removed, and will be made again.")

    def delete(self, volume_id: str, wake: Wake) -> Pending | None:
        """See `base.Provisioning.delete`."""
        accepted = self._deleted.get(volume_id)
        seen = self._board.sighting(volume_id)
        what = f"Cinder volume {volume_id} is being deleted"
        if accepted is not None and (seen is None or seen.began < accepted):
            self._board.wake_on_change(volume_id, wake, seen=None, gone=True)
            return Pending(what, volume_id)
        if accepted is not None and seen is not None:
            if seen.kept is None:
                del self._deleted[volume_id]
                self._board.settled(volume_id)
                return None
            if seen.kept.status == "deleting":
                return self._pending(seen.kept, wake, what, gone=True)
            del self._deleted[volume_id]
            raise self._cannot_delete(seen.kept)
        return self._delete(volume_id, wake, what)

    def _delete(self, volume_id: str, wake: Wake, what: str) -> Pending | None:
        seen = self._board.sighting(volume_id)
        if seen is not None and seen.kept is not None and seen.kept.status == "deleting":
            self._deleted[volume_id] = seen.began  # somebody asked before us, or we did before a crash
            return self._pending(seen.kept, wake, what, gone=True)
        try:
            self._volumes.delete(volume_id)
        except Refused as refused:
            volume = self._board.look(volume_id)
            if volume is None:
                return None
            if volume.status == "deleting":
                return self._pending(volume, wake, what, gone=True)
            if volume.status in MAKING:
                return self._pending(volume, wake, f"Cinder volume {volume_id} is {volume.status}, to be deleted then")
            raise self._cannot_delete(volume, refused) from None
        self._deleted[volume_id] = self._clock()
        self._board.acted(volume_id, "delete")
        self._board.wake_on_change(volume_id, wake, seen=None, gone=True)
        return Pending(what, volume_id)

    def _cannot_delete(self, volume: CinderVolume, refused: Refused | None = None) -> errors.DriverError:
        if volume.attachments:
            servers = ", ".join(volume.server_ids())
            return errors.FailedPrecondition(f"volume {volume.id} is still attached to server {servers}")
        if refused is not None:
            return errors.FailedPrecondition(refused.error.message, request_id=refused.error.request_id)
        said = self._volumes.messages(volume.id)
        return errors.FailedPrecondition(
            f"Cinder could not delete volume {volume.id}: {said[0] if said else f'its state is {volume.status}'}",
            hint="It is tried again; see openstack volume message list.",
        )

    # Attaching

    def publish(
        self, volume_id: str, node_id: str, capability: Capability, read_only: bool, wake: Wake
    ) -> Attachment | Pending:
        """See `base.Publishing.publish`."""
        refuse_unusable(capability)
        return self._attachments.publish(volume_id, node_id, wake)

    def unpublish(self, volume_id: str, node_id: str, wake: Wake) -> Pending | None:
        """See `base.Publishing.unpublish`."""
        return self._attachments.unpublish(volume_id, node_id, wake)

    # Looking

    def get(self, volume_id: str) -> VolumeStatus:
        """See `base.Inspecting.get`."""
        volume = self._board.look(volume_id)
        if volume is None:
            raise errors.NotFound(f"volume {volume_id} does not exist in Cinder")
        return self._status(volume)

    def validate(self, volume_id: str, capabilities: Iterable[Capability]) -> str:
        """See `base.Inspecting.validate`."""
        volume = self._board.look(volume_id)
        if volume is None:
            raise errors.NotFound(f"volume {volume_id} does not exist in Cinder")
        for capability in capabilities:
            try:
                refuse_unusable(capability)
            except errors.InvalidArgument as error:
                return str(error)
            if capability.access_mode.multi_node and not volume.multiattach:
                return f'volume {volume_id} is of type "{volume.volume_type}", which is not multiattach'
        return ""

    def list(self) -> Sequence[VolumeStatus]:
        """See `base.Inspecting.list`."""
        self._board.be_complete(self._clock() - FRESH)
        return [self._status(v) for v in self._ours()]

    def orphans(self) -> Sequence[Orphan]:
        """See `base.Inspecting.orphans`."""
        self._board.be_complete(self._clock())
        return [
            Orphan(
                volume_id=v.id,
                name=v.name,
                stamp=stamp(v.metadata),
                status=v.status,
                attached=bool(v.attachments),
                created_at=v.created_at,
                unused=is_unused(v),
            )
            for v in self._ours()
        ]

    def _ours(self) -> Sequence[CinderVolume]:
        return sorted((v for v in self._board.everything() if self._volumes.is_ours(v)), key=lambda v: v.id)

    def _status(self, volume: CinderVolume) -> VolumeStatus:
        return VolumeStatus(
            volume=self._result(volume),
            published_nodes=volume.server_ids(),
            abnormal=volume.status.startswith("error"),
            message=f"Cinder shows it as {volume.status}",
        )

    def _result(self, volume: CinderVolume) -> Volume:
        return Volume(
            id=volume.id,
            size_bytes=volume.size_gib * GIB,
            topology=zones.segment(self._topology_key, volume.zone),
            name=volume.name,
        )

    def _pending(self, volume: CinderVolume, wake: Wake, what: str, gone: bool = False) -> Pending:
        seen = self._board.sighting(volume.id)
        if seen is not None and seen.kept != volume:
            wake()  # it moved while this step looked
        else:
            self._board.wake_on_change(volume.id, wake, seen=seen, gone=gone)
        return Pending(what, volume.id)
