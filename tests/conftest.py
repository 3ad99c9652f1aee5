"""What the suites share: the option that says which cloud they run on. `tests/unit` needs none of it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# These machines are shared: an example that takes long says nothing of the code.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cloud",
        choices=("fake", "real"),
        default="fake",
        help="run tests/contract and tests/sanity on the fake cloud, or on the test bed's real OpenStack",
    )
