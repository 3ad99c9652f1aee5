"""What cannot be had is told on the claim, by key and with what to do; and nothing is made in Cinder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.cluster.cluster import until
from tests.cluster.space import Space


@dataclass(frozen=True)
class Case:
    """A class or a claim that is wrong, and words that its event must have."""

    words: tuple[str, ...]
    storage_class: dict[str, Any] = field(default_factory=dict)
    claim: dict[str, Any] = field(default_factory=dict)


SECRET = "csi.storage.k8s.io/provisioner-secret"
CASES = {
    "unknown parameter": Case(
        ('StorageClass parameter "tpye"', 'Did you mean "type"?'), {"parameters": {"tpye": "standard"}}
    ),
    "unknown parameter of Kubernetes": Case(
        ('"csi.storage.k8s.io/fs-type"', 'Did you mean "csi.storage.k8s.io/fstype"?'),
        {"parameters": {"csi.storage.k8s.io/fs-type": "xfs"}},
    ),
    "unknown file system": Case(
        ("csi.storage.k8s.io/fstype", '"zfs"', 'Did you mean "xfs"?'),
        {"parameters": {"csi.storage.k8s.io/fstype": "zfs"}},
    ),
    "file system for several nodes": Case(("Manila", "volumeMode Block"), claim={"access": "ReadWriteMany"}),
    "block for several nodes without a type": Case(
        ("multiattach", 'StorageClass parameter "type"'), claim={"access": "ReadWriteMany", "mode": "Block"}
    ),
    "block for several nodes on a type for one": Case(
        ('volume type "nowhere" is not multiattach', "ReadWriteOnce"),
        {"parameters": {"type": "nowhere"}},
        {"access": "ReadWriteMany", "mode": "Block"},
    ),
    "unknown volume type": Case(("nosuch",), {"parameters": {"type": "nosuch"}}),
    "missing Secret": Case(
        ('there is no Secret "nowhere/clouds"', f"{SECRET}-name"),
        {"parameters": {f"{SECRET}-name": "clouds", f"{SECRET}-namespace": "nowhere"}},
    ),
    "half of a Secret's name": Case((f'"{SECRET}-namespace" is missing',), {"parameters": {f"{SECRET}-name": "x"}}),
    "no whole GiB within the limit": Case(("whole GiB", "limit"), claim={"size": "1100Mi", "limit": "1500Mi"}),
    "more than the quota": Case(("quota", "of 5000 GiB"), claim={"size": "6000Gi"}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_cannot_be_had_is_told_on_the_claim_and_nothing_is_made(space: Space, case: Case) -> None:
    space.claim("data", space.storage_class(binding="Immediate", **case.storage_class), **case.claim)
    [told] = until("an event that says why not", lambda: space.said("data", "ProvisioningFailed"))
    for words in case.words:
        assert words in told
    assert not space.volumes()
    assert not space.cluster.pvs(space.name)


def test_a_claim_is_met_once_what_was_missing_is_there(space: Space) -> None:
    parameters = {f"{SECRET}-name": "clouds", f"{SECRET}-namespace": space.name}
    space.claim("data", space.storage_class(binding="Immediate", parameters=parameters))
    until("an event that says what is missing", lambda: space.said("data", "ProvisioningFailed"))
    space.create("secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "clouds"}})
    space.bound("data")
