"""When to look: soon enough to see an end at once, seldom enough to cost next to nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openstack_csi.cloud.pace import EARLY, LONGEST, SHORTEST, learnt, next_look

SECONDS = st.floats(0.0, 600.0)


def looks_for(takes: float, usual: float | None) -> tuple[int, float]:
    """How many looks an act costs that takes so long, and when its end was seen."""
    at, looks = float("-inf"), 0
    while at < takes:
        at, looks = next_look(usual, 0.0, at), looks + 1
    return looks, at


@given(usual=st.none() | SECONDS, began=SECONDS, looked=SECONDS)
def test_looks_are_neither_too_close_nor_too_far_apart(usual: float | None, began: float, looked: float) -> None:
    latest = max(began, looked)
    pause = next_look(usual, began, looked) - latest
    is_the_first = usual is not None and latest + pause == pytest.approx(began + EARLY * usual)
    assert pause <= LONGEST + 1e-6
    assert pause >= SHORTEST - 1e-6 or is_the_first


@pytest.mark.parametrize("takes", [1.0, 2.0, 3.0])
def test_an_end_at_the_usual_time_is_seen_at_once_and_costs_two_looks(takes: float) -> None:
    looks, seen = looks_for(takes, takes)
    assert (looks <= 2, seen <= takes + 0.1) == (True, True)


def test_an_end_that_is_long_overdue_costs_few_looks() -> None:
    looks, seen = looks_for(60.0, 3.0)
    assert (looks < 35, seen < 65) == (True, True)


def test_while_nothing_is_learnt_an_end_is_seen_a_quarter_late_at_most() -> None:
    for takes in (0.2, 1.0, 3.0, 10.0):
        assert looks_for(takes, None)[1] <= max(0.25, takes * 1.25)


def test_a_cloud_that_became_faster_is_noticed() -> None:
    usual: float | None = None
    for takes in (4.0,) * 3 + (2.0,) * 30:
        usual = learnt(usual, looks_for(takes, usual)[1])
    assert usual is not None
    assert usual <= 2.2


@given(usual=st.floats(0.1, 100.0), took=st.floats(0.1, 10_000.0))
def test_one_stuck_act_does_not_spoil_what_was_learnt(usual: float, took: float) -> None:
    assert learnt(usual, took) <= min(max(took, usual), 1.25 * usual + 1e-9)
