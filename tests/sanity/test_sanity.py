"""csi-sanity, the CSI project's own test of a driver, against both roles. What it skips is told, case by case."""

from __future__ import annotations

from pathlib import Path

import pytest

from openstack_csi.backends.cinder_request import CLUSTER_KEY
from tests.contract.site import Site
from tests.contract.world import World
from tests.sanity.rig import Rig

SKIPPED = Path(__file__).with_name("skipped.txt")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("access_type", ["mount", "block"])
def test_csi_sanity_finds_nothing_and_skips_what_is_not_offered(
    rig: Rig, site: Site, program: Path, access_type: str
) -> None:
    report = rig.sanity(program, access_type)
    assert not report.failed, "\n".join([*(f"{n}\n    {w}" for n, w in report.failed.items()), rig.words()])
    assert report.passed
    assert sorted(report.skipped) == sorted(not_offered())
    world = World(site)
    left = [volume["name"] for volume in world.marked(CLUSTER_KEY, rig.cluster)]
    world.close()
    assert left == []


def not_offered() -> list[str]:
    """The cases of skipped.txt: each line a capability, a colon and the case that needs it."""
    lines = [line for line in SKIPPED.read_text().splitlines() if line and not line.startswith("#")]
    return [line.partition(": ")[2] for line in lines]
