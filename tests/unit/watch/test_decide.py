from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openstack_csi.errors import InvalidArgument
from openstack_csi.model import GIB, AccessMode, AccessType
from openstack_csi.watch.config import WatchConfig
from openstack_csi.watch.decide import Decision, Ignore, Provision, Refuse, StandAside, Wait, decide, volume_capability
from openstack_csi.watch.objects import Claim, CSINode, DataSource, Node, StorageClass
from openstack_csi.watch.topology import Zones

DRIVER = "cinder.csi.openstack.org"
CONFIG = WatchConfig(cluster="c1")
NOWHERE = Zones({}, {})
CLAIM = Claim(
    "ns", "data", "uid-1", storage_class="sc", provisioner=DRIVER, access_modes=("ReadWriteOnce",), request="1Gi"
)
CLASS = StorageClass("sc", DRIVER, mount_options=("noatime",))
DELAYED = dataclasses.replace(CLASS, delayed=True)


def about(storage_class: StorageClass | None = CLASS, zones: Zones = NOWHERE, **fields: Any) -> Decision:
    return decide(dataclasses.replace(CLAIM, **fields), storage_class, zones, CONFIG)


@pytest.mark.parametrize(
    ("storage_class", "fields", "expected"),
    [
        (CLASS, {"volume_name": "pv"}, Ignore("it has its volume")),
        (CLASS, {"deleting": True}, Ignore("it is being deleted")),
        (CLASS, {"provisioner": ""}, Ignore("it asks for another provisioner")),
        (CLASS, {"provisioner": "other"}, Ignore("it asks for another provisioner")),
        (StorageClass("sc", "other"), {}, Ignore("its class belongs to another provisioner")),
        (DELAYED, {}, Ignore("it waits for its first consumer")),
        (None, {}, Wait('StorageClass "sc" not found')),
        (
            CLASS,
            {"data_source": DataSource("Dump", "d", "example.org")},
            StandAside("Assuming an external populator will provision the volume"),
        ),
    ],
)
def test_claims_that_are_not_provisioned(storage_class: StorageClass | None, fields: Any, expected: Decision) -> None:
    assert about(storage_class, **fields) == expected


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"has_selector": True}, "claim Selector is not supported"),
        ({"data_source": DataSource("PersistentVolumeClaim", "x")}, "from a PersistentVolumeClaim is not offered yet"),
        ({"request": ""}, "the claim asks for no storage. Set spec.resources.requests.storage."),
        ({"request": "0"}, "the claim asks for no storage"),
        ({"request": "-1Gi"}, "the claim asks for no storage"),
        ({"request": "1GiB"}, 'spec.resources.requests.storage: "1GiB" is not a quantity'),
        ({"limit": "1Mi"}, "limits.storage is less than its requests.storage"),
        ({"access_modes": ()}, "access mode"),
        ({"access_modes": ("ReadWriteOften",)}, 'unknown access mode "ReadWriteOften". Did you mean "ReadWriteO'),
    ],
)
def test_claims_that_are_refused(fields: Any, text: str) -> None:
    found = about(**fields)

    assert isinstance(found, Refuse)
    assert text in str(found.error)


def test_a_claim_becomes_a_request() -> None:
    found = about(request="1500M", limit="2Gi")

    assert isinstance(found, Provision)
    request = found.request
    assert request.name == "pvc-uid-1"
    assert (request.capacity.required_bytes, request.capacity.limit_bytes) == (1_500_000_000, 2 * GIB)
    (capability,) = request.capabilities
    assert (capability.access_type, capability.access_mode) == (AccessType.MOUNT, AccessMode.SINGLE_NODE_WRITER)
    assert (capability.fs_type, capability.mount_flags) == ("ext4", ("noatime",))
    assert (request.stamp.cluster, request.stamp.claim_namespace, request.stamp.claim_name) == ("c1", "ns", "data")


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        (("ReadWriteOnce",), [AccessMode.SINGLE_NODE_WRITER]),
        (("ReadWriteOncePod",), [AccessMode.SINGLE_NODE_WRITER]),
        (("ReadOnlyMany",), [AccessMode.MULTI_NODE_READER_ONLY]),
        (("ReadWriteMany",), [AccessMode.MULTI_NODE_MULTI_WRITER]),
        (("ReadWriteOnce", "ReadWriteMany"), [AccessMode.SINGLE_NODE_WRITER, AccessMode.MULTI_NODE_MULTI_WRITER]),
    ],
)
def test_every_access_mode_is_asked_for(modes: tuple[str, ...], expected: list[AccessMode]) -> None:
    found = about(access_modes=modes, volume_mode="Block")

    assert isinstance(found, Provision)
    assert [each.access_mode for each in found.request.capabilities] == expected
    assert {each.access_type for each in found.request.capabilities} == {AccessType.BLOCK}


