from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration

from openstack_csi import errors
from openstack_csi.kube.api_error import AlreadyExists
from openstack_csi.kube.rest import (
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    NotFound,
    Rest,
    TooManyRequests,
    Unreachable,
    verb_and_resource,
)
from tests.fakekube import FakeKube
from tests.unit.kube.helpers import ALL_CLAIMS, CLAIMS, FakeClock, claim


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/persistentvolumeclaims", ("list", "persistentvolumeclaims")),
        ("GET", "/api/v1/namespaces/a/persistentvolumeclaims", ("list", "persistentvolumeclaims")),
        ("GET", "/api/v1/namespaces/a/persistentvolumeclaims/x", ("get", "persistentvolumeclaims")),
        ("GET", "/api/v1/namespaces/kube-system", ("get", "namespaces")),
        ("PATCH", "/api/v1/namespaces/a/status", ("patch", "namespaces/status")),
        ("GET", "/api/v1/namespaces", ("list", "namespaces")),
        ("POST", "/api/v1/persistentvolumes", ("create", "persistentvolumes")),
        (
            "PATCH",
            "/apis/storage.k8s.io/v1/volumeattachments/x/status",
            ("patch", "volumeattachments/status"),
        ),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/n/leases/l", ("update", "leases")),
        ("DELETE", "/api/v1/persistentvolumes/pv", ("delete", "persistentvolumes")),
        ("GET", "/readyz", ("get", "/readyz")),
    ],
)
def test_requests_are_named_as_rbac_names_them(method: str, path: str, expected: tuple[str, str]) -> None:
    assert verb_and_resource(method, path) == expected


def test_an_object_is_made_changed_and_deleted(rest: Rest) -> None:
    made = rest.create(CLAIMS, claim("a", finalizers=["keep"]))
    assert made["status"] == {"phase": "Pending"}

    made["metadata"]["labels"] = {"x": "y"}
    replaced = rest.replace(f"{CLAIMS}/a", made)
    assert replaced["metadata"]["labels"] == {"x": "y"}

    merged = rest.patch(f"{CLAIMS}/a", {"metadata": {"labels": {"x": None, "z": "1"}}})
    assert merged["metadata"]["labels"] == {"z": "1"}

    status = rest.patch(f"{CLAIMS}/a/status", {"status": {"phase": "Bound"}, "spec": {"volumeName": "no"}})
    assert (status["status"], status["spec"]) == ({"phase": "Bound"}, made["spec"])

    marked = rest.delete(f"{CLAIMS}/a")
    assert marked is not None
    assert marked["metadata"]["deletionTimestamp"]
    rest.patch(f"{CLAIMS}/a", [{"op": "remove", "path": "/metadata/finalizers"}], kind="json")
    with pytest.raises(NotFound):
        rest.get(f"{CLAIMS}/a")


def test_a_generated_name_comes_back(rest: Rest) -> None:
    body = claim("")
    body["metadata"] = {"generateName": "pvc-"}
    name = rest.create(CLAIMS, body)["metadata"]["name"]
    assert name.startswith("pvc-")
    assert rest.get(f"{CLAIMS}/{name}")["metadata"]["name"] == name


def test_a_stale_write_a_wrong_uid_and_a_taken_name_are_conflicts(rest: Rest) -> None:
    old = rest.create(CLAIMS, claim("a"))
    rest.patch(f"{CLAIMS}/a", {"metadata": {"labels": {"x": "y"}}})
    with pytest.raises(Conflict):
        rest.replace(f"{CLAIMS}/a", old)
    with pytest.raises(Conflict):
        rest.delete(f"{CLAIMS}/a", uid="another")
    with pytest.raises(Conflict):
        rest.delete(f"{CLAIMS}/a", resource_version=old["metadata"]["resourceVersion"])
    with pytest.raises(AlreadyExists):
        rest.create(CLAIMS, claim("a"))
    rest.delete(f"{CLAIMS}/a", uid=old["metadata"]["uid"])
    with pytest.raises(NotFound):
        rest.get(f"{CLAIMS}/a")


