"""A cloud to run the same tests on: the fake one, or the test bed's real OpenStack.

Everything that a test does goes through the cloud's own HTTP API, which is the same on both. What differs is here: how
the cloud is found, how a server comes to be, and how something is made slow or made to fail.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.fakecloud import Config, FakeCloud, Quota, StateFault, Timings
from tests.testbed.layout import Layout
from tests.testbed.openstack import bed

OPERATIONS = {
    "create": "create_volume",
    "delete": "delete_volume",
    "attach": "attach_volume",
    "detach": "detach_volume",
}
"""What can be made slow or made to fail, and what the real back ends call it."""

PACE = 0.4
"""The fake is looked at quicker than the real cloud, so what is slow there need not be as slow."""


class Site(Protocol):
    """The cloud, and what can be done to it beside its API."""

    name: str
    clouds_file: Path
    max_disks: int
    """Disks that a server can have, its root disk included."""
    patience: float
    """Seconds after which something that should happen will not any more."""

    def server(self, name: str, zone: str = "az1") -> str:
        """The id of an active server of that name in project demo; made when it is not there."""

    def slow(self, operation: str, seconds: float, volume: str) -> None:
        """Let the next such operation on that volume take so long; picked by id, or at a create by name."""

    def fail(self, operation: str, volume: str) -> None:
        """Let the next such operation on that volume fail."""


class FakeSite:
    """The fake cloud with the real one's quota and limits; changes take a moment, so that states are seen."""

    name = "fake"
    patience = 10.0

    def __init__(self, cloud: FakeCloud, folder: Path) -> None:
        self.cloud = cloud
        self.max_disks = cloud.config.max_disks
        self.clouds_file = folder / "clouds.yaml"
        cloud.write_clouds_yaml(self.clouds_file)

    def server(self, name: str, zone: str = "az1") -> str:
        known = (s.id for s in self.cloud.state.servers.values() if s.name == name)
        return next(known, None) or self.cloud.add_server(name, zone).id

    def slow(self, operation: str, seconds: float, volume: str) -> None:
        self.cloud.faults.add(
            StateFault(operation=_operation(operation), outcome="slow", seconds=seconds * PACE, volume=volume, times=1)
        )

    def fail(self, operation: str, volume: str) -> None:
        self.cloud.faults.add(StateFault(operation=_operation(operation), outcome="error", volume=volume, times=1))


class RealSite:
    """The OpenStack of the test bed. It runs in a network namespace; so must we."""

    name = "real"
    patience = 120.0
    max_disks = 27

    def __init__(self) -> None:
        self._state = Layout.of().openstack
        told = os.environ.get("OS_CLIENT_CONFIG_FILE")
        self.clouds_file = Path(told) if told else bed.clouds_yaml(self._state)

    def server(self, name: str, zone: str = "az1") -> str:
        return bed.ensure_server(self._state, name, zone).id

    def directory(self, name: str, zone: str = "az1") -> Path:
        """Where the server's disks and metadata are."""
        return bed.ensure_server(self._state, name, zone).directory

    def slow(self, operation: str, seconds: float, volume: str) -> None:
        bed.inject(self._state, OPERATIONS[operation], delay=seconds, match=volume)

    def fail(self, operation: str, volume: str) -> None:
        bed.inject(self._state, OPERATIONS[operation], error="made to fail", match=volume)


@contextmanager
def fake_site(folder: Path, max_disks: int = 27) -> Iterator[FakeSite]:
    """A fake cloud while it is needed."""
    moment = Timings(create=0.05, delete=0.05, attach=0.05, detach=0.05)
    quota = Quota(volumes=500, gigabytes=5000, snapshots=500)
    config = Config(timings=moment, quota=quota, max_disks=max_disks)
    with FakeCloud(config) as cloud:
        yield FakeSite(cloud, folder)


@contextmanager
def site_of(cloud: str, folder: Path, max_disks: int = 27) -> Iterator[Site]:
    """The cloud that --cloud names; the fake one's servers take so many disks."""
    if cloud == "real":
        yield RealSite()
    else:
        with fake_site(folder, max_disks) as made:
            yield made


def _operation(name: str) -> str:
    if name not in OPERATIONS:
        raise ValueError(f"no such operation: {name}")
    return name
