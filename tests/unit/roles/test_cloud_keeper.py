"""Whether the cloud is well: told of what happened, not asked for again and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from openstack_csi.cloud.connection import Clouds
from openstack_csi.roles.cloud import CloudKeeper
from openstack_csi.roles.process import Stop
from tests.fakecloud import FakeCloud

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


def test_a_controller_is_ready_again_as_soon_as_any_call_went_well(tmp_path: Path) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text("clouds: [")
    cloud = Clouds(path, "demo").get()
    keeper = CloudKeeper(cloud, Stop())
    keeper.look()
    assert "is not YAML" in keeper()

    with FakeCloud() as fake:
        fake.write_clouds_yaml(path)
        assert "is not YAML" in keeper()
        cloud.request("block_storage", "GET", "/limits", kind="limits_get", what="somebody's call")
        assert keeper() == ""


def test_a_cloud_that_nobody_has_reached_yet_is_not_ready(tmp_path: Path) -> None:
    keeper = CloudKeeper(Clouds(tmp_path / "clouds.yaml").get(), Stop())
    assert keeper() == "not reached yet"
