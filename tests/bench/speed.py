"""Seconds, CPU and requests of volumes' lives, for several numbers of volumes at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.bench.figures import Book
from tests.bench.lives import Life, Lives
from tests.bench.machine import memory_mib
from tests.bench.programs import Controller

_ORDER = ("claim to PV", "claim to Bound", "claim to attached", "attach", "detach", "delete")


def warm_up(lives: Lives) -> None:
    """One life that is not counted: sessions, discovery and imports are a matter of the process's first minute."""
    lives.phased(2)


def measure(lives: Lives, sizes: Sequence[int], repeat: int, controller: Controller, book: Book) -> None:
    """Let volumes live, each number of them `repeat` times."""
    for n in sizes:
        print(f"\n{n} at once", flush=True)
        both: list[tuple[Life, Life]] = []
        for _ in range(repeat):
            both.append((lives.phased(n), lives.chained(n)))
            print("  " + ", ".join(_told(*both[-1])), flush=True)
        _note(n, both, book)
    book.add("memory of the controller after the lives", memory_mib(controller.pid), "MiB")


def _note(n: int, both: Sequence[tuple[Life, Life]], book: Book) -> None:
    for what in _ORDER:
        for lives in both:
            # A phase that both kinds of life have counts twice; its samples are of the same work.
            for life in lives:
                if what in life.seconds:
                    book.add(f"{what}, {n}", life.seconds[what], "s")
    for lives in both:
        for life in lives:
            book.add(f"CPU of a life, {n}", life.cpu / n, "s")
            book.add(f"cloud calls of a life, {n}", life.all_calls().total() / n, "calls")
            book.add(f"API requests of a life, {n}", life.requests.total() / n, "requests")
    requests: Counter[str] = sum((life.requests for lives in both for life in lives), Counter())
    print(f"  API requests of a life: {_by_kind(requests, n * 2 * len(both))}", flush=True)


def _told(phased: Life, chained: Life) -> list[str]:
    seconds = {**chained.seconds, **phased.seconds}
    return [f"{what} {seconds[what]:.2f} s" for what in _ORDER]


def _by_kind(requests: Counter[str], volumes: int) -> str:
    return ", ".join(f"{kind} × {count / volumes:.2f}" for kind, count in requests.most_common())