def test_a_list_comes_in_pages_of_one_version(kube: FakeKube, rest: Rest) -> None:
    for i in range(23):
        kube.create(CLAIMS, claim(f"c{i:02}"))
    pages = []
    for page in rest.pages(ALL_CLAIMS, limit=10):
        pages.append(page)
        kube.create(CLAIMS, claim(f"late{len(pages)}"))
    assert [len(page["items"]) for page in pages] == [10, 10, 3]
    assert len({page["metadata"]["resourceVersion"] for page in pages}) == 1


def test_a_list_whose_version_is_forgotten_halfway_is_gone(kube: FakeKube, rest: Rest) -> None:
    for i in range(3):
        kube.create(CLAIMS, claim(f"c{i}"))
    pages = rest.pages(ALL_CLAIMS, limit=2)
    next(pages)
    kube.compact()
    with pytest.raises(Gone):
        next(pages)


def test_a_watch_tells_events_and_bookmarks(connected: Callable[..., tuple[FakeKube, Rest]]) -> None:
    kube, rest = connected(bookmark_seconds=0.05)
    version = rest.get(ALL_CLAIMS)["metadata"]["resourceVersion"]
    kube.create(CLAIMS, claim("a"))
    kube.delete(f"{CLAIMS}/a")
    watch = rest.watch(
        ALL_CLAIMS, timeout_seconds=60, read_timeout=10, resourceVersion=version, allowWatchBookmarks=True
    )
    seen = []
    for event in watch:
        seen.append(event["type"])
        if event["type"] == "BOOKMARK":
            break
    assert seen == ["ADDED", "DELETED", "BOOKMARK"]
    assert kube.calls["watch", "persistentvolumeclaims"] == 1


def test_a_waiting_watch_ends_at_once_when_it_is_closed(rest: Rest) -> None:
    watch = rest.watch(ALL_CLAIMS, timeout_seconds=60, read_timeout=60, resourceVersion="1")
    ended = threading.Event()

    def read() -> None:
        assert list(watch) == []
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    watch.close()
    assert ended.wait(5)


def test_a_silent_watch_is_a_dead_peer(kube: FakeKube, rest: Rest) -> None:
    kube.fail(verb="watch", mute=True)
    with pytest.raises(Unreachable):
        list(rest.watch(ALL_CLAIMS, timeout_seconds=60, read_timeout=0.1, resourceVersion="1"))


def test_a_watch_of_a_forgotten_version_is_gone(kube: FakeKube, rest: Rest) -> None:
    kube.compact()
    with pytest.raises(Gone):
        list(rest.watch(ALL_CLAIMS, timeout_seconds=60, read_timeout=10, resourceVersion="1"))


def test_the_server_says_how_long_to_wait(kube: FakeKube, rest: Rest) -> None:
    kube.fail(status=429, retry_after=7, times=1)
    with pytest.raises(TooManyRequests) as caught:
        rest.get(f"{CLAIMS}/a")
    assert caught.value.retry_after == 7


def test_a_refusal_by_rbac_names_verb_and_resource(kube: FakeKube, rest: Rest) -> None:
    kube.fail(status=403)
    with pytest.raises(Forbidden, match="refused to patch volumeattachments/status") as caught:
        rest.patch("/apis/storage.k8s.io/v1/volumeattachments/x/status", {})
    assert "ClusterRole" in str(caught.value)
    assert caught.value.code is errors.Code.PERMISSION_DENIED


