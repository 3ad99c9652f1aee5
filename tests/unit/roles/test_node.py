"""The node role, whole, as the kubelet sees it."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import pytest

from openstack_csi.config import NodeConfig
from openstack_csi.csi.pb import csi_pb2 as csi
from openstack_csi.csi.pb import pluginregistration_pb2 as registration
from openstack_csi.csi.pb.csi_pb2_grpc import IdentityStub, NodeStub
from openstack_csi.csi.pb.pluginregistration_pb2_grpc import RegistrationStub
from openstack_csi.errors import InvalidArgument
from openstack_csi.ops.health import Health
from openstack_csi.roles import node, process
from openstack_csi.roles.process import Stop

SERVER = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name, for a socket's path has at most 107 bytes."""
    with TemporaryDirectory(prefix="node") as name:
        yield Path(name)


@pytest.fixture
def config(folder: Path) -> NodeConfig:
    (folder / "kubelet").mkdir()
    write_drive(folder / "drive")
    return NodeConfig(kubelet_dir=folder / "kubelet", config_drive=folder / "drive", metadata_order=("configDrive",))


def write_drive(drive: Path) -> None:
    folder = drive / "openstack" / "latest"
    folder.mkdir(parents=True)
    (folder / "meta_data.json").write_text(json.dumps({"uuid": SERVER, "availability_zone": "nova"}))


@contextmanager
def running(config: NodeConfig) -> Iterator[None]:
    stop = Stop()
    node.start(config, stop)
    try:
        yield
    finally:
        stop.run_steps()


@contextmanager
def channel(path: Path) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"unix://{path}") as opened:
        grpc.channel_ready_future(opened).result(timeout=10)
        yield opened


def registration_socket(config: NodeConfig) -> Path:
    return config.kubelet_dir / "plugins_registry" / f"{config.driver_name}-reg.sock"


def test_the_kubelet_finds_the_driver_and_learns_the_node(config: NodeConfig) -> None:
    with running(config):
        with channel(registration_socket(config)) as kubelet:
            told = RegistrationStub(kubelet).GetInfo(registration.InfoRequest())
        assert told.name == "cinder.csi.openstack.org"
        with channel(Path(told.endpoint)) as kubelet:
            assert IdentityStub(kubelet).Probe(csi.ProbeRequest()).ready.value
            info = NodeStub(kubelet).NodeGetInfo(csi.NodeGetInfoRequest())
    assert info.node_id == SERVER
    assert info.accessible_topology.segments == {"topology.cinder.csi.openstack.org/zone": "nova"}
    assert info.max_volumes_per_node > 0


def test_flags_win_over_the_metadata(config: NodeConfig) -> None:
    given = replace(config, node_id="other", zone="z1", max_volumes=7, registration=False)
    with running(given), channel(given.csi_socket) as client:
        info = NodeStub(client).NodeGetInfo(csi.NodeGetInfoRequest())
    assert (info.node_id, info.max_volumes_per_node) == ("other", 7)
    assert info.accessible_topology.segments == {"topology.cinder.csi.openstack.org/zone": "z1"}
    assert not registration_socket(given).exists()


def test_both_sockets_are_gone_when_it_has_stopped(config: NodeConfig) -> None:
    with running(config):
        assert registration_socket(config).exists()
    assert not registration_socket(config).exists()
    assert not config.csi_socket.exists()


def test_it_is_ready_once_the_kubelet_has_taken_it(config: NodeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    health = Health()
    monkeypatch.setattr(node, "Health", lambda: health)
    with running(config), channel(registration_socket(config)) as kubelet:
        notify = RegistrationStub(kubelet).NotifyRegistrationStatus
        assert health.reason() == "registration: the kubelet has not asked for the driver yet"
        notify(registration.RegistrationStatus(plugin_registered=False, error="no such node"))
        assert health.reason() == "registration: the kubelet refuses the driver: no such node"
        notify(registration.RegistrationStatus(plugin_registered=True))
        assert health.reason() == ""


def test_a_node_that_does_not_know_itself_waits_until_it_does(
    config: NodeConfig, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "RETRY_SECONDS", (0.01, 0.01))
    late = replace(config, config_drive=folder / "late")
    stop, health = Stop(), Health()
    monkeypatch.setattr(node, "Health", lambda: health)
    starting = threading.Thread(target=node.start, args=(late, stop), daemon=True)
    starting.start()
    while not (reason := health.reason()).startswith("node-id: this node does not know"):
        assert starting.is_alive(), reason
        stop.asked(within=0.01)
    assert "set --node-id or --provider-id" in reason
    assert not late.csi_socket.exists()
    write_drive(folder / "late")
    starting.join(timeout=30)
    assert late.csi_socket.exists()
    stop.run_steps()
    assert sum("not ready" in record.message for record in caplog.records) <= 2  # at most: no directory, no file in it


def test_a_kubelet_directory_that_is_not_there_is_refused(config: NodeConfig) -> None:
    with pytest.raises(InvalidArgument, match=r"--kubelet-dir: .*/nope is not a directory"):
        node.start(replace(config, kubelet_dir=config.kubelet_dir / "nope"), Stop())


def test_the_whole_process_serves_and_leaves_at_once_when_told(config: NodeConfig) -> None:
    flags = [f"--kubelet-dir={config.kubelet_dir}", f"--config-drive={config.config_drive}", "--log-format=json"]
    command = [sys.executable, "-m", "openstack_csi", "node", *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stderr
            events = []
            while "serving CSI" not in events:
                events.append(json.loads(child.stderr.readline())["event"])
            with channel(config.csi_socket) as client:
                assert IdentityStub(client).Probe(csi.ProbeRequest()).ready.value
            child.terminate()
            child.communicate(timeout=10)
        finally:
            child.kill()
    assert child.returncode == 0
