"""The server over real sockets: where it listens, what it refuses to remove, how it ends."""

# ruff: noqa: N802 - servicers bear the names of the RPCs

from __future__ import annotations

import socket
import stat
import threading
from pathlib import Path

import grpc
import pytest

from openstack_csi.csi.pb import csi_pb2 as pb
from openstack_csi.csi.pb import csi_pb2_grpc as csi
from openstack_csi.csi.server import Server, parse_endpoint
from openstack_csi.errors import FailedPrecondition, InvalidArgument


class Gate(csi.IdentityServicer):
    """Holds GetPluginInfo until it is opened; answers Probe at once."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()

    def Probe(self, request, context):
        return pb.ProbeResponse()

    def GetPluginInfo(self, request, context):
        self.entered.release()
        self.open.wait(30)
        return pb.GetPluginInfoResponse(name="gate")


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("unix:///csi/csi.sock", "unix:///csi/csi.sock"),
        ("unix:/csi/csi.sock", "unix:///csi/csi.sock"),
        ("/csi/csi.sock", "unix:///csi/csi.sock"),
        ("tcp://127.0.0.1:10000", "127.0.0.1:10000"),
    ],
)
def test_an_endpoint_is_understood_in_every_usual_form(endpoint, address):
    assert parse_endpoint(endpoint)[1] == address


@pytest.mark.parametrize("endpoint", ["", "csi.sock", "unix://csi.sock", "http://x", "/" + "x" * 107])
def test_an_endpoint_that_cannot_be_bound_is_refused_in_words(endpoint):
    with pytest.raises(InvalidArgument, match="endpoint"):
        parse_endpoint(endpoint)


def test_a_socket_left_by_a_killed_process_is_replaced(directory):
    path = directory / "csi.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    server = Server(str(path), Gate())
    server.start()
    with grpc.insecure_channel(server.address) as channel:
        csi.IdentityStub(channel).Probe(pb.ProbeRequest(), timeout=5)
    server.stop(0)


def test_a_file_in_the_sockets_place_is_kept(directory):
    path = directory / "csi.sock"
    path.write_text("precious")
    with pytest.raises(FailedPrecondition, match="not a socket"):
        Server(str(path), Gate()).start()
    assert path.read_text() == "precious"


def test_a_link_in_the_sockets_place_is_not_followed(directory):
    (directory / "elsewhere").write_text("precious")
    (directory / "csi.sock").symlink_to(directory / "elsewhere")
    with pytest.raises(FailedPrecondition, match="not a socket"):
        Server(str(directory / "csi.sock"), Gate()).start()


def test_a_directory_that_is_missing_is_told(directory):
    with pytest.raises(FailedPrecondition, match="Does the directory exist"):
        Server(str(directory / "none" / "csi.sock"), Gate()).start()


def test_the_socket_is_open_to_owner_and_group_only(directory):
    server = Server(str(directory / "csi.sock"), Gate())
    server.start()
    assert stat.S_IMODE((directory / "csi.sock").stat().st_mode) == 0o660
    server.stop(0)


def test_a_stopped_server_leaves_no_socket(directory):
    server = Server(str(directory / "csi.sock"), Gate())
    server.start()
    server.stop(0)
    assert list(directory.iterdir()) == []


def test_a_server_that_never_started_leaves_no_socket(directory):
    Server(str(directory / "csi.sock"), Gate()).stop(0)
    assert list(directory.iterdir()) == []


def test_a_leaving_process_does_not_take_the_socket_from_its_successor(directory):
    old, new = (Server(str(directory / "csi.sock"), Gate()) for _ in range(2))
    old.start()
    new.start()
    old.stop(0)
    with grpc.insecure_channel(new.address) as channel:
        csi.IdentityStub(channel).Probe(pb.ProbeRequest(), timeout=5)
    new.stop(0)


def test_tcp_takes_a_free_port():
    server = Server("tcp://127.0.0.1:0", Gate())
    server.start()
    with grpc.insecure_channel(server.address) as channel:
        csi.IdentityStub(channel).Probe(pb.ProbeRequest(), timeout=5)
    server.stop(0)


def test_stopping_lets_a_running_call_finish(directory):
    gate = Gate()
    server = Server(str(directory / "csi.sock"), gate)
    server.start()
    with grpc.insecure_channel(server.address) as channel:
        call = csi.IdentityStub(channel).GetPluginInfo.future(pb.GetPluginInfoRequest(), timeout=20)
        assert gate.entered.acquire(timeout=10)
        stopping = threading.Thread(target=server.stop, args=(20,))
        stopping.start()
        gate.open.set()
        assert call.result().name == "gate"
        stopping.join(20)
        assert not stopping.is_alive()
        assert server.wait(5)


def test_a_call_that_outlasts_the_grace_is_cancelled(directory):
    gate = Gate()
    server = Server(str(directory / "csi.sock"), gate)
    server.start()
    with grpc.insecure_channel(server.address) as channel:
        call = csi.IdentityStub(channel).GetPluginInfo.future(pb.GetPluginInfoRequest(), timeout=20)
        assert gate.entered.acquire(timeout=10)
        server.stop(0.05)
        with pytest.raises(grpc.RpcError):
            call.result()
    gate.open.set()


def test_what_is_no_service_of_ours_is_refused(directory: Path):
    with pytest.raises(TypeError, match="none of our services"):
        Server(str(directory / "csi.sock"), object())
