"""The board: what is known of the cloud's objects, and one look for everybody who waits.

Steps put what they see on the board (the answer of a create, of a look); a thread keeps it fresh while somebody waits,
and only then. Each tick is planned (`sightings.plan`, a pure function): one GET for one or two waited-for objects; for
more, one list of what changed since the last tick, and one of what is being deleted when deletions are waited for
(the deleted are in no list); a full list when the index of names is wanted or the cloud cannot list by change. Steps
tell what they have set going and that they found its end; from that the board learns when a look is worth its call
(`pace.next_look`, a pure function), and the most impatient waiter sets the pace for all.

Every sighting carries the time at which its call *began*: a state seen by a call that began after ours is a state
after ours. That is how a step knows whether what it sees is the effect of what it did.

A waiter is woken once, when the object it waits for is seen to differ from what the waiter had seen. What it does
then is its own business: usually to take its step again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic

from openstack_csi import errors
from openstack_csi.backoff import Backoff
from openstack_csi.cloud import pace
from openstack_csi.cloud.sightings import FEW, K, Plan, Sighting, Source, plan

log = logging.getLogger(__name__)

FAILED_SECONDS = (0.5, 5.0)
"""First and longest pause after a look that failed."""

Wake = Callable[[], None]


@dataclass(eq=False)
class _Waiter(Generic[K]):
    wake: Wake
    seen: Sighting[K] | None
    """What its decision was based on; None when it has acted since and needs any sighting that is later."""
    since: float
    gone: bool
    """It waits for the object to be gone."""

    def is_news(self, sighting: Sighting[K]) -> bool:
        if self.seen is None:
            return sighting.began >= self.since
        return sighting.kept != self.seen.kept


@dataclass(frozen=True)
class _Act:
    """What a step has set going on an object, and when the cloud took it."""

    kind: str
    began: float


@dataclass
class _Waiters(Generic[K]):
    by_id: dict[str, list[_Waiter[K]]] = field(default_factory=dict)
    index: list[tuple[float, Wake]] = field(default_factory=list)

    def any(self) -> bool:
        return bool(self.by_id or self.index)


def _daemon(run: Callable[[], None], name: str) -> None:
    threading.Thread(target=run, name=name, daemon=True).start()


class Board(Generic[K]):
    """The table. Thread-safe; `wake` functions are called without its lock, from its own thread."""

    def __init__(
        self,
        source: Source[K],
        *,
        name: str,
        pause: Callable[[], float] = lambda: 0.0,
        ours: Callable[[K], bool] = lambda kept: True,
        clock: Callable[[], float] = time.monotonic,
        observe: Callable[[str], None] = lambda kind: None,
        spawn: Callable[[Callable[[], None], str], None] = _daemon,
    ) -> None:
        """Make an empty board.

        Args:
            source: looks at the cloud.
            name: of the kind of object, for thread and log.
            pause: seconds that the cloud wants to be left alone.
            ours: whether an object is in the source's lists.
            clock: monotonic seconds.
            observe: told the kind of every tick.
            spawn: runs the ticking beside; a test may tick by itself.
        """
        self._source = source
        self._name = name
        self._pause = pause
        self._ours = ours
        self._clock = clock
        self._observe = observe
        self._lock = threading.Condition()
        self._sightings: dict[str, Sighting[K]] = {}
        self._names: dict[str, set[str]] = {}
        self._waiters: _Waiters[K] = _Waiters()
        self._complete = float("-inf")
        self._lists_changes = True
        self._acts: dict[str, _Act] = {}
        self._usual: dict[str, float] = {}
        self._looked = float("-inf")
        self._due = float("inf")
        self._not_before = float("-inf")
        self._backoff = Backoff(*FAILED_SECONDS)
        self._spawn = spawn
        self._running = False

    # What is known

    def sighting(self, object_id: str) -> Sighting[K] | None:
        """The latest sighting; None when nobody has looked."""
        with self._lock:
            return self._sightings.get(object_id)

    def named(self, name: str) -> list[K]:
        """The objects of that name, as far as is known (see `complete`)."""
        with self._lock:
            found = (self._sightings[i].kept for i in self._names.get(name, ()))
            return [kept for kept in found if kept is not None]

    def everything(self) -> list[K]:
        """Every object that is known to be there."""
        with self._lock:
            return [s.kept for s in self._sightings.values() if s.kept is not None]

    @property
    def complete(self) -> float:
        """When the list began that showed every object: a name not on the board did not exist then."""
        with self._lock:
            return self._complete

    def put(self, kept: K, began: float) -> None:
        """Tell what an answer showed, of a call that began at `began` (for the answer of a create: when it came, for
        a list that began before cannot know better)."""
        with self._lock:
            wakes = self._see(kept.id, kept, began)
        _call(wakes)

    def put_gone(self, object_id: str, began: float) -> None:
        """Tell that an answer showed the object to be gone."""
        with self._lock:
            wakes = self._see(object_id, None, began)
        _call(wakes)

    def look(self, object_id: str) -> K | None:
        """Look at one object now: one call. None when it is gone. Raises DriverError."""
        began = self._clock()
        kept = self._source.one(object_id)
        if kept is None:
            self.put_gone(object_id, began)
        else:
            self.put(kept, began)
        return kept

    def be_complete(self, since: float) -> None:
        """Return once a full list that began at `since` or later was taken: one call, unless one was. Raises
        DriverError."""
        if self.complete < since:
            self._list_everything()

    # Waiting

    def wake_on_change(self, object_id: str, wake: Wake, *, seen: Sighting[K] | None, gone: bool = False) -> None:
        """Have `wake` called once, when the object differs from what was seen; at once if it does already.

        Args:
            object_id: the cloud's id.
            wake: see `backends.base.Wake`.
            seen: what the waiter's decision was based on; None when it has just acted: then any later sighting will do.
            gone: the waiter waits for a deletion.
        """
        with self._lock:
            waiter = _Waiter(wake, seen, self._clock(), gone)
            now = self._sightings.get(object_id)
            if now is None or not waiter.is_news(now):
                self._waiters.by_id.setdefault(object_id, []).append(waiter)
                self._be_running(self._wanted(object_id, [waiter]))
                return
        wake()

    def wake_when_complete(self, since: float, wake: Wake) -> None:
        """Have `wake` called once, after a full list that began at `since` or later."""
        with self._lock:
            if self._complete < since:
                self._waiters.index.append((since, wake))
                self._be_running(self._clock())
                return
        wake()

    # When to look

    def acted(self, object_id: str, kind: str) -> None:
        """Tell that the cloud took something that will show on the object, such as an "attach"."""
        self._acts[object_id] = _Act(kind, self._clock())

    def settled(self, object_id: str) -> None:
        """Tell that the latest sighting shows the end of what was set going, if anything was."""
        act = self._acts.pop(object_id, None)
        seen = self.sighting(object_id)
        if act is not None and seen is not None:
            self._usual[act.kind] = pace.learnt(self._usual.get(act.kind), max(0.0, seen.began - act.began))

    def next_look(self) -> float:
        """When the next look is due, as a time of the clock."""
        with self._lock:
            return self._next_look()

    def _next_look(self) -> float:
        if self._waiters.index:
            return max(self._clock(), self._not_before)
        wanted = (self._wanted(object_id, waiters) for object_id, waiters in self._waiters.by_id.items())
        return max(min(wanted, default=float("inf")), self._not_before)

    def _wanted(self, object_id: str, waiters: Iterable[_Waiter[K]]) -> float:
        """When those who wait for an object would have it looked at next."""
        act = self._acts.get(object_id)
        if act is not None:
            return pace.next_look(self._usual.get(act.kind), act.began, self._looked)
        return pace.next_look(None, min(waiter.since for waiter in waiters), self._looked)

    # The thread

    def _be_running(self, due: float) -> None:
        """Have the thread look by then."""
        if due < self._due:
            self._due = due
            self._lock.notify_all()
        if not self._running:
            self._running = True
            self._spawn(self._run, f"board-{self._name}")

    def _run(self) -> None:
        while self._sleep():
            try:
                self.tick()
                self._backoff.reset()
            except errors.DriverError as error:
                if not self._backoff.failures:  # once: it is tried again every few seconds
                    log.warning("cannot look at the cloud: %s", error, extra={"board": self._name})
                self._rest()
            except Exception:
                log.exception("a tick of the board failed: this is a bug", extra={"board": self._name})
                self._rest()

    def _rest(self) -> None:
        self._not_before = self._clock() + self._backoff.next()

    def _sleep(self) -> bool:
        """Wait for the next tick; False when nobody waits any more, and the thread is done."""
        with self._lock:
            while self._waiters.any():
                self._due = self._next_look()
                left = max(self._due - self._clock(), self._pause())
                if left <= 0:
                    return True
                self._lock.wait(left)
            self._running = False
            self._due = float("inf")
            return False

    def tick(self) -> None:
        """Look once for all who wait, and wake those for whom something changed. Raises DriverError."""
        with self._lock:
            planned = self._plan()
            self._looked = self._clock()
        if planned.everything:
            self._observe("all")
            self._list_everything()
        if planned.changes:
            self._observe("changed")
            self._list_changes(planned.deletions)
        for object_id in planned.one_by_one:
            self._observe("one")
            self.look(object_id)

    def _plan(self) -> Plan:
        waited = self._waiters.by_id
        ours = [i for i in waited if (s := self._sightings.get(i)) and s.kept is not None and self._ours(s.kept)]
        others = [i for i in waited if i not in set(ours)]
        deletions = any(w.gone for i in ours for w in waited[i])
        # Before the first full list nobody knows what is ours.
        index_wanted = bool(self._waiters.index) or (len(others) > FEW and self._complete == float("-inf"))
        return plan(ours, [] if index_wanted and not ours else others, deletions, index_wanted, self._lists_changes)

    def _list_everything(self) -> None:
        began = self._clock()
        found = {kept.id: kept for kept in self._source.all()}
        with self._lock:
            wakes: list[Wake] = []
            for kept in found.values():
                wakes += self._see(kept.id, kept, began)
            for object_id, known in list(self._sightings.items()):
                if object_id not in found and known.kept is not None and self._ours(known.kept):
                    wakes += self._see(object_id, None, began)
            self._complete = max(self._complete, began)
            wakes += [wake for since, wake in self._waiters.index if since <= began]
            self._waiters.index = [(since, wake) for since, wake in self._waiters.index if since > began]
            self._forget_gone()
        _call(wakes)

    def _list_changes(self, deletions: bool) -> None:
        began = self._clock()
        # In this order: what leaves the state `deleting` after the first call without being gone has changed, and is
        # in the second.
        deleting = self._source.deleting() if deletions else set()
        changed = self._source.changed()
        if changed is None:
            self._lists_changes = False
            self._list_everything()
            return
        with self._lock:
            wakes: list[Wake] = []
            for kept in changed:
                wakes += self._see(kept.id, kept, began)
            if deletions:
                for object_id in self._gone(began, told=deleting | {kept.id for kept in changed}):
                    wakes += self._see(object_id, None, began)
            self._forget_gone()
        _call(wakes)

    def _gone(self, began: float, told: set[str]) -> list[str]:
        """Which of those that are waited for to be gone are so: in no list, though their deletion was accepted (and
        so waited for) before the lists began."""
        waited = self._waiters.by_id.items()
        known = self._sightings
        return [
            object_id
            for object_id, waiters in waited
            if object_id not in told
            and any(w.gone and w.since <= began for w in waiters)
            and (s := known.get(object_id)) is not None
            and s.kept is not None
            and self._ours(s.kept)
        ]

    def _see(self, object_id: str, kept: K | None, began: float) -> list[Wake]:
        """Take in a sighting; returns whom to wake. An older one than we have changes nothing."""
        known = self._sightings.get(object_id)
        if known is not None and known.began > began:
            return []
        sighting = self._sightings[object_id] = Sighting(kept, began)
        if kept is not None:
            self._names.setdefault(kept.name, set()).add(object_id)
        waiters = self._waiters.by_id.get(object_id, [])
        woken = [w for w in waiters if w.is_news(sighting)]
        if woken:
            rest = [w for w in waiters if w not in woken]
            if rest:
                self._waiters.by_id[object_id] = rest
            else:
                del self._waiters.by_id[object_id]
        return [w.wake for w in woken]

    def _forget_gone(self) -> None:
        """Drop the sightings of what is gone and has been for long enough that every step has seen it."""
        horizon = self._clock() - 600.0
        for object_id, known in list(self._sightings.items()):
            if known.kept is None and known.began < horizon and object_id not in self._waiters.by_id:
                del self._sightings[object_id]
                self._acts.pop(object_id, None)
                for ids in self._names.values():
                    ids.discard(object_id)
        self._names = {name: ids for name, ids in self._names.items() if ids}


def _call(wakes: Iterable[Wake]) -> None:
    for wake in wakes:
        try:
            wake()
        except Exception:
            log.exception("a waiter of the board failed: this is a bug")
