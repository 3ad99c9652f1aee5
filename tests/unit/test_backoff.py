from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from openstack_csi.backoff import Backoff, Deadline, delay, full_jitter, parse_retry_after


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_delay_never_exceeds_its_ceiling(failures: int, drawn: float) -> None:
    seconds = full_jitter(failures, start=1, maximum=300, draw=lambda: drawn)
    assert 0 <= seconds <= min(300, 2 ** min(failures, 9))


@given(st.integers(0, 100), st.floats(0, 1e6), st.floats(0, 1, exclude_max=True))
def test_retry_after_is_a_floor(failures: int, asked: float, drawn: float) -> None:
    assert asked <= delay(failures, asked, start=1, maximum=300, draw=lambda: drawn) <= asked + 1


def test_delays_grow_until_they_are_reset() -> None:
    backoff = Backoff(1, 10, draw=lambda: 1.0)
    assert [backoff.next() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    backoff.reset()
    assert backoff.next() == 1


def test_a_deadline_runs_on_the_clock_that_was_given() -> None:
    now = [100.0]
    deadline = Deadline.after(5, lambda: now[0])
    assert (deadline.left, deadline.passed) == (5, False)
    now[0] = 106
    assert (deadline.left, deadline.passed) == (0, True)


def test_retry_after_is_seconds_or_a_date_or_nothing() -> None:
    assert parse_retry_after("120") == 120
    assert parse_retry_after("Fri, 21 Nov 2026 12:00:30 GMT", now=lambda: 1795262400.0) == 30
    assert parse_retry_after("Fri, 20 Nov 2026 12:00:30 GMT", now=lambda: 1795262400.0) == 0
    assert parse_retry_after("soon") is None
    assert parse_retry_after(None) is None
