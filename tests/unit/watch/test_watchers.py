"""All watchers with their threads, over HTTP to the fake API server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from openstack_csi.kube.rest import Rest
from openstack_csi.service import VolumeService
from openstack_csi.watch import names
from openstack_csi.watch.config import WatchConfig
from openstack_csi.watch.run import Watchers
from tests.fakekube import FakeKube
from tests.unit.csi.memory_backend import MemoryBackend
from tests.unit.watch.world import CLAIMS, DRIVER, ZONE

CONFIG = WatchConfig(cluster="cluster-1", provision_workers=4, attach_workers=4)


@pytest.fixture
def kube() -> Iterator[FakeKube]:
    with FakeKube() as server:
        server.create(names.CLASSES, {"metadata": {"name": "standard"}, "provisioner": DRIVER})
        server.create(names.NODES, {"metadata": {"name": "node-a", "labels": {ZONE: "nova"}}})
        driver = {"name": DRIVER, "nodeID": "id-a", "topologyKeys": [ZONE]}
        server.create(names.CSI_NODES, {"metadata": {"name": "node-a"}, "spec": {"drivers": [driver]}})
        yield server


@pytest.fixture
def started(kube: FakeKube) -> Iterator[Callable[..., tuple[Watchers, MemoryBackend]]]:
    running: list[Watchers] = []

    def start(cloud: MemoryBackend | None = None, **settings: Any) -> tuple[Watchers, MemoryBackend]:
        cloud = cloud or MemoryBackend()
        watchers = Watchers(Rest.at(kube.url), VolumeService(cloud), CONFIG, **settings)
        watchers.start()
        running.append(watchers)
        return watchers, cloud

    yield start
    for each in running:
        each.stop()


def claim(kube: FakeKube, name: str) -> dict[str, Any]:
    spec = {
        "storageClassName": "standard", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
    }  # fmt: skip
    return kube.create(CLAIMS, {"metadata": {"name": name, "annotations": {names.PROVISIONER: DRIVER}}, "spec": spec})


def eventually(holds: Callable[[], bool], within: float = 20.0) -> None:
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, "it never came about"
        threading.Event().wait(0.01)


def test_thirty_claims_live_and_die_over_http(kube: FakeKube, started: Callable[..., Any]) -> None:
    _, cloud = started()
    for i in range(30):
        claim(kube, f"data-{i}")
    eventually(lambda: len(kube.list(names.VOLUMES)) == 30)
    for pv in kube.list(names.VOLUMES):
        name = pv["metadata"]["name"]
        spec = {"attacher": DRIVER, "nodeName": "node-a", "source": {"persistentVolumeName": name}}
        kube.create(names.ATTACHMENTS, {"metadata": {"name": f"va-{name}"}, "spec": spec})
    eventually(lambda: all(va.get("status", {}).get("attached") for va in kube.list(names.ATTACHMENTS)))
    for va in kube.list(names.ATTACHMENTS):
        kube.delete(names.attachment_path(va["metadata"]["name"]))
    eventually(lambda: kube.list(names.ATTACHMENTS) == [])
    for i in range(30):
        kube.delete(f"{CLAIMS}/data-{i}")
    for pv in kube.list(names.VOLUMES):
        kube.patch(f"{names.volume_path(pv['metadata']['name'])}/status", {"status": {"phase": "Released"}})
    eventually(lambda: kube.list(names.VOLUMES) == [])

    assert cloud.list() == []
    assert cloud.calls == {"create": 30, "publish": 30, "unpublish": 30, "delete": 30}


def test_nothing_is_decided_before_the_first_lists_are_complete(kube: FakeKube, started: Callable[..., Any]) -> None:
    kube.fail(verb="list", resource="persistentvolumes", status=503, times=3)
    claim(kube, "data")
    watchers, cloud = started()
    eventually(lambda: kube.calls["list", "persistentvolumes"] >= 1)
    if not watchers.synced:
        assert cloud.calls["create"] == 0
    eventually(lambda: len(kube.list(names.VOLUMES)) == 1)


def test_stopped_watchers_write_no_more(kube: FakeKube, started: Callable[..., Any]) -> None:
    watchers, cloud = started()
    cloud.hold("create")
    claim(kube, "data")
    eventually(lambda: cloud.waiting("create") == 1)
    watchers.stop()
    writes = [verb for verb, _ in kube.calls.elements() if verb in ("create", "patch", "delete")]
    cloud.release("create")
    claim(kube, "more")

    assert kube.list(names.VOLUMES) == []
    assert [verb for verb, _ in kube.calls.elements() if verb in ("create", "patch", "delete")] == writes


def test_the_next_leader_goes_on_with_what_the_last_began(kube: FakeKube, started: Callable[..., Any]) -> None:
    first, cloud = started()
    cloud.hold("create")
    claim(kube, "data")
    eventually(lambda: cloud.waiting("create") == 1)
    first.stop()
    started(cloud)
    eventually(lambda: cloud.waiting("create") == 2)
    cloud.release("create")
    eventually(lambda: len(kube.list(names.VOLUMES)) == 1)

    assert cloud.calls["create"] == 1


def test_watchers_that_are_stopped_before_they_are_synced_end_at_once(kube: FakeKube) -> None:
    kube.fail(verb="list", status=503)
    watchers = Watchers(Rest.at(kube.url), VolumeService(MemoryBackend()), CONFIG)
    watchers.start()
    watchers.stop()

    assert not watchers.synced
