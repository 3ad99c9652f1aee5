"""The controller role, whole, on a fake cloud and a fake API server."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from openstack_csi.config import ControllerConfig
from openstack_csi.csi.pb import csi_pb2 as csi
from openstack_csi.csi.pb.csi_pb2_grpc import ControllerStub, IdentityStub
from openstack_csi.errors import InvalidArgument
from openstack_csi.ops.health import Health
from openstack_csi.roles import cloud, controller, process
from openstack_csi.roles.process import Stop
from tests.fakecloud import Config, FakeCloud, Timings
from tests.fakekube import FakeKube

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning:openstack.*")

SYSTEM = "/api/v1/namespaces/kube-system"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/cinder-csi-openstack-org"


@pytest.fixture
def openstack() -> Iterator[FakeCloud]:
    with FakeCloud(Config(timings=Timings(create=0.05, delete=0.05))) as running:
        yield running


@pytest.fixture
def kube() -> Iterator[FakeKube]:
    with FakeKube() as server:
        server.create(
            CLASSES,
            {"metadata": {"name": "cinder"}, "provisioner": "cinder.csi.openstack.org", "reclaimPolicy": "Delete"},
        )
        yield server


@pytest.fixture
def health(monkeypatch: pytest.MonkeyPatch) -> Health:
    health = Health()
    monkeypatch.setattr(controller, "Health", lambda: health)
    for module in (process, cloud):
        monkeypatch.setattr(module, "RETRY_SECONDS", (0.02, 0.02))
    return health


@pytest.fixture
def config(tmp_path: Path, kube: FakeKube) -> ControllerConfig:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "fake", "cluster": {"server": kube.url}}],
                "users": [{"name": "fake", "user": {}}],
                "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
                "current-context": "fake",
            }
        )
    )
    return ControllerConfig(
        endpoint=tmp_path / "s", clouds_file=tmp_path / "clouds.yaml", cloud="demo", kubeconfig=str(kubeconfig),
        http_endpoint=None, leader_election_retry_period=0.1,
    )  # fmt: skip


@contextmanager
def running(config: ControllerConfig) -> Iterator[None]:
    stop = Stop()
    try:
        controller.start(config, stop)
        yield
    finally:
        stop.ask()
        stop.run_steps()


@contextmanager
def channel(config: ControllerConfig) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"unix://{config.endpoint}") as opened:
        grpc.channel_ready_future(opened).result(timeout=10)
        yield opened


def eventually(what: Callable[[], object], seconds: float = 10.0) -> None:
    """Look until it is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def create_claim(kube: FakeKube) -> dict[str, Any]:
    return kube.create(
        CLAIMS,
        {
            "metadata": {
                "name": "data",
                "namespace": "default",
                "annotations": {"volume.kubernetes.io/storage-provisioner": "cinder.csi.openstack.org"},
            },
            "spec": {
                "storageClassName": "cinder",
                "accessModes": ["ReadWriteOnce"],
                "volumeMode": "Filesystem",
                "resources": {"requests": {"storage": "1Gi"}},
            },
            "status": {"phase": "Pending"},
        },
    )


def test_a_claim_gets_its_volume_and_the_volume_our_stamp(
    config: ControllerConfig, openstack: FakeCloud, kube: FakeKube, health: Health
) -> None:
    openstack.write_clouds_yaml(config.clouds_file)
    claim = create_claim(kube)
    with running(config):
        eventually(lambda: kube.list(VOLUMES))
        eventually(lambda: not health.reason())
    (pv,) = kube.list(VOLUMES)
    (volume,) = openstack.volumes()
    assert pv["metadata"]["name"] == f"pvc-{claim['metadata']['uid']}" == volume.name
    assert pv["spec"]["csi"]["volumeHandle"] == volume.id
    assert volume.metadata["cinder.csi.openstack.org/cluster"] == kube.get(SYSTEM)["metadata"]["uid"]
    assert kube.get(LEASE)["spec"]["holderIdentity"] == "", "the lease was not released"


def test_a_replica_that_does_not_lead_is_ready_and_leaves_claims_alone(
    config: ControllerConfig, openstack: FakeCloud, kube: FakeKube, health: Health
) -> None:
    openstack.write_clouds_yaml(config.clouds_file)
    spec = {"holderIdentity": "another", "leaseDurationSeconds": 3600, "renewTime": "2026-01-01T00:00:00.000000Z"}
    kube.create(
        LEASE.rpartition("/")[0],
        {"metadata": {"name": "cinder-csi-openstack-org", "namespace": "kube-system"}, "spec": spec},
    )
    with running(config), channel(config) as client:
        eventually(lambda: not health.reason())
        assert IdentityStub(client).Probe(csi.ProbeRequest()).ready.value
        assert kube.open_watches("persistentvolumeclaims") == 0
    assert kube.get(LEASE)["spec"]["holderIdentity"] == "another"


