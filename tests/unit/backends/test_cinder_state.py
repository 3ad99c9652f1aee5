"""Attach and detach go by the end state: what a volume's state means, for every state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openstack_csi import errors
from openstack_csi.backends.cinder_state import Next, is_unused, publishing, unpublishing
from openstack_csi.cloud.volumes import CinderAttachment, CinderVolume


def volume(status: str, *servers: str, multiattach: bool = False) -> CinderVolume:
    return CinderVolume(
        id="v1",
        name="pvc-1",
        status=status,
        size_gib=1,
        zone="nova",
        volume_type="fast",
        multiattach=multiattach,
        metadata={},
        attachments=tuple(CinderAttachment(s, f"a-{s}", "/dev/vdb") for s in servers),
        created_at="",
    )


@pytest.mark.parametrize(
    ("seen", "acted", "following"),
    [
        (volume("available"), False, Next.ACT),
        (volume("creating"), False, Next.WAIT),
        (volume("reserved"), True, Next.WAIT),
        (volume("attaching"), True, Next.WAIT),
        (volume("in-use", "me"), True, Next.DONE),
        (volume("in-use", "me"), False, Next.DONE),
        (volume("detaching", "me"), False, Next.WAIT),
        (volume("detaching", "other"), False, Next.WAIT),
        (volume("in-use", "other", multiattach=True), False, Next.ACT),
        (volume("in-use", "other", multiattach=True), True, Next.WAIT),
        (volume("in-use", "other", "me", multiattach=True), True, Next.DONE),
    ],
)
def test_publishing_goes_on_from_every_state(seen: CinderVolume, acted: bool, following: Next) -> None:
    assert publishing(seen, "v1", "me", acted) is following


@pytest.mark.parametrize(
    ("seen", "acted", "error"),
    [
        (None, False, errors.NotFound),
        (volume("in-use", "other"), False, errors.AttachedElsewhere),
        (volume("error"), False, errors.FailedPrecondition),
        (volume("available"), True, errors.Unavailable),
    ],
)
def test_publishing_tells_what_it_cannot_mend(
    seen: CinderVolume | None, acted: bool, error: type[errors.DriverError]
) -> None:
    with pytest.raises(error):
        publishing(seen, "v1", "me", acted)


@pytest.mark.parametrize(
    ("seen", "acted", "unknown", "following"),
    [
        (None, False, False, Next.DONE),
        (volume("available"), True, False, Next.DONE),
        (volume("available"), False, True, Next.DONE),
        (volume("available"), False, False, Next.DONE),
        (volume("in-use", "other"), True, False, Next.DONE),
        (volume("reserved"), False, True, Next.DONE),
        (volume("reserved"), False, False, Next.WAIT),
        (volume("detaching", "me"), True, False, Next.WAIT),
        (volume("detaching"), True, False, Next.WAIT),
        (volume("in-use", "me"), False, False, Next.ACT),
    ],
)
def test_unpublishing_goes_on_from_every_state(
    seen: CinderVolume | None, acted: bool, unknown: bool, following: Next
) -> None:
    assert unpublishing(seen, "me", acted, unknown) is following


def test_an_attachment_that_nova_does_not_know_is_told_with_what_to_do() -> None:
    with pytest.raises(errors.FailedPrecondition, match="volume attachment delete"):
        unpublishing(volume("in-use", "me"), "me", acted=False, unknown_to_nova=True)


def test_a_detach_that_nova_took_and_failed_is_tried_again() -> None:
    with pytest.raises(errors.Unavailable):
        unpublishing(volume("in-use", "me"), "me", acted=True, unknown_to_nova=False)


@pytest.mark.parametrize(
    ("created", "updated", "unused"),
    [
        ("2026-01-01T10:00:00", "2026-01-01T10:00:03", True),
        ("2026-01-01T10:00:00.000000", "", True),
        ("2026-01-01T10:00:00", "2026-01-01T10:05:00", False),
        ("", "", False),
        ("yesterday", "today", False),
    ],
)
def test_only_a_volume_whose_last_change_was_its_making_counts_as_unused(
    created: str, updated: str, unused: bool
) -> None:
    assert is_unused(replace(volume("available"), created_at=created, updated_at=updated)) is unused


def test_an_attached_volume_never_counts_as_unused() -> None:
    assert not is_unused(replace(volume("in-use", "me"), created_at="2026-01-01T10:00:00"))
