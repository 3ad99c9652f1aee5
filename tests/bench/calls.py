"""Calls to the cloud: counted by the fake cloud itself, and held to the promise of one for each act."""

from __future__ import annotations

from collections import Counter

from tests.bench.figures import Book
from tests.bench.lives import IDLE_SECONDS, Life, Lives

AT_ONCE = 50

ACTS = {
    "create": "POST volumes",
    "attach": "POST os-volume_attachments",
    "detach": "DELETE os-volume_attachments/{id}",
    "delete": "DELETE volumes/{id}",
}
"""The one call that each phase may cost a volume. All others are looks, shared by all volumes."""


def measure(lives: Lives, book: Book) -> list[str]:
    """Let 50 volumes live and count; what was broken, in words."""
    life = lives.phased(AT_ONCE, idle=True)
    print(f"\ncalls to the cloud by phase, {AT_ONCE} volumes at once:")
    for phase, counted in life.calls.items():
        acts = counted[ACTS[phase]]
        book.add(f"{phase} calls of a volume", acts / AT_ONCE, "calls")
        book.add(f"{phase} looks for all {AT_ONCE}", sum(counted.values()) - acts, "calls")
        print(f"  {phase:7}", ", ".join(f"{kind} × {n}" for kind, n in sorted(counted.items())))
    book.add(f"cloud calls of a life, {AT_ONCE}", life.all_calls().total() / AT_ONCE, "calls")
    idle = life.idle_calls or Counter()
    book.add(f"calls while idle ({IDLE_SECONDS:.0f} s)", idle.total(), "calls")
    book.add("CPU of an idle second", life.idle_cpu / IDLE_SECONDS, "s")
    return broken(life)


def broken(life: Life) -> list[str]:
    """What of the promise does not hold: each act once for each volume, no other act, and silence when idle."""
    found = []
    for phase, counted in life.calls.items():
        for kind, n in counted.items():
            wanted = life.n if kind == ACTS[phase] else 0
            is_look = kind.startswith("GET ")
            if n != wanted and not (is_look and n < life.n):
                found.append(f"{phase} of {life.n} volumes: {kind} × {n}")
        if ACTS[phase] not in counted:
            found.append(f"{phase} of {life.n} volumes: no {ACTS[phase]}")
    if life.idle_calls:
        found.append(f"calls while idle: {dict(life.idle_calls)}")
    return found
