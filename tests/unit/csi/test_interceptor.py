"""What every call has in common: statuses, the log line, metrics, and one call at a time for one volume."""

# ruff: noqa: N802 - servicers bear the names of the RPCs

from __future__ import annotations

import logging
import threading

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from hypothesis import given
from hypothesis import strategies as st

from openstack_csi import errors
from openstack_csi.csi.interceptor import Interceptor, key_of
from openstack_csi.csi.pb import csi_pb2 as pb
from openstack_csi.csi.pb import csi_pb2_grpc as csi
from openstack_csi.csi.redact import mask, redacted
from openstack_csi.ops.logs import JsonFormatter, TextFormatter

SECRET = "correct-horse-battery"


class Raising(csi.ControllerServicer):
    """DeleteVolume raises what it was given; nothing else is written."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def DeleteVolume(self, request, context):
        if self.error:
            raise self.error
        return pb.DeleteVolumeResponse()


class Held(csi.ControllerServicer):
    """Every call waits until `open` is set."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()

    def _hold(self, answer):
        self.entered.release()
        self.open.wait(30)
        return answer

    def CreateVolume(self, request, context):
        return self._hold(pb.CreateVolumeResponse())

    def DeleteVolume(self, request, context):
        return self._hold(pb.DeleteVolumeResponse())

    def ControllerGetVolume(self, request, context):
        return pb.ControllerGetVolumeResponse()


def delete(channel: grpc.Channel, **fields: object) -> grpc.RpcError | None:
    try:
        csi.ControllerStub(channel).DeleteVolume(pb.DeleteVolumeRequest(**{"volume_id": "v-1"} | fields), timeout=10)
    except grpc.RpcError as error:
        return error
    return None


def tree(root: type[errors.DriverError]) -> list[type[errors.DriverError]]:
    return [root, *(one for kind in root.__subclasses__() for one in tree(kind))]


@pytest.mark.parametrize("kind", tree(errors.DriverError))
def test_every_error_of_the_tree_has_its_code_and_says_everything(serve, kind):
    error = kind("what and why", hint="What to do.", request_id="req-7")
    status = delete(serve(Raising(error)))
    assert status is not None
    assert status.code().value[0] == kind.code
    assert status.details() == "what and why. What to do. [request req-7]"


def test_an_unforeseen_error_is_our_bug_and_its_text_stays_here(serve, caplog):
    status = delete(serve(Raising(ValueError("inner words"))))
    assert status is not None
    assert status.code() is grpc.StatusCode.INTERNAL
    assert "DeleteVolume failed with an unforeseen ValueError" in status.details()
    assert "please report it" in status.details()
    assert "inner words" not in status.details()
    [line] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "inner words" in line.traceback
    assert "test_interceptor.py" in line.traceback


