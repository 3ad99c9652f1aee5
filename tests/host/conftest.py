from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.machine import Machine, why_not_here


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    reason = why_not_here()
    if reason:
        pytest.skip(reason)
    made = Machine(tmp_path)
    yield made
    made.tear_down()
