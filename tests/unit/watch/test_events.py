from __future__ import annotations

import threading

import pytest

from openstack_csi.watch.events import Recorder
from openstack_csi.watch.fence import Api, Fence
from openstack_csi.watch.objects import ObjectRef
from tests.unit.watch.world import DRIVER, NOW, World

CLAIM = ObjectRef("PersistentVolumeClaim", "data", "uid-1", "default", resource_version="7")
EVENTS = "/api/v1/namespaces/default/events"


@pytest.fixture
def recorder(world: World) -> Recorder:
    return world.process.recorder


def test_an_event_names_its_object_and_its_source(world: World, recorder: Recorder) -> None:
    recorder.event(CLAIM, "Warning", "ProvisioningFailed", "no")
    recorder.flush()

    (event,) = world.all(EVENTS)
    assert event["involvedObject"] == {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "data", "namespace": "default", "uid": "uid-1",
        "resourceVersion": "7",
    }  # fmt: skip
    assert (event["type"], event["reason"], event["message"], event["count"]) == (
        "Warning",
        "ProvisioningFailed",
        "no",
        1,
    )
    assert event["source"] == {"component": DRIVER}
    assert event["firstTimestamp"] == "2026-11-21T00:00:00Z"


def test_an_event_about_a_pv_stands_in_the_default_namespace(world: World, recorder: Recorder) -> None:
    recorder.event(ObjectRef("PersistentVolume", "pv", "u"), "Normal", "R", "m")
    recorder.flush()

    assert "namespace" not in world.all(EVENTS)[0]["involvedObject"]


def test_the_same_event_is_counted_and_not_written_again(world: World, recorder: Recorder) -> None:
    for _ in range(10):
        recorder.event(CLAIM, "Warning", "ProvisioningFailed", "no")
        recorder.flush()
        world.clock.advance(20)

    (event,) = world.all(EVENTS)
    assert event["count"] == 9  # the tenth came too soon after it
    assert world.rest.calls == {"create events": 1, "patch events": 4}


def test_after_ten_minutes_it_is_an_event_of_its_own(world: World, recorder: Recorder) -> None:
    for _ in range(2):
        recorder.event(CLAIM, "Warning", "ProvisioningFailed", "no")
        recorder.flush()
        world.clock.advance(601)

    assert len(world.all(EVENTS)) == 2


def test_an_event_that_the_api_server_forgot_is_written_anew(world: World, recorder: Recorder) -> None:
    recorder.event(CLAIM, "Warning", "ProvisioningFailed", "no")
    recorder.flush()
    world.remove(f"{EVENTS}/{world.all(EVENTS)[0]['metadata']['name']}")
    world.clock.advance(60)
    recorder.event(CLAIM, "Warning", "ProvisioningFailed", "no")
    recorder.flush()

    assert len(world.all(EVENTS)) == 1


def test_a_long_message_is_shortened(world: World, recorder: Recorder) -> None:
    recorder.event(CLAIM, "Normal", "R", "x" * 5000)
    recorder.flush()

    assert len(world.all(EVENTS)[0]["message"]) == 1024


def test_when_too_many_wait_the_oldest_go_and_are_counted(world: World) -> None:
    recorder = Recorder(Api(world.rest, Fence(lambda: True)), DRIVER, now=lambda: NOW, bound=3)  # type: ignore[arg-type]
    for i in range(5):
        recorder.event(CLAIM, "Normal", "R", str(i))
    recorder.flush()

    assert [each["message"] for each in world.all(EVENTS)] != []
    assert {each["message"] for each in world.all(EVENTS)} == {"2", "3", "4"}
    assert recorder.dropped == 2


def test_a_failing_api_server_never_holds_up_who_records(world: World) -> None:
    entered, release = threading.Event(), threading.Event()

    def wait(seconds: float) -> None:
        entered.set()
        release.wait(10)

    recorder = Recorder(Api(world.rest, Fence(lambda: True)), DRIVER, now=lambda: NOW, wait=wait)  # type: ignore[arg-type]
    world.rest.fail("create", 503)
    recorder.start()
    recorder.event(CLAIM, "Normal", "R", "first")
    assert entered.wait(10)
    recorder.event(CLAIM, "Normal", "R", "second")  # returns
    release.set()
    for _ in range(1000):
        if len(world.all(EVENTS)) == 2:
            break
        threading.Event().wait(0.005)
    recorder.stop()

    assert {each["message"] for each in world.all(EVENTS)} == {"first", "second"}


def test_no_event_is_written_once_another_may_lead(world: World, recorder: Recorder) -> None:
    recorder.event(CLAIM, "Normal", "R", "m")
    world.process.leads = False
    recorder.flush()

    assert world.all(EVENTS) == []