def test_a_method_that_is_not_written_is_not_offered(serve):
    with pytest.raises(grpc.RpcError) as refused:
        csi.ControllerStub(serve(Raising())).GetCapacity(pb.GetCapacityRequest(), timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert refused.value.details() == "GetCapacity is not offered by this driver"


def test_a_very_long_reason_still_arrives(serve):
    status = delete(serve(Raising(errors.Unavailable("<html>" * 10_000))))
    assert status is not None
    assert status.code() is grpc.StatusCode.UNAVAILABLE


def test_a_call_leaves_one_line_with_its_facts(serve, caplog):
    caplog.set_level(logging.INFO)
    error = errors.ResourceExhausted("quota", request_id="req-7")
    delete(serve(Raising(error)))
    [line] = [one for one in caplog.records if one.name == "openstack_csi.csi.interceptor"]
    assert (line.method, line.volume, line.code, line.request) == ("DeleteVolume", "v-1", "RESOURCE_EXHAUSTED", "req-7")
    assert line.ms >= 0
    assert line.levelno == logging.WARNING


def test_a_creation_is_logged_with_its_claim(serve, caplog):
    caplog.set_level(logging.INFO)
    parameters = {"csi.storage.k8s.io/pvc/name": "data", "csi.storage.k8s.io/pvc/namespace": "shop"}
    held = Held()
    held.open.set()
    request = pb.CreateVolumeRequest(name="pvc-1", parameters=parameters)
    csi.ControllerStub(serve(held)).CreateVolume(request, timeout=10)
    [line] = [one for one in caplog.records if one.name == "openstack_csi.csi.interceptor"]
    assert (line.claim, line.volume) == ("shop/data", "pvc-1")


def test_metrics_see_every_call_with_its_code(serve):
    seen = []
    interceptor = Interceptor(lambda *call: seen.append(call[:2]))
    servicer = Raising()
    channel = serve(servicer, interceptor=interceptor)
    delete(channel)
    servicer.error = errors.NotFound("no")
    delete(channel)
    method = "/csi.v1.Controller/DeleteVolume"
    assert seen == [(method, errors.Code.OK), (method, errors.Code.NOT_FOUND)]


def test_what_the_handler_does_is_counted_for_its_method(serve):
    seen = []

    class Within:
        def __init__(self, method):
            seen.append(method)

        def __enter__(self):
            seen.append("in")

        def __exit__(self, *_):
            seen.append("out")

    delete(serve(Raising(), interceptor=Interceptor(within=Within)))
    assert seen == ["DeleteVolume", "in", "out"]


def test_a_second_call_on_the_same_volume_is_aborted_and_others_are_not(serve):
    held = Held()
    stub = csi.ControllerStub(serve(held))
    first = stub.CreateVolume.future(pb.CreateVolumeRequest(name="pvc-1"), timeout=30)
    assert held.entered.acquire(timeout=10)
    with pytest.raises(grpc.RpcError) as refused:
        stub.CreateVolume(pb.CreateVolumeRequest(name="pvc-1"), timeout=10)
    assert refused.value.code() is grpc.StatusCode.ABORTED
    assert "volume name pvc-1" in refused.value.details()
    other = stub.CreateVolume.future(pb.CreateVolumeRequest(name="pvc-2"), timeout=30)
    assert held.entered.acquire(timeout=10)
    stub.ControllerGetVolume(pb.ControllerGetVolumeRequest(volume_id="pvc-1"), timeout=10)
    held.open.set()
    first.result()
    other.result()
    stub.CreateVolume(pb.CreateVolumeRequest(name="pvc-1"), timeout=10)


def test_a_call_that_failed_does_not_block_the_next(serve):
    servicer = Raising(ValueError("x"))
    channel = serve(servicer)
    delete(channel)
    servicer.error = None
    assert delete(channel) is None


def test_attach_and_detach_of_one_volume_exclude_each_other_and_looks_exclude_nobody():
    publish = key_of("/csi.v1.Controller/ControllerPublishVolume", pb.ControllerPublishVolumeRequest(volume_id="v"))
    unpublish = key_of(
        "/csi.v1.Controller/ControllerUnpublishVolume", pb.ControllerUnpublishVolumeRequest(volume_id="v")
    )
    assert publish == unpublish
    look = key_of("/csi.v1.Controller/ControllerGetVolume", pb.ControllerGetVolumeRequest(volume_id="v"))
    assert look is None


def requests_with_secrets() -> list[Descriptor]:
    found = pb.DESCRIPTOR.message_types_by_name.values()
    return [one for one in found if any(field.GetOptions().Extensions[pb.csi_secret] for field in one.fields)]


def test_every_field_named_secrets_bears_the_mark():
    named = [one for one in pb.DESCRIPTOR.message_types_by_name.values() if "secrets" in one.fields_by_name]
    assert named
    assert named == requests_with_secrets()


@pytest.mark.parametrize("kind", requests_with_secrets(), ids=lambda kind: kind.name)
def test_no_field_that_csi_calls_secret_is_shown(kind):
    message = message_factory.GetMessageClass(kind)()
    for field in kind.fields:
        if field.GetOptions().Extensions[pb.csi_secret]:
            getattr(message, field.name)["password"] = SECRET
        elif field.type == field.TYPE_STRING and not field.is_repeated:
            setattr(message, field.name, "shown")
    shown = redacted(message)
    assert SECRET not in shown
    assert "secret" not in shown
    assert SECRET not in mask(f"failed with {SECRET}", message)
    assert "shown" in shown or not any(field.type == field.TYPE_STRING for field in kind.fields)


def test_mount_flags_are_not_shown_wherever_they_stand():
    capability = pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(fs_type="ext4", mount_flags=[SECRET]))
    request = pb.CreateVolumeRequest(name="pvc-1", volume_capabilities=[capability])
    stage = pb.NodeStageVolumeRequest(volume_id="v", volume_capability=capability)
    assert SECRET not in redacted(request) + redacted(stage)
    assert "ext4" in redacted(request)
    assert capability.mount.mount_flags == [SECRET]


@given(st.dictionaries(st.text(max_size=8), st.text(min_size=4, max_size=30), min_size=1, max_size=4))
def test_no_secret_value_survives_in_a_text_that_we_did_not_write(secrets):
    request = pb.DeleteVolumeRequest(volume_id="v", secrets=secrets)
    text = mask(" ".join(f"<{value}>" for value in secrets.values()), request)
    assert not any(f"<{value}>" in text for value in secrets.values() if value.strip("*"))


@pytest.mark.parametrize("error", [None, errors.NotFound("no volume"), ValueError(f"login with {SECRET} failed")])
@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
def test_no_secret_is_in_the_log_whatever_happens(serve, caplog, error, formatter):
    caplog.set_level(logging.DEBUG)
    delete(serve(Raising(error)), secrets={"password": SECRET, "user": "nobody-special"})
    written = "\n".join(formatter.format(line) for line in caplog.records)
    assert "v-1" in written
    assert SECRET not in written
    assert "nobody-special" not in written
