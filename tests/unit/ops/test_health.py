"""Health: what probes and scrapes are told."""

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from openstack_csi.config import HostPort
from openstack_csi.ops.health import Health, HttpServer, Progress


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def server(health: Health) -> Iterator[HttpServer]:
    server = HttpServer(HostPort("127.0.0.1", 0), health, lambda: ("text/plain", b"up 1\n"))
    server.start()
    yield server
    server.stop()


def get(server: HttpServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_ready_lists_every_check(health: Health, server: HttpServer) -> None:
    health.add("cloud", lambda: "")
    health.add("informers", lambda: "claims are not listed yet")
    assert get(server, "/readyz") == (503, "+ cloud: ok\n- informers: claims are not listed yet\n")
    health.add("informers", lambda: "")
    assert get(server, "/readyz") == (200, "+ cloud: ok\n+ informers: ok\n")


def test_a_process_that_is_not_ready_is_alive(health: Health, server: HttpServer) -> None:
    health.add("cloud", lambda: "down")
    assert get(server, "/healthz") == (200, "ok\n")


def test_metrics_are_served(server: HttpServer) -> None:
    assert get(server, "/metrics?x=1") == (200, "up 1\n")


def test_another_page_names_the_pages(server: HttpServer) -> None:
    status, body = get(server, "/")
    assert status == 404
    assert "/readyz" in body


def test_the_reason_is_one_line_of_what_is_not_well(health: Health) -> None:
    assert health.reason() == ""
    health.add("cloud", lambda: "down")
    health.add("leader", lambda: "")
    health.add("informers", lambda: "late")
    assert health.reason() == "cloud: down; informers: late"


def test_a_reason_is_news_once() -> None:
    progress = Progress("starting")
    assert progress() == "starting"
    assert progress.wait_for("no file")
    assert not progress.wait_for("no file")
    progress.done()
    assert progress() == ""


def test_every_address_is_served_where_no_host_is_named(health: Health) -> None:
    server = HttpServer(HostPort("", 0), health, lambda: ("text/plain", b""))
    server.start()
    assert get(server, "/healthz")[0] == 200
    server.stop()
