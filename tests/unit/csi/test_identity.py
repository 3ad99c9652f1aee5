"""Identity: what an orchestrator learns of the driver, and when it takes it for unwell."""

from __future__ import annotations

import grpc
import pytest

from openstack_csi.csi.identity import Identity
from openstack_csi.csi.pb import csi_pb2 as pb
from openstack_csi.csi.pb import csi_pb2_grpc as csi

NAME = "cinder.csi.openstack.org"


def test_the_driver_says_its_name_and_version(serve):
    stub = csi.IdentityStub(serve(Identity(NAME, "1.2.3", lambda: (True, ""))))
    info = stub.GetPluginInfo(pb.GetPluginInfoRequest(), timeout=5)
    assert (info.name, info.vendor_version) == (NAME, "1.2.3")


@pytest.mark.parametrize(
    ("offers", "kinds"),
    [
        ({}, ["CONTROLLER_SERVICE", "VOLUME_ACCESSIBILITY_CONSTRAINTS"]),
        ({"topology": False}, ["CONTROLLER_SERVICE"]),
        ({"controller": False}, ["VOLUME_ACCESSIBILITY_CONSTRAINTS"]),
    ],
)
def test_the_driver_says_what_it_offers(serve, offers, kinds):
    stub = csi.IdentityStub(serve(Identity(NAME, "1", lambda: (True, ""), **offers)))
    answer = stub.GetPluginCapabilities(pb.GetPluginCapabilitiesRequest(), timeout=5)
    assert [pb.PluginCapability.Service.Type.Name(one.service.type) for one in answer.capabilities] == kinds


def test_a_plugin_that_starts_is_well_but_not_ready_and_one_that_fell_ill_is_not_well(serve):
    state = [(False, "informer is not synced")]
    stub = csi.IdentityStub(serve(Identity(NAME, "1", lambda: state[0])))
    starting = stub.Probe(pb.ProbeRequest(), timeout=5)
    assert starting.HasField("ready")
    assert not starting.ready.value
    state[0] = (True, "")
    assert stub.Probe(pb.ProbeRequest(), timeout=5).ready.value
    state[0] = (False, "the cloud refuses our credentials")
    with pytest.raises(grpc.RpcError) as refused:
        stub.Probe(pb.ProbeRequest(), timeout=5)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.details() == "the cloud refuses our credentials"
