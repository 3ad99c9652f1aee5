"""Faults by rule: what goes wrong on the wire, and what goes wrong in the cloud.

A `CallFault` picks requests and says what happens to them; a `StateFault` picks volumes and says how an operation on
them ends. Both count their matches, so that "the second create", "three times" and "one in ten" can be said.
"""

from __future__ import annotations

import math
import random
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from .model import Volume
from .server import Admission
from .wire import FAULT_KEYS, Reply, Request

Action = Literal["status", "delay", "drop", "lose", "rate"]
Operation = Literal["create", "delete", "attach", "detach", "extend"]
Outcome = Literal["error", "stuck", "slow"]


@dataclass
class Chance:
    """When a rule that matches also strikes."""

    nth: int = 0
    """Only the nth match, counted from 1; 0 is every one."""
    times: int = 0
    """Strikes at most; 0 is without end."""
    probability: float = 1.0
    matches: int = field(default=0, init=False)
    strikes: int = field(default=0, init=False)

    def strikes_now(self, dice: random.Random) -> bool:
        """Count a match, and say whether the rule strikes."""
        self.matches += 1
        if self.times and self.strikes >= self.times:
            return False
        if self.nth and self.matches != self.nth:
            return False
        if self.probability < 1.0 and dice.random() >= self.probability:
            return False
        self.strikes += 1
        return True


@dataclass(kw_only=True)
class CallFault(Chance):
    """What happens to requests.

    - `status`: an answer of that status at once, without any effect; with `retry_after` seconds where given
    - `delay`: `seconds` more before effect and answer
    - `drop`: the connection ends before the effect
    - `lose`: the effect happens, the connection ends without an answer
    - `rate`: 429 with Retry-After beyond `per_second` requests in any second of the cloud's clock

    Picks by `method`, `path` (a regular expression, searched in the path) and `kind` (as counted, such as
    "POST volumes"); what is not given picks everything.
    """

    action: Action
    method: str = ""
    path: str = ""
    kind: str = ""
    status: int = 503
    body: Any = None
    retry_after: float | None = None
    seconds: float = 0.0
    per_second: float = 0.0
    _recent: deque[float] = field(default_factory=deque, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.action not in ("status", "delay", "drop", "lose", "rate"):
            raise ValueError(f"no such action: {self.action}")
        if self.action == "rate" and self.per_second <= 0:
            raise ValueError("a rate needs per_second above 0")
        re.compile(self.path)

    def picks(self, request: Request, kind: str) -> bool:
        return (
            (not self.method or self.method == request.method)
            and (not self.kind or self.kind == kind)
            and (not self.path or re.search(self.path, request.path) is not None)
        )

    def strike(self, admission: Admission, now: float) -> None:
        """Do to the admission what the rule says."""
        if self.action == "rate":
            self._limit(admission, now)
            return
        admission.fault = self.action
        admission.wait += self.seconds
        if self.action == "drop":
            admission.drop = True
        elif self.action == "lose":
            admission.lose = True
        elif self.action == "status":
            admission.reply = _refusal(self.status, self.retry_after, self.body)

    def _limit(self, admission: Admission, now: float) -> None:
        while self._recent and self._recent[0] <= now - 1.0:
            self._recent.popleft()
        if len(self._recent) < self.per_second:
            self._recent.append(now)
            return
        wait = max(1, math.ceil(self._recent[0] + 1.0 - now))
        admission.fault = "rate"
        admission.reply = _refusal(429, wait if self.retry_after is None else self.retry_after, self.body)


@dataclass(kw_only=True)
class StateFault(Chance):
    """How an operation on a volume ends.

    - `error`: create → `error`, delete → `error_deleting`, extend → `error_extending`, attach → `available` again,
      detach → `in-use` again; `message` becomes the user message of a failed create or extend
    - `stuck`: the volume stays in the state on the way; an attach in `state` "reserved" or "attaching"
    - `slow`: all is well after `seconds`

    `volume` picks by id, or by a regular expression for the whole name; empty picks every volume.
    """

    operation: Operation
    outcome: Outcome = "error"
    volume: str = ""
    seconds: float | None = None
    state: str = "attaching"
    message: str = "create volume from backend storage:Driver failed to create the volume."

    def __post_init__(self) -> None:
        if self.operation not in ("create", "delete", "attach", "detach", "extend"):
            raise ValueError(f"no such operation: {self.operation}")
        if self.outcome not in ("error", "stuck", "slow"):
            raise ValueError(f"no such outcome: {self.outcome}")
        re.compile(self.volume)

    def picks(self, operation: str, volume: Volume) -> bool:
        if operation != self.operation:
            return False
        return self.volume in ("", volume.id) or re.fullmatch(self.volume, volume.name or "") is not None


Fault = CallFault | StateFault


class Faults:
    """The rules in force, in the order of their making; for a volume's operation the first that strikes decides."""

    def __init__(self, clock: Callable[[], float], dice: random.Random) -> None:
        self._clock = clock
        self._dice = dice
        self._rules: dict[int, Fault] = {}
        self._last = 0

    def add(self, fault: Fault) -> int:
        """Put a rule in force; returns the number to remove it by."""
        self._last += 1
        self._rules = {**self._rules, self._last: fault}
        return self._last

    def remove(self, number: int) -> None:
        """Take one rule away; an unknown number is no error."""
        self._rules = {n: fault for n, fault in self._rules.items() if n != number}

    def clear(self) -> None:
        self._rules = {}

    def listing(self) -> dict[int, Fault]:
        return dict(self._rules)

    def on_call(self, request: Request, admission: Admission) -> None:
        """Let the rules for requests strike."""
        for fault in self._rules.values():
            if isinstance(fault, CallFault) and fault.picks(request, admission.kind) and fault.strikes_now(self._dice):
                fault.strike(admission, self._clock())

    def on_operation(self, operation: Operation, volume: Volume) -> StateFault | None:
        """The rule that strikes this operation on this volume, if any."""
        for fault in self._rules.values():
            if isinstance(fault, StateFault) and fault.picks(operation, volume) and fault.strikes_now(self._dice):
                return fault
        return None


def from_json(body: dict[str, Any]) -> Fault:
    """A rule from the control API: a `StateFault` when it names an `operation`, else a `CallFault`.

    Raises ValueError naming a key or value that no rule knows.
    """
    kind = StateFault if "operation" in body else CallFault
    known = {f.name for f in fields(kind) if f.init}
    unknown = sorted(set(body) - known)
    if unknown:
        raise ValueError(f"no such key: {unknown[0]}; known are {', '.join(sorted(known))}")
    try:
        return kind(**body)
    except (TypeError, re.error) as error:
        raise ValueError(str(error)) from None


def to_json(fault: Fault) -> dict[str, Any]:
    """A rule as the control API shows it, with what it has matched and struck."""
    return {f.name: getattr(fault, f.name) for f in fields(fault) if not f.name.startswith("_")}


def _refusal(status: int, retry_after: float | None, body: Any) -> Reply:
    headers = [] if retry_after is None else [("Retry-After", f"{retry_after:g}")]
    if body is None:
        message = "This request was rate-limited." if status == 429 else "The service is broken on purpose."
        body = {FAULT_KEYS.get(status, "computeFault"): {"code": status, "message": message}}
    return Reply(status, body, headers)
