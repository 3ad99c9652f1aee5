from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openstack_csi.errors import DriverError, FailedPrecondition, Unavailable
from openstack_csi.host import metadata
from openstack_csi.host.metadata import Identity, identify

SERVER = "0c0ffee0-0000-4000-8000-000000000001"
DATA = {"uuid": SERVER, "availability_zone": "nova", "devices": []}


def says(node_id: str, zone: str) -> metadata.Source:
    return lambda: Identity(node_id, zone)


def silent() -> Identity:
    raise Unavailable("no answer")


def never_asked() -> Identity:
    raise AssertionError("was asked though all is known")


def test_flags_win_and_nobody_is_asked() -> None:
    assert identify(Identity("a", "z"), [("service", never_asked)]) == Identity("a", "z")


def test_the_first_source_that_answers_is_believed() -> None:
    assert identify(Identity(), [("drive", silent), ("service", says("b", "y")), ("id", never_asked)]) == Identity(
        "b", "y"
    )


def test_a_zone_that_the_first_source_lacks_is_asked_of_the_next() -> None:
    assert identify(Identity("b"), [("provider id", says("b", "")), ("service", says("b", "y"))]) == Identity("b", "y")


def test_a_source_that_speaks_of_another_server_gives_no_zone() -> None:
    assert identify(Identity("b"), [("drive", says("c", "elsewhere"))]) == Identity("b", "")


def test_a_node_without_zone_is_fine_and_one_without_id_is_told_why() -> None:
    assert identify(Identity(), [("provider id", says("b", ""))]) == Identity("b", "")
    with pytest.raises(Unavailable, match=r"drive: no answer; service: no answer") as refusal:
        identify(Identity(), [("drive", silent), ("service", silent)])
    assert "--node-id" in refusal.value.hint


def test_a_config_drive_is_read(tmp_path: Path) -> None:
    (tmp_path / "openstack/latest").mkdir(parents=True)
    (tmp_path / "openstack/latest/meta_data.json").write_text(json.dumps(DATA))
    assert metadata.from_directory(tmp_path) == Identity(SERVER, "nova")


def test_a_directory_without_metadata_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=str(tmp_path)):
        metadata.from_directory(tmp_path)


@given(st.text() | st.sampled_from(["[]", "null", "{}", '"x"', "1"]))
def test_metadata_that_is_none_is_refused_not_crashed_on(text: str) -> None:
    with pytest.raises(FailedPrecondition):
        metadata.parse(text)


@pytest.mark.parametrize("text", [f"openstack:///{SERVER}", f"openstack://RegionOne/{SERVER}"])
def test_a_provider_id_names_the_server(text: str) -> None:
    assert metadata.from_provider_id(text) == Identity(SERVER)


@pytest.mark.parametrize("text", ["", SERVER, f"aws:///{SERVER}", "openstack:///", "openstack:///not-a-uuid"])
def test_a_provider_id_of_another_cloud_is_refused(text: str) -> None:
    with pytest.raises(FailedPrecondition):
        metadata.from_provider_id(text)


class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path == "/openstack/latest/meta_data.json"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(json.dumps(DATA).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_the_metadata_service_is_asked_without_a_proxy(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert metadata.from_service("127.0.0.1", port) == Identity(SERVER, "nova")


def test_a_service_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(DriverError, match="does not answer"):
        metadata.from_service("127.0.0.1", 9)
