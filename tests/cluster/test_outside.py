"""The roles outside of the cluster, started from a shell: whole lives of volumes, and clouds that are not well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.cluster import until
from tests.cluster.outside import NODE, Outside
from tests.cluster.reports import report_path
from tests.cluster.space import CLAIMS, PODS, Space

NOBODY = "http://10.10.0.1:9/v3"


@pytest.fixture
def outside(space: Space, request: pytest.FixtureRequest) -> Iterator[Outside]:
    made = Outside(space, report_path(f"{request.node.name}.outside"))
    yield made
    made.stop()


def test_both_roles_serve_claims_and_pods_from_a_shell(space: Space, outside: Outside) -> None:
    outside.be_given_clouds(outside.good_clouds())
    outside.start_controller()
    outside.start_node()
    outside.until_ready()

    space.claim("data", space.storage_class(driver=outside.name))
    space.pod("user", "data", node=NODE)
    space.running("user")
    [volume] = space.volumes()
    assert volume["metadata"]["cinder.csi.openstack.org/cluster"] == space.name
    assert "controller_persistentvolumeclaim_provision_total" in outside.page("/metrics").text

    space.until_gone(PODS, "user")
    space.delete(CLAIMS, "data")
    space.until_nothing_is_left()


def test_a_controller_whose_cloud_is_not_well_stays_up_says_why_and_goes_on_once_it_is(
    space: Space, outside: Outside
) -> None:
    outside.start_controller()
    outside.start_node()
    outside.until_unready("clouds.yaml")
    space.claim("data", space.storage_class(driver=outside.name, binding="Immediate"))
    until("the claim's event says why not", lambda: "clouds.yaml" in " ".join(space.said("data", "Provisioning")))

    outside.be_given_clouds("clouds: {openstack: {auth: [}")
    outside.until_unready("clouds.yaml", "YAML")
    outside.be_given_clouds(outside.good_clouds().replace("password: devcloud", "password: sesame"))
    assert "sesame" not in outside.until_unready("credentials") + outside.said()
    outside.be_given_clouds(outside.good_clouds().replace("http://10.10.0.1:15000/v3", NOBODY))
    outside.until_unready(NOBODY)
    assert outside.page("/healthz") == (200, "ok\n")
    assert outside.runs
    assert not space.volumes()

    outside.be_given_clouds(outside.good_clouds())
    outside.until_ready()
    space.bound("data")
    space.delete(CLAIMS, "data")
    space.until_nothing_is_left()
