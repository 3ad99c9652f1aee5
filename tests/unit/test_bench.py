"""The benchmarks' verdicts: what is a broken promise, and what is only slow."""

from __future__ import annotations

from collections import Counter

from tests.bench.calls import ACTS, broken
from tests.bench.figures import Book, table
from tests.bench.lives import Life


def life() -> Life:
    """Fifty volumes' life as it should be."""
    calls = {phase: Counter({act: 50, "GET volumes/detail": 6}) for phase, act in ACTS.items()}
    return Life(50, calls=calls, idle_calls=Counter())


def test_one_act_for_each_volume_and_shared_looks_are_what_is_promised() -> None:
    assert broken(life()) == []


def test_an_act_too_many_or_too_few_breaks_the_promise() -> None:
    for number in (49, 51):
        found = life()
        found.calls["attach"][ACTS["attach"]] = number
        assert broken(found) == [f"attach of 50 volumes: POST os-volume_attachments × {number}"]
    found = life()
    del found.calls["delete"][ACTS["delete"]]
    assert broken(found) == ["delete of 50 volumes: no DELETE volumes/{id}"]


def test_a_look_for_each_volume_breaks_the_promise() -> None:
    found = life()
    found.calls["create"]["GET volumes/{id}"] = 50
    assert broken(found) == ["create of 50 volumes: GET volumes/{id} × 50"]


def test_a_call_while_nothing_is_wanted_breaks_the_promise() -> None:
    found = life()
    found.idle_calls = Counter({"GET volumes/detail": 1})
    assert broken(found) == ["calls while idle: {'GET volumes/detail': 1}"]


def test_the_table_shows_the_median_beside_the_aim_and_the_go_stack() -> None:
    book = Book()
    for seconds in (3.1, 3.3, 3.5):
        book.add("detach, 1", seconds, "s")
    row = table(book.figures).splitlines()[-1].split()
    assert row == ["detach,", "1", "3.30", "3.10", "–", "3.50", "3", "s", "≤", "3.2", "missed", "4.03"]
