"""What was asked of the cloud: counts by kind, and a log for assertions."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `status` is 0 where no answer went out; `seconds` are real ones, from arrival to answer."""

    kind: str
    method: str
    path: str
    query: str
    status: int
    at: float
    seconds: float
    fault: str


class Calls:
    """Counts every request outside /fake/ by its kind, such as "GET volumes/detail"."""

    def __init__(self, size: int) -> None:
        self._counts: Counter[str] = Counter()
        self._log: deque[Call] = deque(maxlen=size)

    def count(self, kind: str) -> None:
        self._counts[kind] += 1

    def record(self, call: Call) -> None:
        self._log.append(call)

    @property
    def counts(self) -> dict[str, int]:
        """Requests by kind since the last reset."""
        return dict(self._counts)

    @property
    def log(self) -> list[Call]:
        """The latest requests, oldest first."""
        return list(self._log)

    def total(self) -> int:
        return self._counts.total()

    def reset(self) -> None:
        self._counts.clear()
        self._log.clear()