def test_a_delayed_claim_goes_to_its_node_and_waits_for_the_node_to_know_its_zone() -> None:
    zones = Zones.of([CSINode("n1", "id", ("z",))], [Node("n1", {"z": "a"})])

    assert isinstance(about(DELAYED, zones, selected_node="n1"), Provision)
    waits = about(DELAYED, zones, selected_node="n2")
    assert isinstance(waits, Wait)
    assert "n2" in waits.reason


def test_without_extra_metadata_the_stamp_names_only_the_cluster() -> None:
    found = decide(CLAIM, CLASS, NOWHERE, WatchConfig(cluster="c1", extra_metadata=False))

    assert isinstance(found, Provision)
    assert (found.request.stamp.cluster, found.request.stamp.claim_name) == ("c1", "")


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        (("ReadWriteOnce", "ReadWriteMany"), AccessMode.MULTI_NODE_MULTI_WRITER),
        (("ReadOnlyMany",), AccessMode.MULTI_NODE_READER_ONLY),
        (("ReadWriteOncePod",), AccessMode.SINGLE_NODE_WRITER),
    ],
)
def test_a_volume_is_published_with_one_access_mode(modes: tuple[str, ...], expected: AccessMode) -> None:
    assert volume_capability(modes, "Filesystem", "xfs", ()).access_mode is expected


def test_modes_that_csi_cannot_say_together_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="ReadOnlyMany and ReadWriteOnce"):
        volume_capability(("ReadOnlyMany", "ReadWriteOnce"), "Filesystem", "", ())


text = st.text(max_size=6)
claims = st.builds(
    Claim,
    namespace=text, name=text, uid=text, storage_class=text,
    provisioner=st.sampled_from([DRIVER, "other"]), deleting=st.booleans(), selected_node=st.sampled_from(["", "n1"]),
    volume_name=st.sampled_from(["", "pv"]), has_selector=st.booleans(),
    access_modes=st.lists(st.sampled_from(["ReadWriteOnce", "ReadWriteMany", "odd"]), max_size=3).map(tuple),
    volume_mode=st.sampled_from(["Filesystem", "Block"]), request=st.sampled_from(["1Gi", "", "-1", "x"]), limit=text,
)  # fmt: skip
storage_classes = st.none() | st.builds(
    StorageClass,
    name=text, provisioner=st.sampled_from([DRIVER, "other"]), delayed=st.booleans(),
    parameters=st.dictionaries(st.sampled_from(["type", "fstype", "csi.storage.k8s.io/x"]), text, max_size=2),
)  # fmt: skip


@given(claims, storage_classes)
def test_a_bound_foreign_or_dying_claim_is_never_provisioned(claim: Claim, storage_class: StorageClass | None) -> None:
    found = decide(claim, storage_class, NOWHERE, CONFIG)

    if claim.volume_name or claim.deleting or claim.provisioner != DRIVER:
        assert isinstance(found, Ignore)
    if isinstance(found, Provision):
        assert found.request.name == f"pvc-{claim.uid}"
        assert found.request.capacity.required_bytes > 0
        assert all(not key.startswith("csi.storage.k8s.io/") for key in found.request.parameters)
