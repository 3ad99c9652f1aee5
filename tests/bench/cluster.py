"""The benchmark's place in a real cluster, and when what happened there.

Claims, a class and CSINodes of a driver of its own name: nothing of another driver in the same cluster is touched, and
none touches these. There are no Nodes behind the CSINodes, since nothing shall be scheduled; VolumeAttachments are made
here, which in a cluster with pods the attach-detach controller does.

Times are those at which a watch showed a thing, on this process's clock.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from openstack_csi.kube.informer import Informer
from openstack_csi.kube.rest import Conflict, NotFound, Rest
from tests.bench.programs import NotInTime, until

DRIVER = "bench.cinder.csi.openstack.org"
NAMESPACE = "openstack-csi-bench"
CLASS = "openstack-csi-bench"
CLAIMS = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
CSI_NODES = "/apis/storage.k8s.io/v1/csinodes"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{DRIVER.replace('.', '-')}"
PHASE_SECONDS = 180.0
CLIENTS = 8

Json = dict[str, Any]


class Marks:
    """What has happened, and when: a mark is a word and a claim's name."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at: dict[tuple[str, str], float] = {}
        self._then: dict[str, Callable[[str], None]] = {}

    def set(self, what: str, name: str) -> None:
        """It happened now; only the first time counts."""
        with self._changed:
            if (what, name) in self._at:
                return
            self._at[what, name] = time.monotonic()
            self._changed.notify_all()
            then = self._then.get(what)
        if then:
            then(name)

    def when(self, what: str, then: Callable[[str], None] | None) -> None:
        """Call `then` with the name at each such mark from now on; None ends it."""
        with self._changed:
            if then:
                self._then[what] = then
            else:
                self._then.pop(what, None)

    def last(self, what: str, names: Sequence[str]) -> float:
        """When the last of these had the mark; waits for it. Raises NotInTime."""
        with self._changed:
            if not self._changed.wait_for(lambda: all((what, name) in self._at for name in names), PHASE_SECONDS):
                missing = [name for name in names if (what, name) not in self._at]
                raise NotInTime(
                    f"{len(missing)} of {len(names)} not {what} within {PHASE_SECONDS:.0f} s: {missing[:3]}"
                )
            return max(self._at[what, name] for name in names)


