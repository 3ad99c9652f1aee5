"""A fake cloud whose time stands still, and openstacksdk connected to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openstack
import pytest

from tests.fakecloud import Config, FakeClock, FakeCloud, Timings


@dataclass
class Bed:
    """One cloud, its clock, and a connection of the user demo."""

    cloud: FakeCloud
    clock: FakeClock
    conn: Any

    def connect(self, name: str) -> Any:
        return connect(self.cloud, name)


def connect(cloud: FakeCloud, name: str = "demo") -> Any:
    """openstacksdk, as any user of a clouds.yaml gets it."""
    spec = cloud.clouds()["clouds"][name]
    return openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        **spec,
        block_storage_default_microversion="3.70",
        compute_default_microversion="2.96",
    )


@pytest.fixture
def bed() -> Iterator[Bed]:
    """Create takes 2 s, attach 3 s, detach 2 s, delete 1 s on the fake clock."""
    clock = FakeClock()
    timings = Timings(create=2, attach=3, detach=2, delete=1, extend=1, delete_server=1)
    with FakeCloud(Config(timings=timings, seed=1), clock=clock) as cloud:
        conn = connect(cloud)
        yield Bed(cloud, clock, conn)
        conn.close()
