"""Volumes' lives, N at once, phase by phase: what is timed, and what is counted.

A life is: claim → PV written → Bound, attach, detach, delete. In the chained life the VolumeAttachment is made as soon
as the claim is Bound, as for a pod that waits for its volume.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.bench.cluster import Cluster
from tests.bench.machine import cpu_seconds
from tests.bench.programs import CloudProgram, Controller

IDLE_SECONDS = 20.0

_rounds = itertools.count()


@dataclass
class Life:
    """What a life of `n` volumes took: seconds by what was timed, calls by phase, and for all phases together CPU
    seconds and requests to the API server. Of the time in which nothing was wanted: calls and CPU seconds."""

    n: int
    seconds: dict[str, float] = field(default_factory=dict)
    calls: dict[str, Counter[str]] = field(default_factory=dict)
    cpu: float = 0.0
    requests: Counter[str] = field(default_factory=Counter)
    idle_calls: Counter[str] | None = None
    idle_cpu: float = 0.0

    def all_calls(self) -> Counter[str]:
        """Calls of all phases."""
        return sum(self.calls.values(), Counter())


class Lives:
    """Lets volumes live."""

    def __init__(self, cluster: Cluster, cloud: CloudProgram, controller: Controller) -> None:
        self._cluster = cluster
        self._cloud = cloud
        self._controller = controller

    def phased(self, n: int, *, idle: bool = False) -> Life:
        """Each phase for all volumes before the next begins; with `idle`, what happens when nothing is wanted while
        all are attached is counted too."""
        life, names = self._begin(n)
        cluster, marks = self._cluster, self._cluster.marks
        began = time.monotonic()
        cluster.claim(names)
        life.seconds["claim to PV"] = marks.last("written", names) - began
        life.seconds["claim to Bound"] = marks.last("bound", names) - began
        self._note_calls(life, "create")
        began = time.monotonic()
        cluster.attach(names)
        life.seconds["attach"] = marks.last("attached", names) - began
        self._note_calls(life, "attach")
        if idle:
            used = cpu_seconds(self._controller.pid)
            time.sleep(IDLE_SECONDS)
            life.idle_cpu = cpu_seconds(self._controller.pid) - used
            life.idle_calls = self._cloud.calls()
        self._end(life, names)
        return life

    def chained(self, n: int) -> Life:
        """Each volume is attached as soon as its claim is Bound."""
        life, names = self._begin(n)
        cluster, marks = self._cluster, self._cluster.marks
        cluster.attach_when_bound(True)
        began = time.monotonic()
        cluster.claim(names)
        life.seconds["claim to attached"] = marks.last("attached", names) - began
        cluster.attach_when_bound(False)
        self._note_calls(life, "create and attach")
        self._end(life, names)
        return life

    def _begin(self, n: int) -> tuple[Life, list[str]]:
        number = next(_rounds)
        life = Life(n)
        life.requests.subtract(self._controller.kube_requests())
        life.cpu = -cpu_seconds(self._controller.pid)
        self._cloud.forget_calls()
        return life, [f"bench-{os.getpid()}-{number}-{i}" for i in range(n)]

    def _end(self, life: Life, names: list[str]) -> None:
        cluster, marks = self._cluster, self._cluster.marks
        began = time.monotonic()
        cluster.detach(names)
        life.seconds["detach"] = marks.last("detached", names) - began
        self._note_calls(life, "detach")
        began = time.monotonic()
        cluster.delete(names)
        life.seconds["delete"] = marks.last("gone", names) - began
        self._note_calls(life, "delete")
        life.cpu += cpu_seconds(self._controller.pid)
        life.requests.update(self._controller.kube_requests())
        left = self._cloud.state()["volumes"]
        if left:
            raise AssertionError(f"{len(left)} volumes were left in the cloud, such as {left[0]}")

    def _note_calls(self, life: Life, phase: str) -> None:
        life.calls[phase] = self._cloud.calls()
        self._cloud.forget_calls()
