"""What can be broken, and how a client sees it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from typing import Any

import pytest

from tests.fakecloud import CallFault, StateFault

from .conftest import Bed

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning:openstack.*")


@pytest.fixture
def client(bed: Bed) -> Iterator[Any]:
    """Requests with demo's token, without the SDK's own retries."""
    token = bed.conn.auth_token
    project = bed.conn.current_project_id
    host, port = bed.cloud.url.removeprefix("http://").split(":")
    conn = HTTPConnection(host, int(port), timeout=10)

    def ask(method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
        headers = {"X-Auth-Token": token, "OpenStack-API-Version": "volume 3.70"}
        conn.request(method, f"/volume/v3/{project}{path}", None if body is None else json.dumps(body), headers)
        reply = conn.getresponse()
        text = reply.read()
        return reply.status, dict(reply.getheaders()), json.loads(text) if text else None

    yield ask
    conn.close()


VOLUME = {"volume": {"size": 1, "name": "v"}}


def test_an_answer_lost_after_the_effect_leaves_a_volume_behind(bed: Bed, client: Any) -> None:
    bed.cloud.faults.add(CallFault(action="lose", kind="POST volumes", times=1))
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        client("POST", "/volumes", VOLUME)
    assert [v.name for v in bed.cloud.volumes()] == ["v"]
    assert [(c.kind, c.status, c.fault) for c in bed.cloud.calls.log][-1:] == [("POST volumes", 0, "lose")]


def test_a_connection_dropped_before_the_effect_leaves_nothing(bed: Bed, client: Any) -> None:
    bed.cloud.faults.add(CallFault(action="drop", method="POST", path="/volumes$", times=1))
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        client("POST", "/volumes", VOLUME)
    assert bed.cloud.volumes() == []


def test_the_second_call_alone_is_answered_503_with_retry_after(bed: Bed, client: Any) -> None:
    bed.cloud.faults.add(CallFault(action="status", status=503, retry_after=7, nth=2))
    codes = [client("GET", "/volumes")[0] for _ in range(3)]
    assert codes == [200, 503, 200]


def test_a_rate_limit_answers_429_until_the_second_is_over(bed: Bed, client: Any) -> None:
    bed.cloud.faults.add(CallFault(action="rate", per_second=2))
    replies = [client("GET", "/volumes") for _ in range(3)]
    assert [r[0] for r in replies] == [200, 200, 429]
    assert replies[2][1]["Retry-After"] == "1"
    bed.clock.advance(1)
    assert client("GET", "/volumes")[0] == 200


def test_a_probability_is_the_same_for_the_same_seed(bed: Bed, client: Any) -> None:
    number = bed.cloud.faults.add(CallFault(action="status", probability=0.5))
    codes = [client("GET", "/volumes")[0] for _ in range(40)]
    assert {200, 503} == set(codes)
    assert bed.cloud.faults.listing()[number].strikes == codes.count(503)


@pytest.mark.parametrize(
    ("operation", "outcome", "seen"),
    [
        ("create", "error", "error"),
        ("create", "stuck", "creating"),
        ("delete", "error", "error_deleting"),
        ("delete", "stuck", "deleting"),
        ("extend", "error", "error_extending"),
    ],
)
def test_an_operation_ends_as_the_rule_says(bed: Bed, client: Any, operation: Any, outcome: Any, seen: str) -> None:
    bed.cloud.faults.add(StateFault(operation=operation, outcome=outcome, volume="v"))
    volume = client("POST", "/volumes", VOLUME)[2]["volume"]
    bed.clock.advance(100)
    if operation == "delete":
        client("DELETE", f"/volumes/{volume['id']}")
    elif operation == "extend":
        client("POST", f"/volumes/{volume['id']}/action", {"os-extend": {"new_size": 2}})
    bed.clock.advance(100)
    assert bed.cloud.volume("v").status == seen


@pytest.mark.parametrize(("outcome", "seen"), [("error", "available"), ("stuck", "attaching")])
def test_an_attach_fails_or_sticks(bed: Bed, outcome: Any, seen: str) -> None:
    server = bed.cloud.add_server("node-1")
    volume = bed.conn.block_storage.create_volume(size=1)
    bed.clock.advance(2)
    bed.cloud.faults.add(StateFault(operation="attach", outcome=outcome))
    bed.conn.compute.create_volume_attachment(server.id, volume_id=volume.id)
    bed.clock.advance(100)
    assert bed.cloud.volume(volume.id).status == seen
    assert len(server.attachments) == (outcome == "stuck")


def test_a_slow_operation_takes_its_own_time(bed: Bed) -> None:
    bed.cloud.faults.add(StateFault(operation="create", outcome="slow", seconds=50))
    bed.conn.block_storage.create_volume(size=1, name="v")
    bed.clock.advance(49)
    assert bed.cloud.volume("v").status == "creating"
    bed.clock.advance(1)
    assert bed.cloud.volume("v").status == "available"


def test_a_rule_with_a_wrong_key_is_refused_by_name(bed: Bed) -> None:
    body = json.dumps({"action": "status", "code": 500}).encode()
    request = urllib.request.Request(f"{bed.cloud.url}/fake/faults", body, method="POST")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    with error.value:
        assert "no such key: code" in error.value.read().decode()


def test_it_runs_on_its_own_and_is_driven_over_http(tmp_path: Path) -> None:
    clouds = tmp_path / "clouds.yaml"
    command = [sys.executable, "-m", "tests.fakecloud", "--servers", "2", "--create", "1", "--clouds-yaml", str(clouds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()

            def control(method: str, path: str, body: Any = None) -> Any:
                data = None if body is None else json.dumps(body).encode()
                with urllib.request.urlopen(urllib.request.Request(url + path, data, method=method)) as reply:
                    text = reply.read()
                return json.loads(text) if text else None

            assert [s["name"] for s in control("GET", "/fake/state")["servers"]] == ["node-1", "node-2"]
            number = control("POST", "/fake/faults", {"action": "delay", "seconds": 0.01, "times": 1})["id"]
            with urllib.request.urlopen(f"{url}/identity/v3"):
                pass
            assert control("GET", "/fake/calls") == {"calls": {"GET identity/v3": 1}, "total": 1}
            assert control("GET", "/fake/faults")["faults"][str(number)]["strikes"] == 1
            control("POST", "/fake/reset-counts")
            assert control("GET", "/fake/calls")["total"] == 0
            assert "application_credential_id" in clouds.read_text()
        finally:
            process.terminate()
    assert process.returncode == 0
