from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from openstack_csi.kube.rest import Rest
from tests.fakekube import FakeKube
from tests.unit.kube.helpers import FakeClock


@pytest.fixture
def kube() -> Iterator[FakeKube]:
    with FakeKube() as server:
        yield server


@pytest.fixture
def rest(kube: FakeKube) -> Rest:
    return Rest.at(kube.url)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def connected() -> Iterator[Callable[..., tuple[FakeKube, Rest]]]:
    """Start further servers with settings of the test's own."""
    servers: list[FakeKube] = []

    def start(**settings: Any) -> tuple[FakeKube, Rest]:
        servers.append(FakeKube(**settings))
        return servers[-1], Rest.at(servers[-1].url)

    yield start
    for server in servers:
        server.stop()
