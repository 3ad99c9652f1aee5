"""Pods that write all the time, by which one sees whether something disturbed them."""

from __future__ import annotations

from itertools import pairwise

from tests.cluster.cluster import Json, until
from tests.cluster.space import PODS, Space

LONGEST_GAP = 5.0
"""Seconds without a write that a busy machine may cause; a volume that was away even for a moment fails a write, and
ends the writer."""


class Writers:
    """Some pods, each with a volume of its own, which write from now on."""

    def __init__(self, space: Space, storage_class: str, count: int) -> None:
        self._space = space
        self.names = [f"writer-{i}" for i in range(count)]
        for i, name in enumerate(self.names):
            space.claim(name, storage_class)
            space.pod(name, name, node=f"node-{i % 2 + 1}")
        self._pods = {each["metadata"]["name"]: each for each in space.running(*self.names)}

    def node(self, name: str) -> str:
        return str(self._pods[name]["spec"]["nodeName"])

    def be_undisturbed(self) -> None:
        """The same pods, never restarted, still write, and never ceased to."""
        for name in self.names:
            pod = self._space.get(PODS, name)
            assert pod["metadata"]["uid"] == self._pods[name]["metadata"]["uid"]
            assert _restarts(pod) == 0, f"{name} was restarted"
            self._writes_on(name)
            gap = max(after - before for before, after in pairwise(self.written(name)))
            assert gap <= LONGEST_GAP, f"{name} did not write for {gap:.1f} s"

    def _writes_on(self, name: str) -> None:
        so_far = len(self.written(name))
        until(f"{name} writes on", lambda: len(self.written(name)) > so_far)

    def written(self, name: str) -> list[float]:
        """When the pod wrote, in seconds of the machine's uptime."""
        return [float(line) for line in self._space.exec(name, "cat /data/log").splitlines()]


def _restarts(pod: Json) -> int:
    return sum(int(each["restartCount"]) for each in pod["status"]["containerStatuses"])
