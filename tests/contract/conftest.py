from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openstack_csi.cloud import pace
from tests.contract.answers import Answer, keep
from tests.contract.driver import Driver
from tests.contract.site import Site, site_of
from tests.contract.world import World

ONLY = {"test_faults.py": "fake", "test_likeness.py": "real"}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    cloud = config.getoption("--cloud")
    return ONLY.get(collection_path.name, cloud) != cloud or None


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The cloud that --cloud names. One that was asked for and does not answer fails the tests."""
    with site_of(request.config.getoption("--cloud"), tmp_path_factory.mktemp("cloud")) as made:
        yield made


@pytest.fixture(scope="session", autouse=True)
def quick_board(site: Site) -> Iterator[None]:
    """On the fake, where nothing takes long, the board looks five times as often, so that its tests take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        if site.name == "fake":
            for name in ("FIRST", "SHORTEST"):
                patch.setattr(pace, name, getattr(pace, name) / 5)
        yield


@pytest.fixture(scope="session")
def world(site: Site) -> Iterator[World]:
    made = World(site)
    yield made
    made.close()


@pytest.fixture(scope="session")
def answers(site: Site) -> Iterator[dict[str, Answer]]:
    """The answers so far by case, kept in a file at the end."""
    found: dict[str, Answer] = {}
    yield found
    if found:
        keep(site.name, found)


@pytest.fixture
def drivers(world: World) -> Iterator[Callable[..., Driver]]:
    """Makes drivers of one cluster that is this test's own; its volumes are removed in the end."""
    cluster = f"contract-{uuid.uuid4()}"
    made: list[Driver] = []

    def make(**settings: Any) -> Driver:
        made.append(Driver(world, cluster, **settings))
        return made[-1]

    yield make
    if made:
        made[0].clear()


@pytest.fixture
def driver(drivers: Callable[..., Driver]) -> Driver:
    return drivers()


@pytest.fixture
def leader(drivers: Callable[..., Driver]) -> Driver:
    """A driver that alone makes this cluster's volumes, as the controller that leads does."""
    return drivers(alone=True)
