"""What the watchers see of the cluster: one informer per kind, shared, and the two questions that need an index."""

from __future__ import annotations

import functools
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from openstack_csi.kube.informer import Informer
from openstack_csi.kube.rest import Rest
from openstack_csi.watch import names, objects
from openstack_csi.watch.objects import Claim, CSINode, Node, PersistentVolume, StorageClass, VolumeAttachment
from openstack_csi.watch.topology import Zones

T = TypeVar("T")
Handler = Callable[[str, T | None, T | None], None]


class Store(Protocol[T]):
    """What is asked of an informer."""

    def get(self, key: str) -> T | None:
        """The object of that key."""

    def values(self) -> list[T]:
        """All objects."""

    def on_change(self, handler: Handler[T]) -> None:
        """Call `handler(key, old, new)` for each change."""


class Index(Generic[T]):
    """Objects of a store by something that they name."""

    def __init__(self, store: Store[T], name_of: Callable[[T], str]) -> None:
        self._store = store
        self._name_of = name_of
        self._lock = threading.Lock()
        self._keys: defaultdict[str, set[str]] = defaultdict(set)
        store.on_change(self._change)

    def get(self, name: str) -> list[T]:
        """The objects that name it."""
        with self._lock:
            keys = sorted(self._keys.get(name, ()))
        found = (self._store.get(key) for key in keys)
        return [each for each in found if each is not None]

    def _change(self, key: str, old: T | None, new: T | None) -> None:
        with self._lock:
            if old is not None:
                name = self._name_of(old)
                self._keys[name].discard(key)
                if not self._keys[name]:
                    del self._keys[name]
            if new is not None:
                self._keys[self._name_of(new)].add(key)


class Caches:
    """The stores, with what follows from them."""

    def __init__(
        self,
        claims: Store[Claim],
        volumes: Store[PersistentVolume],
        classes: Store[StorageClass],
        attachments: Store[VolumeAttachment],
        csi_nodes: Store[CSINode],
        nodes: Store[Node],
    ) -> None:
        self.claims = claims
        self.volumes = volumes
        self.classes = classes
        self.attachments = attachments
        self.csi_nodes = csi_nodes
        self.nodes = nodes
        self.attachments_of = Index(attachments, lambda each: each.volume_name)
        self.volumes_by_handle = Index(volumes, lambda each: f"{each.driver}/{each.handle}")
        self._zones_version = 0
        self._zones: tuple[int, Zones] | None = None
        csi_nodes.on_change(self._forget_zones)
        nodes.on_change(self._forget_zones)

    @property
    def zones(self) -> Zones:
        """What the nodes offer; made anew after nodes changed."""
        seen, version = self._zones, self._zones_version
        if seen is None or seen[0] != version:
            seen = self._zones = (version, Zones.of(self.csi_nodes.values(), self.nodes.values()))
        return seen[1]

    def _forget_zones(self, key: str, old: object, new: object) -> None:
        self._zones_version += 1  # a worker that counts the nodes just now keeps a version that is no longer asked for


def follow(rest: Rest, driver: str) -> tuple[Caches, list[Informer[Any]]]:
    """Caches of a real cluster, and the informers behind them, to be started once all handlers are registered."""
    claims = Informer(rest, names.CLAIMS, objects.slim_claim, name="claims")
    volumes = Informer(rest, names.VOLUMES, objects.slim_volume, name="volumes")
    classes = Informer(rest, names.CLASSES, objects.slim_class, name="classes")
    attachments = Informer(rest, names.ATTACHMENTS, objects.slim_attachment, name="attachments")
    slim_csi_node = functools.partial(objects.slim_csi_node, driver=driver)
    csi_nodes = Informer(rest, names.CSI_NODES, slim_csi_node, name="csinodes")
    nodes = Informer(rest, names.NODES, objects.slim_node, name="nodes")
    caches = Caches(claims, volumes, classes, attachments, csi_nodes, nodes)
    return caches, [claims, volumes, classes, attachments, csi_nodes, nodes]
