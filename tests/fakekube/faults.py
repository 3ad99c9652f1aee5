"""Faults by rule: which requests go wrong, how, and how often."""

from __future__ import annotations

import fnmatch
import random
import threading
from dataclasses import dataclass
from typing import Literal


@dataclass
class Fault:
    """What happens to the requests that match verb, resource ("leases", "volumeattachments/status") and name.

    The name is "namespace/name" or "name", empty for lists, creations and watches; all three are shell patterns.
    """

    verb: str = "*"
    resource: str = "*"
    name: str = "*"
    times: int | None = None  # how often; None: always
    chance: float = 1.0
    delay: float = 0.0  # seconds before the request is looked at
    status: int = 0  # answer with that HTTP status instead
    retry_after: int | None = None  # seconds, with the status
    drop: Literal["", "before", "after"] = ""  # close the connection without an answer: request ignored, or done
    # of watches:
    empty: bool = False  # end the stream before any event
    close_every: int = 0  # end the stream after so many events
    duplicate: bool = False  # send every event twice
    error_event: int = 0  # a Status of that code as first event, then the end
    mute: bool = False  # accept the watch, then send nothing at all: a dead peer


class Faults:
    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._random = random.Random(seed)

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults = [*self._faults, fault]
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults = []

    def match(self, verb: str, resource: str, name: str) -> Fault | None:
        """The first rule that applies, counted as used."""
        if not self._faults:
            return None
        with self._lock:
            for fault in self._faults:
                if fault.times == 0 or not _fits(fault, verb, resource, name):
                    continue
                if fault.chance < 1.0 and self._random.random() >= fault.chance:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None


def _fits(fault: Fault, verb: str, resource: str, name: str) -> bool:
    return all(
        pattern == "*" or fnmatch.fnmatchcase(value, pattern)
        for pattern, value in ((fault.verb, verb), (fault.resource, resource), (fault.name, name))
    )
