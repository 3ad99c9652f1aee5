"""What the state of a volume means for an attach or a detach: pure decisions.

The end state is what counts, whoever brought it about. Nova and Cinder move a volume through `reserved`, `attaching`,
`in-use`, `detaching` and back to `available`; these functions say of a state seen whether one is there, should look
again, should act, or must tell somebody.
"""

from __future__ import annotations

import enum
from datetime import datetime, timedelta

from openstack_csi import errors
from openstack_csi.cloud.volumes import CinderVolume

MAKING = ("creating", "downloading")
"""States of a volume that is not made yet."""

MOVING = frozenset(
    {"creating", "downloading", "reserved", "attaching", "detaching", "extending", "backing-up", "restoring-backup"}
    | {"uploading", "maintenance", "retyping", "awaiting-transfer", "reverting"}
)
"""States that Cinder leaves by itself."""


MADE_WITHIN = timedelta(seconds=60)
"""A volume's last change so soon after its creation is the end of its creation."""


class Next(enum.Enum):
    """What a step does next."""

    DONE = "done"
    WAIT = "wait"
    ACT = "act"


def publishing(volume: CinderVolume | None, volume_id: str, node_id: str, acted: bool) -> Next:
    """What to do next so that the node has the volume.

    Args:
        volume: as it was seen after the last act; None when it is gone.
        volume_id: its id, for the errors.
        node_id: the server that shall have it.
        acted: an attach was asked for, and accepted, before the volume was seen so.

    Raises:
        NotFound: the volume is gone.
        AttachedElsewhere: another server has it and its type does not allow two.
        FailedPrecondition: its state forbids it.
        Unavailable: the accepted attach failed.
    """
    if volume is None:
        raise errors.NotFound(f"volume {volume_id} does not exist in Cinder")
    others = [s for s in volume.server_ids() if s != node_id]
    if node_id in volume.server_ids() and volume.status != "detaching":
        return Next.DONE
    if others and not volume.multiattach:
        if volume.status == "detaching":
            return Next.WAIT
        raise errors.AttachedElsewhere(
            f"volume {volume_id} is attached to server {others[0]}",
            hint="It can be attached here once that pod is gone and its node has let go of it.",
        )
    if volume.status in MOVING:
        return Next.WAIT
    if volume.status == "available" or (volume.multiattach and volume.status == "in-use"):
        if acted and volume.status == "available":
            raise errors.Unavailable(
                f"Nova accepted to attach volume {volume_id} to server {node_id}, and failed",
                hint="The server's actions in Nova (openstack server event list) say why.",
            )
        return Next.WAIT if acted else Next.ACT
    raise errors.FailedPrecondition(
        f'volume {volume_id} is in state "{volume.status}" and cannot be attached',
        hint="See its messages (openstack volume message list) and mend it in Cinder.",
    )


def unpublishing(volume: CinderVolume | None, node_id: str, acted: bool, unknown_to_nova: bool) -> Next:
    """What to do next so that the node no longer has the volume.

    Args:
        volume: as it was seen after the last act; None when it is gone.
        node_id: the server that shall not have it.
        acted: a detach was asked for, and accepted, before the volume was seen so.
        unknown_to_nova: Nova knows no such attachment, or no such server.

    Raises:
        FailedPrecondition: Cinder still counts an attachment that Nova does not know of.
        Unavailable: the accepted detach failed.
    """
    if volume is None:
        return Next.DONE
    if node_id not in volume.server_ids():
        # An accepted detach of a volume with one attachment ends in `available`; before that it is half done.
        waits = volume.status == "detaching" or (volume.status in MOVING and not acted and not unknown_to_nova)
        if waits and not volume.attachments:
            return Next.WAIT
        return Next.DONE if acted or unknown_to_nova or volume.status not in MOVING else Next.ACT
    if volume.status in MOVING:
        return Next.WAIT
    if unknown_to_nova:
        raise errors.FailedPrecondition(
            f"Cinder counts volume {volume.id} as attached to server {node_id}, and Nova does not know of it",
            hint="An administrator can remove the attachment (openstack volume attachment delete).",
        )
    if acted:
        raise errors.Unavailable(
            f"Nova accepted to detach volume {volume.id} from server {node_id}, and failed",
            hint="The server's actions in Nova (openstack server event list) say why.",
        )
    return Next.ACT


def is_unused(volume: CinderVolume) -> bool:
    """Whether it was never attached since it was made: an attach and a detach both change `updated_at`, so a volume
    whose last change is that of its creation holds nobody's data. In doubt it counts as used."""
    if volume.attachments or volume.status not in ("available", "error"):
        return False
    try:
        made = datetime.fromisoformat(volume.created_at)
        changed = datetime.fromisoformat(volume.updated_at) if volume.updated_at else made
        return abs(changed - made) <= MADE_WITHIN
    except (ValueError, TypeError):
        return False
