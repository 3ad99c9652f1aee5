"""The board: who is woken when, by which calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from openstack_csi.cloud.board import Board
from openstack_csi.cloud.sightings import Plan, plan


@dataclass(frozen=True)
class Thing:
    id: str
    name: str
    status: str
    foreign: bool = False


class World:
    """A cloud with a clock: each look takes a second, and counts."""

    def __init__(self) -> None:
        self.now = 100.0
        self.things: dict[str, Thing] = {}
        self.calls: list[str] = []
        self.fresh: set[str] = set()
        self.tells_changes = True

    def clock(self) -> float:
        return self.now

    def set(self, thing: Thing) -> None:
        self.things[thing.id] = thing
        self.fresh.add(thing.id)

    def remove(self, thing_id: str) -> None:
        del self.things[thing_id]

    def one(self, object_id: str) -> Thing | None:
        self._call(f"one {object_id}")
        return self.things.get(object_id)

    def all(self) -> list[Thing]:
        self._call("all")
        self.fresh.clear()
        return [t for t in self.things.values() if not t.foreign]

    def changed(self) -> list[Thing] | None:
        if not self.tells_changes:
            return None
        self._call("changed")
        fresh, self.fresh = self.fresh, set()
        return [t for t in self.things.values() if t.id in fresh and not t.foreign]

    def deleting(self) -> set[str]:
        self._call("deleting")
        return {t.id for t in self.things.values() if t.status == "deleting" and not t.foreign}

    def _call(self, what: str) -> None:
        self.calls.append(what)
        self.now += 1


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def board(world: World) -> Board[Thing]:
    return Board(world, name="things", clock=world.clock, ours=lambda t: not t.foreign, spawn=lambda run, name: None)


class Woken:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def waits(board: Board[Thing], thing_id: str, *, gone: bool = False) -> Woken:
    woken = Woken()
    board.wake_on_change(thing_id, woken, seen=board.sighting(thing_id), gone=gone)
    return woken


def made(world: World, board: Board[Thing], count: int, status: str) -> list[Thing]:
    things = [Thing(f"id-{i}", f"name-{i}", status) for i in range(count)]
    for thing in things:
        world.set(thing)
        board.put(thing, world.now)
    board.be_complete(world.now)
    world.now += 1
    world.calls.clear()
    return things


def test_one_waiter_costs_one_look_at_its_object(world: World, board: Board[Thing]) -> None:
    (thing,) = made(world, board, 1, "creating")
    woken = waits(board, thing.id)
    board.tick()
    assert (world.calls, woken.times) == (["one id-0"], 0)
    world.set(replace(thing, status="available"))
    board.tick()
    assert woken.times == 1


def test_a_thousand_waiters_cost_one_list(world: World, board: Board[Thing]) -> None:
    things = made(world, board, 1000, "creating")
    woken = [waits(board, t.id) for t in things]
    for thing in things:
        world.set(replace(thing, status="available"))
    board.tick()
    assert world.calls == ["changed"]
    assert [w.times for w in woken] == [1] * 1000


def test_a_waiter_is_woken_once(world: World, board: Board[Thing]) -> None:
    (thing,) = made(world, board, 1, "creating")
    woken = waits(board, thing.id)
    for status in ("downloading", "available"):
        world.set(replace(thing, status=status))
        board.look(thing.id)
    assert woken.times == 1


def test_a_change_between_the_decision_and_the_waiting_is_not_missed(world: World, board: Board[Thing]) -> None:
    (thing,) = made(world, board, 1, "creating")
    seen = board.sighting(thing.id)
    world.set(replace(thing, status="available"))
    board.look(thing.id)
    woken = Woken()
    board.wake_on_change(thing.id, woken, seen=seen)
    assert woken.times == 1


def test_who_has_acted_is_woken_by_any_later_look_though_nothing_changed(world: World, board: Board[Thing]) -> None:
    (thing,) = made(world, board, 1, "available")
    woken = Woken()
    board.wake_on_change(thing.id, woken, seen=None)
    assert woken.times == 0
    board.tick()
    assert woken.times == 1


def test_many_deletions_are_seen_by_two_lists(world: World, board: Board[Thing]) -> None:
    things = made(world, board, 50, "deleting")
    woken = [waits(board, t.id, gone=True) for t in things]
    for thing in things[:20]:
        world.remove(thing.id)
    board.tick()
    assert world.calls == ["deleting", "changed"]
    assert sum(w.times for w in woken) == 20
    assert all((s := board.sighting(t.id)) is not None and s.kept is None for t in things[:20])


def test_a_deletion_that_failed_between_the_two_lists_is_not_taken_for_gone(world: World, board: Board[Thing]) -> None:
    things = made(world, board, 3, "deleting")
    for thing in things:
        waits(board, thing.id, gone=True)
    listed: Callable[[], set[str]] = world.deleting

    def fails_right_after_the_list() -> set[str]:
        found = listed() - {"id-0"}
        world.set(replace(things[0], status="error_deleting"))
        return found

    world.deleting = fails_right_after_the_list  # type: ignore[method-assign]
    board.tick()
    sighting = board.sighting("id-0")
    assert sighting is not None
    assert sighting.kept == replace(things[0], status="error_deleting")


def test_a_list_that_began_before_the_create_answered_does_not_hide_the_created(
    world: World, board: Board[Thing]
) -> None:
    listed = world.all
    created = Thing("id-9", "name-9", "creating")

    def create_answers_while_the_list_is_on_its_way() -> list[Thing]:
        found = listed()
        board.put(created, world.now)
        return found

    world.all = create_answers_while_the_list_is_on_its_way  # type: ignore[method-assign]
    board.be_complete(world.now)
    assert board.named("name-9") == [created]


def test_an_object_that_left_the_full_list_is_gone(world: World, board: Board[Thing]) -> None:
    (thing,) = made(world, board, 1, "available")
    world.remove(thing.id)
    board.be_complete(world.now)
    assert board.named(thing.name) == []


def test_a_foreign_object_is_never_taken_for_gone_because_no_list_shows_it(world: World, board: Board[Thing]) -> None:
    made(world, board, 5, "creating")
    foreign = Thing("other", "theirs", "deleting", foreign=True)
    world.set(foreign)
    board.look("other")
    for thing_id in ("other", "id-0", "id-1", "id-2"):
        waits(board, thing_id, gone=True)
    board.be_complete(world.now)
    board.tick()
    sighting = board.sighting("other")
    assert sighting is not None
    assert sighting.kept == foreign


def test_who_needs_every_name_is_woken_by_a_list_that_began_later(world: World, board: Board[Thing]) -> None:
    woken = Woken()
    board.wake_when_complete(world.now, woken)
    board.tick()
    assert (world.calls, woken.times) == (["all"], 1)


def test_a_cloud_that_cannot_list_changes_is_listed_whole(world: World, board: Board[Thing]) -> None:
    things = made(world, board, 5, "creating")
    world.tells_changes = False
    woken = [waits(board, t.id) for t in things]
    for thing in things:
        world.set(replace(thing, status="available"))
    board.tick()
    assert world.calls == ["all"]
    assert [w.times for w in woken] == [1] * 5


def test_what_an_act_took_is_when_the_next_of_its_kind_is_looked_for(world: World, board: Board[Thing]) -> None:
    first, second = made(world, board, 2, "available")
    board.acted(first.id, "attach")
    waits(board, first.id)
    world.now += 10
    world.set(replace(first, status="in-use"))
    board.tick()
    board.settled(first.id)

    began = world.now
    board.acted(second.id, "attach")
    waits(board, second.id)
    assert began + 4 < board.next_look() <= began + 5
    board.acted(second.id, "detach")
    assert board.next_look() == began + 0.25


def test_the_most_impatient_waiter_sets_the_pace(world: World, board: Board[Thing]) -> None:
    old, new = made(world, board, 2, "creating")
    waits(board, old.id)
    world.now += 60
    board.tick()
    waits(board, old.id)
    late = board.next_look()
    waits(board, new.id)
    assert world.now < board.next_look() < late


def test_who_needs_every_name_does_not_wait_for_the_pace(world: World, board: Board[Thing]) -> None:
    board.wake_when_complete(world.now, Woken())
    assert board.next_look() == world.now


def test_the_plan_asks_for_no_more_than_is_waited_for() -> None:
    assert plan([], [], False, False, True) == Plan()
    assert plan(["a", "b"], [], False, False, True) == Plan(one_by_one=("a", "b"))
    assert plan(["a", "b", "c"], ["x"], True, False, True) == Plan(one_by_one=("x",), changes=True, deletions=True)
    assert plan(["a"], [], False, True, True) == Plan(everything=True)