def test_a_broken_clouds_yaml_is_named_and_the_mended_one_taken(
    config: ControllerConfig, openstack: FakeCloud, health: Health, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "openstack_csi")
    alone = replace(config, watchers=(), cluster_id="c1")
    beside = config.clouds_file.with_suffix(".new")

    def said() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == cloud.__name__]

    with running(alone), channel(alone) as client:
        eventually(lambda: f"{config.clouds_file}: No such file" in health.reason())
        beside.write_text("clouds:\n  demo: [\n")
        beside.replace(config.clouds_file)  # in one move, as the kubelet does; a half-written file is broken otherwise
        eventually(lambda: "is not YAML in line" in health.reason())
        assert not IdentityStub(client).Probe(csi.ProbeRequest()).ready.value
        openstack.write_clouds_yaml(beside)
        beside.replace(config.clouds_file)
        eventually(lambda: not health.reason())
        assert IdentityStub(client).Probe(csi.ProbeRequest()).ready.value
        eventually(lambda: said()[-1] == "the cloud is well")
    assert len(said()) == 3, "each reason is told once, and the end of it"


def test_a_cloud_that_is_down_at_the_start_is_waited_for(config: ControllerConfig, health: Health) -> None:
    alone = replace(config, watchers=(), cluster_id="c1")
    away = FakeCloud()
    port = int(away.start().rpartition(":")[2])
    away.write_clouds_yaml(config.clouds_file)
    away.stop()
    with running(alone):
        eventually(lambda: 'cannot log in to cloud "demo"' in health.reason())
        with FakeCloud(port=port):
            eventually(lambda: not health.reason())


def test_it_needs_no_kubernetes_where_nothing_is_watched_and_the_cluster_is_named(
    config: ControllerConfig, openstack: FakeCloud, health: Health
) -> None:
    openstack.write_clouds_yaml(config.clouds_file)
    alone = replace(config, watchers=(), cluster_id="c1", kubeconfig="/nowhere")
    with running(alone), channel(alone) as client:
        made = ControllerStub(client).CreateVolume(
            csi.CreateVolumeRequest(
                name="v1",
                volume_capabilities=[
                    csi.VolumeCapability(
                        mount=csi.VolumeCapability.MountVolume(),
                        access_mode=csi.VolumeCapability.AccessMode(mode=1),
                    )
                ],
            )
        )
    (volume,) = openstack.volumes()
    assert made.volume.volume_id == volume.id
    assert volume.metadata["cinder.csi.openstack.org/cluster"] == "c1"


def test_no_way_to_kubernetes_is_refused_with_what_to_do(config: ControllerConfig, health: Health) -> None:
    with pytest.raises(InvalidArgument, match="Give --kubeconfig"):
        controller.start(replace(config, kubeconfig="/nowhere"), Stop())
    with pytest.raises(InvalidArgument, match="--cluster-id"):
        controller.start(replace(config, kubeconfig="/nowhere", watchers=()), Stop())


def test_without_an_election_the_watchers_run_at_once(
    config: ControllerConfig, openstack: FakeCloud, kube: FakeKube, health: Health
) -> None:
    openstack.write_clouds_yaml(config.clouds_file)
    with running(replace(config, leader_election=False)):
        eventually(lambda: kube.open_watches("persistentvolumeclaims") == 1)
    eventually(lambda: kube.open_watches("persistentvolumeclaims") == 0)


def granted() -> set[tuple[str, str]]:
    """Verb and resource of everything that the base's roles allow the controller."""
    documents = yaml.safe_load_all((Path(__file__).parents[3] / "manifests" / "base" / "rbac.yaml").read_text())
    rules = [rule for each in documents for rule in each.get("rules", ())]
    return {(verb, resource) for rule in rules for verb in rule["verbs"] for resource in rule["resources"]}


def test_the_roles_of_the_manifests_allow_what_a_volumes_life_takes(
    config: ControllerConfig, openstack: FakeCloud, kube: FakeKube, health: Health
) -> None:
    openstack.write_clouds_yaml(config.clouds_file)
    server = openstack.add_server("node-1")
    kube.create("/api/v1/nodes", {"metadata": {"name": "node-1"}})
    driver = {"name": "cinder.csi.openstack.org", "nodeID": server.id, "topologyKeys": []}
    kube.create("/apis/storage.k8s.io/v1/csinodes", {"metadata": {"name": "node-1"}, "spec": {"drivers": [driver]}})
    claim = create_claim(kube)
    with running(config):
        eventually(lambda: kube.list(VOLUMES))
        (pv,) = kube.list(VOLUMES)
        path, name = f"{VOLUMES}/{pv['metadata']['name']}", pv["metadata"]["name"]
        kube.patch(path, {"status": {"phase": "Bound"}})
        kube.patch(f"{CLAIMS}/data", {"spec": {"volumeName": name}, "status": {"phase": "Bound"}})
        spec = {"attacher": driver["name"], "nodeName": "node-1", "source": {"persistentVolumeName": name}}
        kube.create(ATTACHMENTS, {"metadata": {"name": "attachment"}, "spec": spec})
        eventually(lambda: kube.get(f"{ATTACHMENTS}/attachment").get("status", {}).get("attached"))
        kube.delete(f"{ATTACHMENTS}/attachment")
        eventually(lambda: not kube.list(ATTACHMENTS))
        kube.delete(f"{CLAIMS}/data")
        kube.patch(path, {"status": {"phase": "Released"}})
        eventually(lambda: not kube.list(VOLUMES))
        eventually(lambda: not openstack.volumes())
    assert claim["metadata"]["uid"] in name
    asked = set(kube.calls)
    assert asked <= granted()
    # Granted, and not asked for here: for an event that repeats, and for a PV that another wrote in between.
    assert granted() - asked == {("patch", "events"), ("get", "persistentvolumes")}
