"""A cluster, a cloud and a controller without threads, HTTP or time: a test says when each of them moves.

The API server is the fake one's store, reached without HTTP (`MemoryRest` stands where kube.rest.Rest does); informers
are `Mirror`s of that store, which see what has happened when `sync` is called; the cloud is a MemoryBackend behind the
real service. A `Process` is one controller's memory: throw it away and make another, and you have had a crash.
`World.crash_at` does that at the n-th point between two steps; `World.control` is kube-controller-manager.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from openstack_csi.errors import Code, DriverError
from openstack_csi.kube.api_error import error_of_status
from openstack_csi.kube.workqueue import WorkQueue
from openstack_csi.service import VolumeService
from openstack_csi.watch import names, objects
from openstack_csi.watch.attacher import Attacher
from openstack_csi.watch.caches import Caches
from openstack_csi.watch.config import WatchConfig
from openstack_csi.watch.events import Recorder
from openstack_csi.watch.fence import Api, Fence, Volumes, until_fenced
from openstack_csi.watch.leftovers import Leftovers
from openstack_csi.watch.observers import Observers
from openstack_csi.watch.orphans import Orphans
from openstack_csi.watch.provisioner import Provisioner
from openstack_csi.watch.reclaimer import Reclaimer
from tests.fakekube import patches
from tests.fakekube.resources import resolve
from tests.fakekube.store import Refused, Store
from tests.unit.csi.memory_backend import MemoryBackend
from tests.unit.kube.helpers import FakeClock

DRIVER = "cinder.csi.openstack.org"
ZONE = "topology.cinder.csi.openstack.org/zone"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
Json = dict[str, Any]
T = TypeVar("T")


class Crash(BaseException):
    """The process dies here."""


class MemoryRest:
    """kube.rest.Rest, on a store instead of HTTP. `point` is called before and after each write."""

    def __init__(self, store: Store, point: Callable[[str], None]) -> None:
        self.store = store
        self.point = point
        self.calls: Counter[str] = Counter()
        self.faults: dict[str, list[tuple[int, bool]]] = {}  # verb → (status, whether it is done all the same)

    def fail(self, verb: str, status: int, *, done: bool = False, times: int = 1) -> None:
        self.faults.setdefault(verb, []).extend([(status, done)] * times)

    def get(self, path: str, **query: object) -> Json:
        return self._do("get", path, lambda: self.store.get(resolve(path)).obj)

    def create(self, path: str, body: Json) -> Json:
        return self._write("create", path, lambda: self.store.create(resolve(path), copy.deepcopy(body)).obj)

    def patch(self, path: str, body: Json, kind: str = "merge", **query: object) -> Json:
        apply = {"merge": patches.merge, "strategic": patches.merge_strategically}[kind]
        return self._write("patch", path, lambda: self.store.update(resolve(path), lambda obj: apply(obj, body)).obj)

    def delete(self, path: str, uid: str = "", resource_version: str = "") -> Json:
        given = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {key: value for key, value in given.items() if value}
        return self._write("delete", path, lambda: self.store.delete(resolve(path), preconditions).obj)

    def _write(self, verb: str, path: str, effect: Callable[[], Json]) -> Json:
        if not path.startswith("/api/v1/namespaces/default/events"):
            self.point(f"before {verb} {path}")
        answer = self._do(verb, path, effect)
        if not path.startswith("/api/v1/namespaces/default/events"):
            self.point(f"after {verb} {path}")
        return answer

    def _do(self, verb: str, path: str, effect: Callable[[], Json]) -> Json:
        self.calls[f"{verb} {resolve(path).resource.plural}"] += 1
        status, done = (self.faults.get(verb) or [(0, True)]).pop(0)
        try:
            answer = copy.deepcopy(effect()) if done else {}
        except Refused as refusal:
            said = {"code": refusal.status, "reason": refusal.reason, "message": str(refusal)}
            raise error_of_status(said, f"{verb} {path}") from None
        if status:
            raise error_of_status({"code": status, "reason": "", "message": "a fault of the test"}, f"{verb} {path}")
        return answer


class Mirror(Generic[T]):
    """An informer that looks when it is told to."""

    def __init__(self, store: Store, path: str, slim: Callable[[Json], T]) -> None:
        self._collection = store.collections[resolve(path).resource]
        self._slim = slim
        self._seen = 0
        self._objects: dict[str, T] = {}
        self._handlers: list[Callable[[str, T | None, T | None], None]] = []

    def on_change(self, handler: Callable[[str, T | None, T | None], None]) -> None:
        self._handlers.append(handler)

    def get(self, key: str) -> T | None:
        return self._objects.get(key)

    def values(self) -> list[T]:
        return list(self._objects.values())

    def list(self) -> None:
        """See what there is now, as a new process does."""
        for stored in tuple(self._collection.objects.values()):
            self._take("ADDED", stored.obj)
        self._seen = self._collection.log[-1].version if self._collection.log else 0

    def sync(self) -> bool:
        """See what has happened since; whether anything has."""
        events = self._collection.since(self._seen)
        for event in events:
            self._seen = event.version
            self._take(event.type, event.new.obj)
        return bool(events)

    def _take(self, kind: str, raw: Json) -> None:
        metadata = raw["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}" if "namespace" in metadata else metadata["name"]
        old = self._objects.pop(key, None)
        new = None if kind == "DELETED" else self._slim(raw)
        if new is not None:
            self._objects[key] = new
        if old != new:
            for handler in self._handlers:
                handler(key, old, new)


class Cloud(MemoryBackend):
    """A MemoryBackend that calls `point` before and after each step."""

    def __init__(self, point: Callable[[str], None]) -> None:
        super().__init__()
        self.point = point

    def _step(self, what: str, step: Callable[[], Any]) -> Any:
        self.point(f"before {what}")
        result = step()
        self.point(f"after {what}")
        return result

    def create(self, request: Any, wake: Any) -> Any:
        return self._step("cloud create", lambda: super(Cloud, self).create(request, wake))

    def delete(self, volume_id: str, wake: Any) -> Any:
        return self._step("cloud delete", lambda: super(Cloud, self).delete(volume_id, wake))

    def publish(self, *args: Any) -> Any:
        return self._step("cloud publish", lambda: super(Cloud, self).publish(*args))

    def unpublish(self, *args: Any) -> Any:
        return self._step("cloud unpublish", lambda: super(Cloud, self).unpublish(*args))

    @property
    def ids(self) -> list[str]:
        return [each.volume.id for each in self.list()]


class Process:
    """One controller that leads, driven by hand."""

    def __init__(self, world: World, config: WatchConfig) -> None:
        store, clock = world.store, world.clock
        self.leads = True
        self.world = world
        self.mirrors: dict[str, Mirror[Any]] = {
            "claims": Mirror(store, names.CLAIMS, objects.slim_claim),
            "volumes": Mirror(store, names.VOLUMES, objects.slim_volume),
            "classes": Mirror(store, names.CLASSES, objects.slim_class),
            "attachments": Mirror(store, names.ATTACHMENTS, objects.slim_attachment),
            "csi_nodes": Mirror(store, names.CSI_NODES, lambda raw: objects.slim_csi_node(raw, DRIVER)),
            "nodes": Mirror(store, names.NODES, objects.slim_node),
        }
        caches = Caches(**self.mirrors)
        self.fence = Fence(lambda: self.leads)
        api = Api(world.rest, self.fence)  # type: ignore[arg-type]
        service = Volumes(VolumeService(world.cloud), self.fence)
        self.recorder = Recorder(api, DRIVER, clock=clock, now=lambda: NOW, wait=lambda seconds: None)
        self.queues = {
            name: WorkQueue(name, clock=clock, draw=lambda: 0.5)
            for name in ("claims", "volumes", "leftovers", "attach", "detach", "release")
        }
        q = self.queues
        observers = Observers(
            provisioned=world.count("provisioned"), deleted=world.count("deleted"), rpc=world.count_rpc
        )
        self.leftovers = Leftovers(caches, api, service, q["leftovers"], DRIVER)
        self.provisioner = Provisioner(
            caches, api, service, self.recorder, self.leftovers, q["claims"], config,
            identity="test", clock=clock, observers=observers,
        )  # fmt: skip
        self.reclaimer = Reclaimer(
            caches, api, service, self.recorder, q["volumes"], config, clock=clock, observers=observers
        )
        self.attacher = Attacher(
            caches, api, service, q["attach"], q["detach"], q["release"], config,
            clock=clock, now=lambda: NOW, observers=observers,
        )  # fmt: skip
        self.orphans = Orphans(caches, api, service, self.leftovers, config, self.provisioner.is_at, clock=clock)
        self.loops = {
            "claims": self.provisioner.reconcile,
            "volumes": self.reclaimer.reconcile,
            "leftovers": self.leftovers.reconcile,
            "attach": self.attacher.attach,
            "detach": self.attacher.detach,
            "release": self.attacher.release,
        }
        for mirror in self.mirrors.values():
            mirror.list()

    def sync(self) -> bool:
        return sum(mirror.sync() for mirror in self.mirrors.values()) > 0

    def work(self) -> bool:
        """Let the workers take every key that is ready; whether there was any."""
        worked = False
        for name, reconcile in self.loops.items():
            queue = self.queues[name]
            while (key := queue.get(timeout=0)) is not None:
                worked = True
                try:
                    until_fenced(reconcile)(key)
                except DriverError as error:
                    queue.retry(key, error.retry_after)
                finally:
                    queue.done(key)
        return worked

    def settle(self) -> None:
        """Until nothing more happens without the clock, the cloud or the user."""
        while self.sync() or self.work():
            pass
        self.recorder.flush()

    def close(self) -> None:
        for queue in self.queues.values():
            queue.close(0)


class World:
    """All of it."""

    def __init__(self, config: WatchConfig | None = None) -> None:
        self.config = config or WatchConfig(cluster="cluster-1")
        self.clock = FakeClock()
        self.store = Store()
        self.trace: list[str] = []
        self.crash_at: int | None = None  # the number of the point
        self.lose_lease_at: int | None = None
        self.replaced = 0
        self.counts: Counter[str] = Counter()
        self.rest = MemoryRest(self.store, self.point)
        self.cloud = Cloud(self.point)
        self.make("/api/v1/namespaces", {"metadata": {"name": "default"}})
        self.process = Process(self, self.config)

    def point(self, what: str) -> None:
        """A place between two steps, where a process can die or lose its lease."""
        self.trace.append(what)
        if len(self.trace) == self.crash_at:
            raise Crash(what)
        if len(self.trace) == self.lose_lease_at:
            self.process.leads = False

    def restart(self) -> None:
        """Be killed with -9, and the next leader."""
        self.process.close()
        self.process.leads = False
        self.replaced += 1
        self.process = Process(self, self.config)

    def settle(self) -> None:
        """Let controller and Kubernetes do what they can; a crash on the way brings the next controller."""
        while True:
            try:
                self.process.settle()
            except Crash:
                self.restart()
                continue
            if not self.process.leads:
                self._outlive_lease()
                continue
            if not self.control():
                return

    def _outlive_lease(self) -> None:
        """The old leader lives on, with its memory and its wakes: it finishes what it is at, and no more."""
        assert self.lose_lease_at is not None
        self.finish_quietly()
        self.process.settle()
        assert len(self.trace) <= self.lose_lease_at + 1, self.trace[self.lose_lease_at :]
        self.restart()

    def finish_quietly(self) -> None:
        """Let the cloud finish what it holds, with nobody looking yet."""
        for kind in sorted(self.cloud._held):
            self.cloud.release(kind)
            self.cloud.hold(kind)

    def settle_within(self, seconds: float, step: float = 5.0) -> None:
        """Let time pass, and the cloud finish what it is at."""
        self.settle()
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.finish()
            self.settle()
            self.clock.advance(step)
            self.settle()

    def finish(self) -> None:
        """Let the cloud finish what it holds, and hold what comes after it as before."""
        for kind in sorted(self.cloud._held):
            self.cloud.release(kind)
            self.settle()
            self.cloud.hold(kind)

    def control(self) -> bool:
        """What kube-controller-manager does about claims and PVs; whether it did anything."""
        acted = False
        claims = {each["metadata"]["uid"]: each for each in self.all(names.CLAIMS)}
        for pv in self.all(names.VOLUMES):
            name, phase = pv["metadata"]["name"], pv.get("status", {}).get("phase")
            claim = claims.get(pv["spec"].get("claimRef", {}).get("uid"))
            if claim is None and phase != "Released":
                self.edit(f"{names.volume_path(name)}/status", {"status": {"phase": "Released"}})
                acted = True
            elif claim is not None and phase != "Bound":
                self.edit(f"{names.volume_path(name)}/status", {"status": {"phase": "Bound"}})
                path = f"{CLAIMS}/{claim['metadata']['name']}"
                self.edit(path, {"spec": {"volumeName": name}})
                self.edit(f"{path}/status", {"status": {"phase": "Bound"}})
                acted = True
        return acted

    # The user's and the administrator's hands

    def make(self, path: str, body: Json) -> Json:
        return copy.deepcopy(self.store.create(resolve(path), body).obj)

    def edit(self, path: str, patch: Json) -> Json:
        return copy.deepcopy(self.store.update(resolve(path), lambda obj: patches.merge(obj, patch)).obj)

    def remove(self, path: str) -> None:
        self.store.delete(resolve(path), {})

    def all(self, path: str) -> list[Json]:
        return [copy.deepcopy(each.obj) for each in self.store.list(resolve(path), None)[1]]

    def storage_class(self, name: str = "standard", *, delayed: bool = False, **fields: Any) -> None:
        mode = "WaitForFirstConsumer" if delayed else "Immediate"
        self.make(
            names.CLASSES, {"metadata": {"name": name}, "provisioner": DRIVER, "volumeBindingMode": mode, **fields}
        )

    def node(self, name: str, zone: str = "nova", node_id: str = "") -> None:
        self.make(names.NODES, {"metadata": {"name": name, "labels": {ZONE: zone}}})
        driver = {"name": DRIVER, "nodeID": node_id or f"id-of-{name}", "topologyKeys": [ZONE]}
        self.make(names.CSI_NODES, {"metadata": {"name": name}, "spec": {"drivers": [driver]}})

    def claim(self, name: str = "data", *, annotations: dict[str, str] | None = None, **spec: Any) -> Json:
        metadata = {"name": name, "annotations": {names.PROVISIONER: DRIVER, **(annotations or {})}}
        wanted = {
            "storageClassName": "standard",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "volumeMode": "Filesystem",
            **spec,
        }
        return self.make(CLAIMS, {"metadata": metadata, "spec": wanted, "status": {"phase": "Pending"}})

    def attachment(self, pv: str, node: str, name: str = "csi-1") -> Json:
        spec = {"attacher": DRIVER, "nodeName": node, "source": {"persistentVolumeName": pv}}
        return self.make(names.ATTACHMENTS, {"metadata": {"name": name}, "spec": spec, "status": {"attached": False}})

    # What can be seen

    @property
    def volumes(self) -> list[Json]:
        return self.all(names.VOLUMES)

    @property
    def attachments(self) -> list[Json]:
        return self.all(names.ATTACHMENTS)

    @property
    def events(self) -> list[tuple[str, str]]:
        found = self.all("/api/v1/namespaces/default/events")
        return [
            (each["reason"], each["message"])
            for each in sorted(found, key=lambda e: int(e["metadata"]["resourceVersion"]))
        ]

    def requests(self) -> int:
        """Requests to the API server so far."""
        return sum(self.rest.calls.values())

    def count(self, what: str) -> Callable[..., None]:
        def told(storage_class: str, seconds: float, /, *, failed: bool = False) -> None:
            self.counts[f"{what}{' failed' if failed else ''}"] += 1

        return told

    def count_rpc(self, method: str, code: Code, seconds: float) -> None:
        self.counts[f"{method.rpartition('/')[2]} {code.name}"] += 1