class Cluster:
    """Makes and removes claims and VolumeAttachments, many at once, and marks what becomes of them.

    Marks: `written` (the PV stands), `bound`, `attached`, `detached` (the VolumeAttachment is gone), `gone` (the PV is
    gone, and so was its volume before).
    """

    def __init__(self, rest: Rest, servers: Sequence[str]) -> None:
        self._rest = rest
        self._servers = servers
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._pv: dict[str, str] = {}  # claim → its PV
        self.marks = Marks()
        claims = Informer(rest, CLAIMS, lambda each: each, name="claims")
        volumes = Informer(rest, VOLUMES, lambda each: each, name="volumes")
        attachments = Informer(rest, ATTACHMENTS, lambda each: each, name="attachments")
        claims.on_change(self._on_claim)
        volumes.on_change(self._on_volume)
        attachments.on_change(self._on_attachment)
        self._informers: list[Informer[Json]] = [claims, volumes, attachments]

    def __enter__(self) -> Self:
        until("the namespace of an earlier benchmark is gone", self._has_namespace, PHASE_SECONDS)
        self._clear()
        self._be_made(
            CLASSES,
            {
                "metadata": {"name": CLASS},
                "provisioner": DRIVER,
                "reclaimPolicy": "Delete",
                "volumeBindingMode": "Immediate",
            },
        )
        for i, server in enumerate(self._servers):
            driver = {"name": DRIVER, "nodeID": server, "topologyKeys": []}
            # Made anew: an earlier benchmark that was cut off had other servers.
            self._be_gone(f"{CSI_NODES}/{_node(i)}")
            self._be_made(CSI_NODES, {"metadata": {"name": _node(i)}, "spec": {"drivers": [driver]}})
        for informer in self._informers:
            informer.start()
        until("the benchmark sees the cluster", lambda: all(each.synced for each in self._informers))
        return self

    def __exit__(self, *_: object) -> None:
        for informer in self._informers:
            informer.stop()
        self._pool.shutdown()
        for i in range(len(self._servers)):
            self._be_gone(f"{CSI_NODES}/{_node(i)}")
        self._be_gone(f"{CLASSES}/{CLASS}")
        self._be_gone(LEASE)
        self._be_gone(f"/api/v1/namespaces/{NAMESPACE}")

    # What is done

    def claim(self, names: Iterable[str]) -> None:
        """Make the claims, at once."""
        self._all(self._claim, names)

    def attach(self, names: Iterable[str]) -> None:
        """Make the VolumeAttachments of bound claims, at once."""
        self._all(self._attach, names)

    def attach_when_bound(self, wanted: bool) -> None:
        """Whether each claim's VolumeAttachment is made as soon as it is bound, as a pod that waits for it would."""
        self.marks.when("bound", (lambda name: _started(self._pool.submit(self._attach, name))) if wanted else None)

    def detach(self, names: Iterable[str]) -> None:
        """Delete the VolumeAttachments, at once."""
        self._all(lambda name: self._rest.delete(f"{ATTACHMENTS}/{name}"), names)

    def delete(self, names: Iterable[str]) -> None:
        """Delete the claims, at once."""
        self._all(lambda name: self._rest.delete(f"{CLAIMS}/{name}"), names)

    def _all(self, act: Callable[[str], object], names: Iterable[str]) -> None:
        list(self._pool.map(act, names))

    def _claim(self, name: str) -> None:
        body = {
            "metadata": {"name": name},
            "spec": {
                "storageClassName": CLASS,
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        self._rest.create(CLAIMS, body)

    def _attach(self, name: str) -> None:
        number = int(name.rpartition("-")[2]) % len(self._servers)
        spec = {"attacher": DRIVER, "nodeName": _node(number), "source": {"persistentVolumeName": self._pv[name]}}
        self._rest.create(ATTACHMENTS, {"metadata": {"name": name}, "spec": spec})

    def _has_namespace(self) -> bool:
        self._be_made("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        return bool(self._rest.get(f"/api/v1/namespaces/{NAMESPACE}")["status"].get("phase") == "Active")

    def _clear(self) -> None:
        """Let go of what a benchmark that was cut off has left; the controller sees to the rest."""
        for each in self._rest.get(ATTACHMENTS)["items"]:
            if each["spec"]["attacher"] == DRIVER:
                self._be_gone(f"{ATTACHMENTS}/{each['metadata']['name']}")
        for each in self._rest.get(CLAIMS)["items"]:
            self._be_gone(f"{CLAIMS}/{each['metadata']['name']}")

    def _be_made(self, path: str, body: Json) -> None:
        with contextlib.suppress(Conflict):
            self._rest.create(path, body)

    def _be_gone(self, path: str) -> None:
        with contextlib.suppress(NotFound):
            self._rest.delete(path)

    # What is seen

    def _on_claim(self, key: str, old: Json | None, new: Json | None) -> None:
        if new is not None and new.get("status", {}).get("phase") == "Bound":
            name = new["metadata"]["name"]
            self._pv[name] = new["spec"]["volumeName"]
            self.marks.set("bound", name)

    def _on_volume(self, key: str, old: Json | None, new: Json | None) -> None:
        claim: Mapping[str, str] = ((new or old or {})["spec"]).get("claimRef") or {}
        if claim.get("namespace") == NAMESPACE:
            self.marks.set("gone" if new is None else "written", claim["name"])

    def _on_attachment(self, name: str, old: Json | None, new: Json | None) -> None:
        if (new or old or {})["spec"]["attacher"] != DRIVER:
            return
        if new is None:
            self.marks.set("detached", name)
        elif new.get("status", {}).get("attached"):
            self.marks.set("attached", name)


def _node(number: int) -> str:
    return f"bench-node-{number}"


def _started(_: object) -> None:
    """What was begun in a pool is waited for by its mark."""
