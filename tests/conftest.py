"""What the suites share: the option that says which cloud they run on. `tests/unit` needs none of it."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cloud",
        choices=("fake", "real"),
        default="fake",
        help="run tests/contract and tests/sanity on the fake cloud, or on the test bed's real OpenStack",
    )
