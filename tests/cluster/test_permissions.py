"""At the end of the run: the manifests' RBAC was enough for all of it."""

from __future__ import annotations

import re

import pytest

from tests.cluster.driver_logs import DriverLogs

FORBIDDEN = re.compile(r"\(403\)|[Ff]orbidden")
ENDING = "because it is being terminated"  # an event about an object whose namespace is being deleted


def test_nothing_that_the_driver_asked_of_kubernetes_was_forbidden(driver_logs: DriverLogs) -> None:
    said = driver_logs.since(0.0)
    if not said:
        pytest.skip("the driver was not used in this run")
    assert not [line for line in said if FORBIDDEN.search(line) and ENDING not in line]


def test_the_driver_met_no_bug_of_its_own(driver_logs: DriverLogs) -> None:
    assert not [line for line in driver_logs.since(0.0) if "traceback=" in line or "This is a bug" in line]
