"""The running bed, the driver in it, and for each test a place of its own.

The driver is installed once, from the manifests and one Secret, and stays as it is. What a failed test needs to be
understood (objects, events, what the driver said meanwhile) is in build/cluster-logs/<test>.txt; all that the driver
said in the run is in driver.txt beside it.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator

import pytest

from tests.cluster.cinder import Cinder
from tests.cluster.cluster import Cluster
from tests.cluster.driver import NAMESPACE, Driver
from tests.cluster.driver_logs import DriverLogs
from tests.cluster.reports import report_path, written_down
from tests.cluster.space import Space
from tests.demo.site import CHECKOUT
from tests.testbed.bed import Bed

ORDER = ("claims", "bad_input", "pods", "outside", "many", "restarts", "power_cut", "permissions")
"""Cheap ones first; what looks at the whole run last."""

LONGEST_TEST = 300.0
"""Seconds for a test with all its waits; each wait has an end of its own that says what was waited for."""

began = pytest.StashKey[float]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [each for each in items if each.path.parent.name == "cluster"]
    rest = [each for each in items if each not in ours]
    for each in ours:
        each.add_marker(pytest.mark.timeout(LONGEST_TEST))
    items[:] = rest + sorted(ours, key=lambda each: ORDER.index(each.path.stem.removeprefix("test_")))


def pytest_runtest_setup(item: pytest.Item) -> None:
    item.stash[began] = time.monotonic()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed says where to look: before its things are removed, what there is to see is written down."""
    report = yield
    arguments = getattr(item, "funcargs", {})
    if report.failed and report.when == "call" and "space" in arguments and "driver_logs" in arguments:
        said = arguments["driver_logs"].since(item.stash[began])
        path = written_down(item.name, arguments["space"], said)
        report.sections.append(("cluster", f"objects, events and the driver's logs: {path.relative_to(CHECKOUT)}"))
    return report


@pytest.fixture(scope="session")
def bed() -> Bed:
    """The test bed; it is not for pytest to start it."""
    found = Bed()
    if not found.nodes or not found.processes.alive("kube-apiserver"):
        pytest.fail("the test bed does not run: python -m tests.suite cluster, or python -m tests.testbed up", False)
    return found


@pytest.fixture(scope="session")
def cluster(bed: Bed) -> Cluster:
    return Cluster(bed)


@pytest.fixture(scope="session")
def cinder(bed: Bed) -> Cinder:
    return Cinder(bed.layout)


@pytest.fixture(scope="session")
def driver_logs(bed: Bed) -> Iterator[DriverLogs]:
    logs = DriverLogs(bed.layout.state, NAMESPACE)
    logs.start()
    yield logs
    logs.stop()
    report_path("driver").write_text("\n".join(logs.since(0.0)) + "\n")


@pytest.fixture(scope="session")
def driver(cluster: Cluster, driver_logs: DriverLogs) -> Driver:
    """The driver, installed from its manifests and ready on every node."""
    installed = Driver(cluster)
    installed.be_installed()
    return installed


@pytest.fixture
def space(cluster: Cluster, cinder: Cinder, driver: Driver, driver_logs: DriverLogs) -> Iterator[Space]:
    """A namespace of the test's own, and the end of everything in it."""
    made = Space(cluster, cinder)
    yield made
    made.clear()
