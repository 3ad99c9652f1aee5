"""What a volume type, as Cinder shows it to a user, says about sharing."""

from __future__ import annotations

from typing import Any

import pytest

from openstack_csi.backends.cinder_limits import is_multiattach


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ({"extra_specs": {"multiattach": "<is> True"}}, True),
        ({"extra_specs": {"multiattach": "<is>true", "replication_enabled": "<is> False"}}, True),
        ({"extra_specs": {"multiattach": "<is> False"}}, False),
        ({"extra_specs": {"replication_enabled": "<is> True"}}, False),
        ({"extra_specs": {}}, False),
        ({}, None),
    ],
)
def test_a_type_is_for_one_server_unless_it_says_otherwise_or_is_hidden(
    shown: dict[str, Any], expected: bool | None
) -> None:
    assert is_multiattach({"name": "fast", **shown}) is expected
