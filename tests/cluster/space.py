"""A test's own place: a namespace and classes that nobody else has, and the end of all of it, in the cloud too."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import Any

from tests.cluster import objects
from tests.cluster.cinder import Cinder
from tests.cluster.cluster import CLASSES, CORE, PATIENCE, PVS, Cluster, Json, until

CLAIMS = "persistentvolumeclaims"
PODS = "pods"
SETS = "statefulsets"
GROUPS = {SETS: "/apis/apps/v1"}


class Space:
    """What one test makes. Names are short and random, so that a test that failed is in no other's way."""

    def __init__(self, cluster: Cluster, cinder: Cinder) -> None:
        self.cluster = cluster
        self.cinder = cinder
        self.name = f"csi-{secrets.token_hex(3)}"
        self._classes: list[str] = []
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}}
        cluster.create(f"{CORE}/namespaces", namespace)

    # -- make

    def storage_class(self, **wishes: Any) -> str:
        """The name of a new class; see objects.storage_class."""
        name = f"{self.name}-{len(self._classes)}"
        self.cluster.create(CLASSES, objects.storage_class(name, **wishes))
        self._classes.append(name)
        return name

    def claim(self, name: str, storage_class_name: str, **wishes: Any) -> Json:
        return self.create(CLAIMS, objects.claim(name, storage_class_name, **wishes))

    def pod(self, name: str, claim_name: str, **wishes: Any) -> Json:
        return self.create(PODS, objects.pod(name, claim_name, **wishes))

    def create(self, kind: str, body: Json) -> Json:
        return self.cluster.create(self.path(kind), body)

    # -- look

    def path(self, kind: str, name: str = "") -> str:
        collection = f"{GROUPS.get(kind, CORE)}/namespaces/{self.name}/{kind}"
        return f"{collection}/{name}" if name else collection

    def get(self, kind: str, name: str) -> Json:
        found = self.cluster.get(self.path(kind, name))
        assert found is not None, f"{kind} {name} is gone"
        return found

    def volumes(self) -> list[dict[str, Any]]:
        """The namespace's volumes, in Cinder."""
        return self.cinder.of(self.name)

    def volume(self, pv: Json) -> dict[str, Any]:
        """The volume of a PersistentVolume, in Cinder."""
        found = self.cinder.named(pv["metadata"]["name"])
        assert [each["id"] for each in found] == [pv["spec"]["csi"]["volumeHandle"]]
        return found[0]

    def exec(self, pod: str, script: str) -> str:
        return self.cluster.exec(self.name, pod, script).strip()

    def said(self, about: str, reason: str) -> list[str]:
        """What the events of that reason say about an object."""
        return [each["message"] for each in self.cluster.events(self.name, about) if each["reason"] == reason]

    # -- wait

    def bound(self, *claims: str, seconds: float = PATIENCE) -> list[Json]:
        """The PVs of claims, all of them Bound."""
        names = set(claims)

        def look() -> list[Json] | None:
            found = [each for each in self.cluster.items(self.path(CLAIMS)) if each["metadata"]["name"] in names]
            ready = [each for each in found if each.get("status", {}).get("phase") == "Bound"]
            return ready if len(ready) == len(names) else None

        until(f"{len(names)} claims are Bound ({', '.join(sorted(names)[:3])}, …)", look, seconds)
        pvs = {each["spec"]["claimRef"]["name"]: each for each in self.cluster.pvs(self.name)}
        return [pvs[name] for name in claims]

    def running(self, *pods: str, seconds: float = PATIENCE) -> list[Json]:
        """The pods, all of them ready."""
        names = set(pods)

        def look() -> list[Json] | None:
            found = [each for each in self.cluster.items(self.path(PODS)) if each["metadata"]["name"] in names]
            return found if len(found) == len(names) and all(is_ready(each) for each in found) else None

        ready = until(f"{len(names)} pods run ({', '.join(sorted(names)[:3])}, …)", look, seconds)
        by_name = {each["metadata"]["name"]: each for each in ready}
        return [by_name[name] for name in pods]

    def delete(self, kind: str, *names: str) -> None:
        for name in names:
            self.cluster.delete(self.path(kind, name))

    def until_gone(self, kind: str, *names: str, seconds: float = PATIENCE) -> None:
        """Delete the objects, and wait until they are gone."""
        self.delete(kind, *names)
        end = time.monotonic() + seconds
        for name in names:
            self.cluster.until_gone(self.path(kind, name), max(1.0, end - time.monotonic()))

    def until_nothing_is_left(self, seconds: float = PATIENCE) -> None:
        """No PersistentVolume, no VolumeAttachment and no Cinder volume of the namespace is left."""
        names = {each["metadata"]["name"] for each in self.cluster.pvs(self.name)}
        until("no PersistentVolume is left", lambda: not self.cluster.pvs(self.name), seconds)
        for name in names:
            assert not self.cluster.attachments(name), f"a VolumeAttachment of {name} is left"
        until("no volume is left in Cinder", lambda: not self.volumes(), seconds)

    # -- end

    def clear(self) -> None:
        """Remove everything, by force where a test left it half done."""
        self._all_deleted(SETS)
        self._all_deleted(PODS)
        self._all_deleted(CLAIMS)
        for pv in self.cluster.pvs(self.name):
            if pv["spec"]["persistentVolumeReclaimPolicy"] == "Retain":
                self.cluster.delete(f"{PVS}/{pv['metadata']['name']}")
        try:
            until("the PersistentVolumes are gone", lambda: not self.cluster.pvs(self.name))
        finally:
            for name in self._classes:
                self.cluster.delete(f"{CLASSES}/{name}")
            for volume in self.volumes():
                self.cinder.be_deleted(volume["id"])
            self.cluster.delete(f"{CORE}/namespaces/{self.name}")

    def _all_deleted(self, kind: str) -> None:
        self.delete(kind, *names_of(self.cluster.items(self.path(kind))))


def names_of(found: Iterable[Json]) -> list[str]:
    return [each["metadata"]["name"] for each in found]


def is_ready(pod: Json) -> bool:
    """Whether a pod is Ready, by its status."""
    conditions = pod.get("status", {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
