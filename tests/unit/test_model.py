"""The domain's nouns, where they have a rule of their own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from openstack_csi.model import zone_label


@given(st.text())
def test_a_zone_becomes_a_value_that_kubernetes_takes_as_a_label(zone: str) -> None:
    value = zone_label(zone)
    assert len(value) <= 63
    assert value == value.strip("-_.")
    assert all(c.isascii() and (c.isalnum() or c in "-_.") for c in value)


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", fullmatch=True))
def test_a_zone_that_is_a_label_already_stays_as_it_is(zone: str) -> None:
    assert zone_label(zone) == zone
