from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from openstack_csi.host.inotify import Watch


def link(place: Path) -> None:
    place.symlink_to("/dev/null")


def renamed(place: Path) -> None:
    made = place.parent.parent / "made"
    made.touch()
    made.rename(place)


@pytest.mark.parametrize("appear", [link, renamed])
def test_a_waiter_wakes_when_something_appears(tmp_path: Path, appear: Callable[[Path], None]) -> None:
    (tmp_path / "watched").mkdir()
    with Watch(tmp_path / "watched") as changes:
        began = time.monotonic()
        threading.Thread(target=appear, args=[tmp_path / "watched" / "new"]).start()
        changes.wait(30)
    assert time.monotonic() - began < 20


def test_what_appeared_before_the_wait_is_not_missed(tmp_path: Path) -> None:
    with Watch(tmp_path) as changes:
        link(tmp_path / "new")
        began = time.monotonic()
        changes.wait(30)
    assert time.monotonic() - began < 20


def test_a_directory_that_does_not_exist_yet_is_watched_through_its_parent(tmp_path: Path) -> None:
    with Watch(tmp_path / "disk" / "by-id") as changes:
        (tmp_path / "disk").mkdir()
        began = time.monotonic()
        changes.wait(30)
    assert time.monotonic() - began < 20


def test_a_wait_ends_without_an_event(tmp_path: Path) -> None:
    with Watch(tmp_path) as changes:
        changes.wait(0.01)
        changes.wait(-1)
