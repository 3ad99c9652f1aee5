from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from openstack_csi.backoff import Backoff
from openstack_csi.kube.informer import Informer
from openstack_csi.kube.rest import Rest
from tests.fakekube import FakeKube
from tests.unit.kube.helpers import ALL_CLAIMS, CLAIMS, claim

Change = tuple[str, str | None, str | None]


def owner_of(item: dict[str, Any]) -> str:
    return (item["metadata"].get("labels") or {}).get("owner", "nobody")


class Follower:
    """An informer that keeps each claim's owner label, with what its handler heard."""

    def __init__(self, rest: Rest, *, first: Callable[..., None] | None, **settings: Any) -> None:
        self.changes: list[Change] = []
        self.heard = threading.Condition()
        settings.setdefault("backoff", Backoff(0.01, 0.1))
        self.informer = Informer(rest, ALL_CLAIMS, owner_of, name="claims", **settings)
        if first:
            self.informer.on_change(first)
        self.informer.on_change(self._hear)

    def _hear(self, key: str, old: str | None, new: str | None) -> None:
        with self.heard:
            self.changes.append((key, old, new))
            self.heard.notify_all()

    def start(self) -> None:
        self.informer.start()
        assert self.informer.wait_synced(10)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.heard:
            assert self.heard.wait_for(condition, 10), self.changes


@pytest.fixture
def follow(rest: Rest) -> Iterator[Callable[..., Follower]]:
    followers: list[Follower] = []

    def make(**settings: Any) -> Follower:
        settings = {"rest": rest, "first": None} | settings
        followers.append(Follower(**settings))
        return followers[-1]

    yield make
    for follower in followers:
        follower.informer.stop()


def owned(name: str, owner: str) -> dict[str, Any]:
    return claim(name, labels={"owner": owner})


def test_what_is_there_and_what_comes_is_told_in_order(kube: FakeKube, follow: Callable[..., Follower]) -> None:
    kube.create(CLAIMS, owned("a", "anna"))
    follower = follow()
    follower.start()
    assert follower.informer.get("default/a") == "anna"

    kube.create(CLAIMS, owned("b", "ben"))
    kube.patch(f"{CLAIMS}/b", {"metadata": {"labels": {"owner": "eve"}}})
    kube.delete(f"{CLAIMS}/a")
    follower.wait_for(lambda: len(follower.changes) == 4)
    assert follower.changes == [
        ("default/a", None, "anna"),
        ("default/b", None, "ben"),
        ("default/b", "ben", "eve"),
        ("default/a", "anna", None),
    ]
    assert follower.informer.values() == ["eve"]


def test_a_long_list_is_read_in_pages(kube: FakeKube, follow: Callable[..., Follower]) -> None:
    for i in range(1100):
        kube.create(CLAIMS, owned(f"c{i}", "x"))
    follower = follow()
    follower.start()
    assert len(follower.informer.values()) == 1100
    assert kube.calls["list", "persistentvolumeclaims"] == 3


def test_changes_that_the_slim_object_does_not_show_are_not_told(
    kube: FakeKube, follow: Callable[..., Follower]
) -> None:
    kube.create(CLAIMS, owned("a", "anna"))
    follower = follow()
    follower.start()
    kube.patch(f"{CLAIMS}/a", {"metadata": {"annotations": {"noise": "1"}}})
    kube.create(CLAIMS, owned("b", "ben"))
    follower.wait_for(lambda: len(follower.changes) == 2)
    assert follower.changes[1][0] == "default/b"


def test_a_selector_narrows_list_and_watch(kube: FakeKube, follow: Callable[..., Follower]) -> None:
    kube.create(CLAIMS, owned("a", "anna"))
    kube.create(CLAIMS, owned("b", "ben"))
    follower = follow(query={"labelSelector": "owner=ben"})
    follower.start()
    kube.patch(f"{CLAIMS}/a", {"metadata": {"labels": {"owner": "ben"}}})
    kube.patch(f"{CLAIMS}/b", {"metadata": {"labels": {"owner": "eve"}}})
    follower.wait_for(lambda: len(follower.changes) == 3)
    assert [change[0] for change in follower.changes] == ["default/b", "default/a", "default/b"]
    assert follower.informer.values() == ["ben"]


def test_deletions_and_new_owners_of_a_name_are_found_after_a_gap(
    kube: FakeKube, follow: Callable[..., Follower]
) -> None:
    kube.create(CLAIMS, owned("gone", "anna"))
    kube.create(CLAIMS, owned("again", "ben"))
    follower = follow()
    follower.start()
    kube.fail(verb="watch", status=503)
    kube.close_connections()
    kube.delete(f"{CLAIMS}/gone")
    kube.delete(f"{CLAIMS}/again")
    kube.create(CLAIMS, owned("again", "ben"))
    kube.compact()
    kube.heal()
    follower.wait_for(lambda: len(follower.changes) >= 5)
    assert sorted(follower.changes[2:], key=str) == sorted(
        [("default/gone", "anna", None), ("default/again", "ben", None), ("default/again", None, "ben")], key=str
    )


