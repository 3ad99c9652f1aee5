"""What the board knows and asks: sightings of objects, how it looks at the cloud, and the plan of its next look."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

FEW = 2
"""Up to so many objects are looked at one by one."""


class Kept(Protocol):
    """What the board keeps of an object; equal values mean that nothing changed that anybody waits for."""

    @property
    def id(self) -> str:
        """The cloud's id."""

    @property
    def name(self) -> str:
        """The name that we gave it."""


K = TypeVar("K", bound=Kept)


class Source(Protocol[K]):
    """How the board looks at the cloud. Each method is one shared call, or as many as there are pages."""

    def one(self, object_id: str) -> K | None:
        """The object; None when the cloud says that it is not there."""

    def all(self) -> list[K]:
        """Every object of this cluster."""

    def changed(self) -> list[K] | None:
        """Those that changed since the last look of `all` or `changed`, some perhaps twice; None when the cloud
        cannot tell."""

    def deleting(self) -> set[str]:
        """The ids of those that are being deleted."""


@dataclass(frozen=True, slots=True)
class Sighting(Generic[K]):
    """An object as a call that began at `began` (seconds, monotonic) showed it; None: it was gone."""

    kept: K | None
    began: float


@dataclass(frozen=True)
class Plan:
    """What the next tick asks: objects one by one, everything, or what changed (and what is being deleted)."""

    one_by_one: tuple[str, ...] = ()
    everything: bool = False
    changes: bool = False
    deletions: bool = False


def plan(
    ours: Collection[str], others: Collection[str], deletions: bool, index_wanted: bool, can_list_changes: bool
) -> Plan:
    """Decide the next tick.

    Args:
        ours: ids of the waited-for objects that the lists show (they show this cluster's objects alone).
        others: ids of the other waited-for objects.
        deletions: some of `ours` are waited for to be gone.
        index_wanted: somebody needs to know every name.
        can_list_changes: the cloud can list by time of change.
    """
    if index_wanted:
        return Plan(everything=True, one_by_one=tuple(others))
    if len(ours) <= FEW:
        return Plan(one_by_one=(*ours, *others))
    if can_list_changes:
        return Plan(changes=True, deletions=deletions, one_by_one=tuple(others))
    return Plan(everything=True, one_by_one=tuple(others))
