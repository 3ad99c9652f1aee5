"""Waiting and one-at-a-time: what every caller of the service relies on, whatever the backend."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from openstack_csi import errors
from openstack_csi.backends.base import Wake
from openstack_csi.model import CreateVolume, Pending, Volume
from openstack_csi.service import VolumeService

VOLUME = Volume("v1", 1)


class Slow:
    """A backend at its outer seam: `create` answers what the test put there."""

    parameters: frozenset[str] = frozenset()
    topology_key = "zone"

    def __init__(self, create: Callable[[CreateVolume, Wake], Volume | Pending]) -> None:
        self.create = create


def service(create: Callable[[CreateVolume, Wake], Volume | Pending], **options: object) -> VolumeService:
    return VolumeService(Slow(create), **options)  # type: ignore[arg-type]


def test_a_waiting_call_takes_the_step_again_when_it_is_woken() -> None:
    wakes: list[Wake] = []

    def create(request: CreateVolume, wake: Wake) -> Volume | Pending:
        if wakes:
            return VOLUME
        wakes.append(wake)
        threading.Thread(target=wake).start()
        return Pending("creating")

    of = service(create)
    got = of.wait(lambda wake: of.create(CreateVolume("pvc-1"), wake), deadline=float("inf"))
    assert got == VOLUME


def test_a_call_whose_time_is_up_says_what_it_waited_for() -> None:
    now = iter([0.0, 0.0, 5.0, 5.0, 5.0])
    of = service(lambda request, wake: Pending("Cinder volume 1f is creating"), clock=lambda: next(now))
    with pytest.raises(errors.DeadlineExceeded, match=r"Cinder volume 1f is creating \(waited 5 s\)"):
        of.wait(lambda wake: of.create(CreateVolume("pvc-1"), wake), deadline=0.0)


def test_two_steps_on_one_name_do_not_meet() -> None:
    inside, leave = threading.Event(), threading.Event()

    def create(request: CreateVolume, wake: Wake) -> Volume | Pending:
        inside.set()
        leave.wait(10)
        return VOLUME

    of = service(create)
    first = threading.Thread(target=lambda: of.create(CreateVolume("pvc-1"), lambda: None))
    first.start()
    assert inside.wait(10)
    with pytest.raises(errors.Aborted, match="pvc-1"):
        of.create(CreateVolume("pvc-1"), lambda: None)
    leave.set()
    first.join()
    assert of.create(CreateVolume("pvc-1"), lambda: None) == VOLUME


def test_a_step_that_failed_leaves_the_name_free() -> None:
    def create(request: CreateVolume, wake: Wake) -> Volume | Pending:
        raise errors.Unavailable("the cloud is away")

    of = service(create)
    for _ in range(2):
        with pytest.raises(errors.Unavailable):
            of.create(CreateVolume("pvc-1"), lambda: None)