def test_a_get_is_repeated_when_the_connection_breaks_and_a_write_is_not(kube: FakeKube, rest: Rest) -> None:
    kube.create(CLAIMS, claim("a"))
    kube.fail(verb="get", drop="before", times=2)
    assert rest.get(f"{CLAIMS}/a")["metadata"]["name"] == "a"

    kube.fail(verb="create", drop="after", times=1)
    with pytest.raises(Unreachable):
        rest.create(CLAIMS, claim("b"))
    assert kube.calls["create", "persistentvolumeclaims"] == 1
    assert kube.get(f"{CLAIMS}/b")


def test_a_get_gives_up_in_the_end(kube: FakeKube, rest: Rest) -> None:
    kube.fail(drop="before")
    with pytest.raises(Unreachable) as caught:
        rest.get(f"{CLAIMS}/a")
    assert caught.value.status == 0
    assert kube.calls["get", "persistentvolumeclaims"] == 3


def test_a_call_within_a_time_ends_in_time_and_is_not_repeated(kube: FakeKube, rest: Rest) -> None:
    kube.fail(delay=5)
    begun = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        rest.within(0.2).get(f"{CLAIMS}/a")
    assert caught.value.timed_out
    assert time.monotonic() - begun < 2


def test_an_answer_that_is_no_status_is_told_in_its_own_words(kube: FakeKube, rest: Rest) -> None:
    with pytest.raises(NotFound, match="not found"):
        rest.get("/apis/nobody.example/v1/things")
    kube.fail(status=500)
    with pytest.raises(ApiError) as caught:
        rest.get(ALL_CLAIMS)
    assert (caught.value.status, type(caught.value)) == (500, ApiError)


def test_every_request_is_observed(kube: FakeKube) -> None:
    seen: list[tuple[str, str, int]] = []
    rest = Rest.at(kube.url, observer=lambda verb, resource, status, _: seen.append((verb, resource, status)))
    rest.create(CLAIMS, claim("a"))
    rest.watch(ALL_CLAIMS, timeout_seconds=1, read_timeout=1, resourceVersion="1").close()
    kube.stop()
    with pytest.raises(Unreachable):
        rest.within(1).get(f"{CLAIMS}/a")
    assert seen == [
        ("create", "persistentvolumeclaims", 201),
        ("watch", "persistentvolumeclaims", 200),
        ("get", "persistentvolumeclaims", 0),
    ]


def test_requests_say_who_asks(kube: FakeKube, rest: Rest) -> None:
    rest.get(ALL_CLAIMS)
    assert kube.requests[-1].headers["user-agent"].startswith("openstack-csi/")


def test_a_kubeconfigs_token_is_sent(kube: FakeKube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(_kubeconfig(tmp_path, kube.url)))
    Rest.connect().get(ALL_CLAIMS)
    assert kube.requests[-1].headers["authorization"] == "Bearer first"


def test_a_rotated_service_account_token_is_picked_up(kube: FakeKube, clock: FakeClock) -> None:
    configuration = Configuration(host=kube.url)
    tokens = iter(["first", "second"])

    def read_token_file(configuration: Configuration) -> None:
        configuration.api_key["BearerToken"] = f"Bearer {next(tokens)}\n"

    configuration.api_key["BearerToken"] = "as at the start"
    configuration.refresh_api_key_hook = read_token_file
    rest = Rest(ApiClient(configuration), clock=clock)
    sent = []
    for seconds in (0, 5, 6):
        clock.advance(seconds)
        rest.get(ALL_CLAIMS)
        sent.append(kube.requests[-1].headers["authorization"])
    assert sent == ["Bearer first", "Bearer first", "Bearer second"]


def test_a_missing_kubeconfig_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidArgument, match="nothing-here"):
        Rest.connect(str(tmp_path / "nothing-here"))


def test_no_typed_models_are_loaded() -> None:
    program = (
        "import sys, openstack_csi.kube.rest\n"
        "print([m for m in sys.modules if m.startswith(('kubernetes.client.models.', 'kubernetes.client.api.'))])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def _kubeconfig(folder: Path, server: str) -> Path:
    path = folder / "config"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "first"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(content))
    return path
