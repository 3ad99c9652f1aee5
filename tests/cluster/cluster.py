"""Kubernetes as the tests see it: raw objects by path, waits that end, commands in pods.

The API server is reached from the bed's network namespace alone, so every request is made from in there; kubectl is
left to what is more than a request (exec, apply, rollouts).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from openstack_csi.kube.rest import NotFound, PatchKind, Rest
from tests.testbed.bed import Bed
from tests.testbed.errors import BedError
from tests.testbed.layout import NAMESPACE
from tests.testbed.openstack.namespace import inside

Json = dict[str, Any]
T = TypeVar("T")

PATIENCE = 90.0
"""Seconds after which something that should happen will not any more, on a machine that is busy."""

CORE = "/api/v1"
STORAGE = "/apis/storage.k8s.io/v1"
PVS = f"{CORE}/persistentvolumes"
ATTACHMENTS = f"{STORAGE}/volumeattachments"
CLASSES = f"{STORAGE}/storageclasses"


def until(what: str, look: Callable[[], T | None], seconds: float = PATIENCE, every: float = 0.2) -> T:
    """Look until there is something that counts as true, and return it.

    Raises:
        AssertionError: there was nothing in that time.
    """
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(every)


class Cluster:
    """The bed's Kubernetes, as its admin."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self._rest = Rest.connect(str(bed.kubeconfig))

    def get(self, path: str) -> Json | None:
        """The object, None where there is none."""
        with inside(NAMESPACE):
            try:
                return self._rest.get(path)
            except NotFound:
                return None

    def items(self, path: str, **query: object) -> list[Json]:
        """The objects of a collection."""
        with inside(NAMESPACE):
            found: list[Json] = self._rest.get(path, **query)["items"]
            return found

    def create(self, path: str, body: Json) -> Json:
        with inside(NAMESPACE):
            return self._rest.create(path, body)

    def patch(self, path: str, body: Json, kind: PatchKind = "merge") -> Json:
        with inside(NAMESPACE):
            return self._rest.patch(path, body, kind=kind)

    def delete(self, path: str) -> None:
        """Ask for the end of an object; nothing happens where there is none."""
        with inside(NAMESPACE):
            try:
                self._rest.delete(path)
            except NotFound:
                return

    def until_gone(self, path: str, seconds: float = PATIENCE) -> None:
        until(f"{path} is gone", lambda: self.get(path) is None, seconds)

    def pvs(self, namespace: str) -> list[Json]:
        """The PersistentVolumes of a namespace's claims, by name."""
        found = [each for each in self.items(PVS) if (each["spec"].get("claimRef") or {}).get("namespace") == namespace]
        return sorted(found, key=lambda each: str(each["metadata"]["name"]))

    def attachments(self, pv: str) -> list[Json]:
        """The VolumeAttachments of a PersistentVolume."""
        return [each for each in self.items(ATTACHMENTS) if each["spec"]["source"].get("persistentVolumeName") == pv]

    def events(self, namespace: str, about: str) -> list[Json]:
        """The events about an object."""
        return self.items(f"{CORE}/namespaces/{namespace}/events", fieldSelector=f"involvedObject.name={about}")

    def exec(self, namespace: str, pod: str, script: str) -> str:
        """What a shell script prints in a pod. Raises BedError when it fails."""
        return self.bed.kubectl("-n", namespace, "exec", pod, "--", "sh", "-c", script)

    def tells(self, *args: str) -> str:
        """What kubectl prints, or why it does not: for people who look for a reason."""
        try:
            said = self.bed.kubectl(*args)
        except BedError as error:
            said = str(error)
        return f"$ kubectl {' '.join(args)}\n{said.rstrip()}\n"