def test_a_failing_handler_stops_neither_the_others_nor_the_informer(
    kube: FakeKube, follow: Callable[..., Follower], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(key: str, old: str | None, new: str | None) -> None:
        raise RuntimeError("no")

    follower = follow(first=fail)
    follower.start()
    with caplog.at_level(logging.ERROR):
        kube.create(CLAIMS, owned("a", "anna"))
        kube.create(CLAIMS, owned("b", "ben"))
        follower.wait_for(lambda: len(follower.changes) == 2)
    assert "a handler failed" in caplog.text


@pytest.mark.parametrize("fault", [{"empty": True}, {"error_event": 500}, {"status": 500}, {"drop": "before"}])
def test_a_server_that_ends_every_watch_at_once_is_not_asked_in_a_hot_loop(
    fault: dict[str, Any], kube: FakeKube, follow: Callable[..., Follower]
) -> None:
    kube.fail(verb="watch", **fault)
    follower = follow(backoff=Backoff(0.06, 10, draw=lambda: 0.9))
    follower.start()
    time.sleep(0.3)  # opened at 0, 0.05, 0.16 and 0.38 s; a hot loop makes hundreds
    assert 2 <= kube.calls["watch", "persistentvolumeclaims"] <= 4


def test_a_watch_that_brought_news_is_opened_again_at_once(kube: FakeKube, follow: Callable[..., Follower]) -> None:
    kube.fail(verb="watch", close_every=1)
    follower = follow(backoff=Backoff(1000, 1000, draw=lambda: 1.0))
    follower.start()
    for i in range(5):
        kube.create(CLAIMS, owned(f"c{i}", "x"))
    follower.wait_for(lambda: len(follower.changes) == 5)


def test_a_busy_server_is_left_alone_as_long_as_it_asks(kube: FakeKube, follow: Callable[..., Follower]) -> None:
    kube.fail(verb="list", status=429, retry_after=1, times=1)
    follower = follow()
    begun = time.monotonic()
    follower.start()
    assert time.monotonic() - begun >= 1
    assert kube.calls["list", "persistentvolumeclaims"] == 2


def test_a_dead_peer_is_noticed_and_replaced(kube: FakeKube, follow: Callable[..., Follower]) -> None:
    kube.fail(verb="watch", mute=True, times=1)
    follower = follow(silence=0.2)
    follower.start()
    kube.create(CLAIMS, owned("a", "anna"))
    follower.wait_for(lambda: len(follower.changes) == 1)
    assert kube.calls["list", "persistentvolumeclaims"] == 1


def test_bookmarks_keep_the_lag_small_and_the_version_fresh(
    connected: Callable[..., tuple[FakeKube, Rest]], follow: Callable[..., Follower]
) -> None:
    kube, rest = connected(bookmark_seconds=0.05)
    follower = follow(rest=rest)
    follower.start()
    for i in range(20):
        kube.create("/api/v1/nodes", {"metadata": {"name": f"n{i}"}})
    version = str(kube.store.version)
    _eventually(lambda: follower.informer._version == version)
    assert follower.informer.lag() < 5


def test_a_version_that_is_refused_for_ever_is_given_up(kube: FakeKube, follow: Callable[..., Follower]) -> None:
    kube.fail(verb="watch", status=504, times=3)
    follower = follow()
    follower.start()
    kube.create(CLAIMS, owned("a", "anna"))
    follower.wait_for(lambda: len(follower.changes) == 1)
    assert kube.calls["list", "persistentvolumeclaims"] == 2


def test_stop_is_quick_and_final(kube: FakeKube, follow: Callable[..., Follower]) -> None:
    follower = follow()
    follower.start()
    _eventually(lambda: kube.open_watches("persistentvolumeclaims") == 1)
    begun = time.monotonic()
    follower.informer.stop()
    assert time.monotonic() - begun < 1
    kube.create(CLAIMS, owned("a", "anna"))
    assert follower.changes == []


@pytest.mark.parametrize("seed", range(3))
def test_the_copy_converges_whatever_goes_wrong(seed: int, kube: FakeKube, follow: Callable[..., Follower]) -> None:
    chance = random.Random(seed)
    kube.fail(verb="list", chance=0.3, status=500)
    kube.fail(verb="watch", chance=0.1, status=500)
    kube.fail(verb="watch", chance=0.1, error_event=410)
    kube.fail(verb="watch", chance=0.1, status=410)
    kube.fail(verb="watch", chance=0.1, drop="before")
    kube.fail(verb="watch", chance=0.5, close_every=3)
    kube.fail(verb="watch", duplicate=True)
    follower = follow()
    follower.start()
    for step in range(600):
        name = f"c{chance.randrange(30)}"
        _change_something(kube, name, chance)
        if step % 100 == 50:
            kube.close_connections()
        if step % 200 == 150:
            kube.compact()
        if step % 5 == 0:
            time.sleep(0.001)  # lets events come in more than one batch
    kube.heal()
    kube.create(CLAIMS, owned("last", "last"))
    follower.wait_for(lambda: ("default/last", None, "last") in follower.changes)
    assert {f"default/{item['metadata']['name']}": owner_of(item) for item in kube.list(ALL_CLAIMS)} == (
        _replayed(follower.changes)
    )
    assert sorted(_replayed(follower.changes).values()) == sorted(follower.informer.values())


def _change_something(kube: FakeKube, name: str, chance: random.Random) -> None:
    if name not in {item["metadata"]["name"] for item in kube.list(ALL_CLAIMS)}:
        kube.create(CLAIMS, owned(name, str(chance.random())))
    elif chance.random() < 0.3:
        kube.delete(f"{CLAIMS}/{name}")
    else:
        kube.patch(f"{CLAIMS}/{name}", {"metadata": {"labels": {"owner": str(chance.random())}}})


def _replayed(changes: list[Change]) -> dict[str, str]:
    """What a handler knows that believed every change; each must continue what was told before."""
    known: dict[str, str] = {}
    for key, old, new in changes:
        assert known.get(key) == old, (key, old, new)
        known.pop(key, None)
        if new is not None:
            known[key] = new
    return known


def _eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
