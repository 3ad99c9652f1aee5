from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from openstack_csi.backends.cinder_request import CLUSTER_KEY
from tests.contract.site import FakeSite, RealSite, Site, site_of
from tests.contract.world import World
from tests.sanity.hardware import Hardware
from tests.sanity.rig import Rig
from tests.testbed import builds
from tests.testbed.layout import Layout
from tests.testbed.progress import Progress

SERVER = "sanity"


@pytest.fixture(scope="session")
def program() -> Path:
    """The csi-sanity program; built when it is not in the cache, which needs a network."""
    layout = Layout.of()
    return builds.csi_sanity(layout, Progress(layout.durations))


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The cloud that --cloud names. One that was asked for and does not answer fails the tests."""
    # Few disks: csi-sanity attaches one after the other until no more fit.
    with site_of(request.config.getoption("--cloud"), tmp_path_factory.mktemp("cloud"), max_disks=5) as made:
        yield made


@pytest.fixture
def rig(site: Site, tmp_path: Path) -> Iterator[Rig]:
    """A controller and a node for a server of that cloud. What csi-sanity leaves in the cloud is removed."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for loop devices and mounts")
    with ExitStack() as stack:
        server = site.server(SERVER)
        world = World(site)
        stack.callback(world.close)
        made = Rig(site, server, _links(site, server, tmp_path, stack), tmp_path / "rig")
        stack.callback(world.clear, CLUSTER_KEY, made.cluster)
        yield stack.enter_context(made)


def _links(site: Site, server: str, folder: Path, stack: ExitStack) -> Path:
    """Where the server's disks are linked by id."""
    if isinstance(site, FakeSite):
        return stack.enter_context(Hardware(site.cloud, server, folder / "hardware")).links
    assert isinstance(site, RealSite)
    return site.directory(SERVER) / "dev/disk/by-id"
