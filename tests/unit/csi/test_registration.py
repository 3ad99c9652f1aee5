"""Registration, asked as the kubelet asks."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import grpc
import pytest

from openstack_csi.csi.pb import pluginregistration_pb2 as pb
from openstack_csi.csi.pb.pluginregistration_pb2_grpc import RegistrationStub
from openstack_csi.csi.registration import Registration, registration_server, socket_path

DRIVER = "cinder.csi.openstack.org"
SOCKET = Path("/var/lib/kubelet/plugins/cinder.csi.openstack.org/csi.sock")


@pytest.fixture
def told():
    return []


@pytest.fixture
def kubelet(directory, told):
    (directory / "plugins_registry").mkdir()
    registration = Registration(DRIVER, SOCKET, lambda registered, why: told.append((registered, why)))
    server = registration_server(directory, registration, DRIVER)
    server.start()
    with grpc.insecure_channel(f"unix://{socket_path(directory, DRIVER)}") as channel:
        yield RegistrationStub(channel)
    server.stop(0)


def test_the_kubelet_learns_where_the_driver_is(kubelet):
    info = kubelet.GetInfo(pb.InfoRequest(), timeout=5)
    assert (info.type, info.name, info.endpoint) == ("CSIPlugin", DRIVER, str(SOCKET))
    assert list(info.supported_versions) == ["1.0.0"]


def test_the_socket_is_where_the_kubelet_looks_and_for_root_alone(kubelet, directory):
    path = directory / "plugins_registry" / f"{DRIVER}-reg.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_refused_registration_is_told_loudly(kubelet, told, caplog):
    kubelet.NotifyRegistrationStatus(pb.RegistrationStatus(error="node id is empty"), timeout=5)
    assert told == [(False, "node id is empty")]
    [line] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert line.error == "node id is empty"
    assert "no pod on this node" in line.getMessage()


def test_a_registration_that_went_well_is_told(kubelet, told):
    kubelet.NotifyRegistrationStatus(pb.RegistrationStatus(plugin_registered=True), timeout=5)
    assert told == [(True, "")]
