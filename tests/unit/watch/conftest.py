from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from openstack_csi.watch.config import WatchConfig
from tests.unit.watch.world import World


@pytest.fixture
def world_with() -> Iterator[Callable[..., World]]:
    """Worlds with settings of the test's own, each with a node and the class `standard`."""
    worlds: list[World] = []

    def make(**settings: Any) -> World:
        worlds.append(World(WatchConfig(cluster="cluster-1", **settings)))
        worlds[-1].node("node-a")
        worlds[-1].storage_class()
        return worlds[-1]

    yield make
    for world in worlds:
        world.process.close()


@pytest.fixture
def world(world_with: Callable[..., World]) -> World:
    return world_with()
