"""The calls whose answers must be the same on every cloud that we test on. One row, one call.

Each row makes what it needs in a `World`, asks once, and names the status and the fault that it expects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import requests
from requests import Response

from tests.contract.world import MARK, World

NO_VOLUME = "00000000-0000-4000-8000-000000000001"
NO_SERVER = "00000000-0000-4000-8000-000000000002"
BAD = "badRequest"
NONE = "itemNotFound"
ODD = "computeFault"


@dataclass(frozen=True)
class Case:
    """A call; `has` are keys that its answer must have."""

    name: str
    status: int
    ask: Callable[[World], Response]
    fault: str = ""
    has: tuple[str, ...] = ()


# Logging in


def by_credential(w: World, **changes: str) -> Response:
    credential = {**w.person("demo-appcred").secrets, **changes}
    body = {"auth": {"identity": {"methods": ["application_credential"], "application_credential": credential}}}
    return requests.post(f"{w.demo.auth_url}/auth/tokens", json=body, timeout=30)


def with_bad_token(w: World, service: str, path: str) -> Response:
    return requests.get(w.demo.endpoint(service) + path, headers={"X-Auth-Token": "gAAAAbad"}, timeout=30)


# Listing


def detail(w: World, query: str, version: str = "3.60") -> Response:
    assert w.free
    return w.demo.cinder("GET", f"/volumes/detail?{query}", version=version)


def marked(w: World) -> str:
    return f"metadata={{'{MARK}':'{w.run}'}}"


def next_page(w: World) -> Response:
    assert w.free
    assert w.used
    first = detail(w, f"{marked(w)}&limit=1").json()
    assert any(link["rel"] == "next" for link in first["volumes_links"])
    return detail(w, f"{marked(w)}&limit=1&marker={first['volumes'][0]['id']}")


def changed_since(w: World, time: str, version: str = "3.60") -> Response:
    return detail(w, f"{marked(w)}&updated_at={quote(time)}", version)


def deleting(w: World) -> Response:
    name = w.new_name()
    w.site.slow("delete", 1.0, name)
    volume_id = w.volume(name=name)
    w.demo.cinder("DELETE", f"/volumes/{volume_id}")
    return w.demo.cinder("GET", f"/volumes?{marked(w)}&status=deleting", version="3.60")


# Deleting


def delete(w: World, volume_id: str) -> Response:
    return w.demo.cinder("DELETE", f"/volumes/{volume_id}")


def delete_while_creating(w: World) -> Response:
    return delete(w, being_made(w))


def delete_reserved(w: World) -> Response:
    volume_id = w.volume()
    w.reset(volume_id, "reserved")
    try:
        return delete(w, volume_id)
    finally:
        w.reset(volume_id, "available")


def being_made(w: World) -> str:
    """A volume that a back end has taken, and that stays in `creating` for a second."""
    name = w.new_name()
    w.site.slow("create", 1.0, name)
    volume_id = str(w.asked(name=name).json()["volume"]["id"])
    w.until(f"{volume_id} to be scheduled", lambda: bool(w.host_of(volume_id)))
    return volume_id


def failed(w: World) -> str:
    return w.volume("error", volume_type="nowhere")


# Attaching and detaching


def attach_elsewhere(w: World) -> Response:
    return w.asked_attach(w.used, w.second_server)


def attach_to_two(w: World, version: str) -> Response:
    volume_id = w.volume(volume_type="shared")
    w.attach(volume_id, w.server)
    return w.asked_attach(volume_id, w.second_server, version)


def attach_reserved(w: World) -> Response:
    volume_id = w.volume()
    w.reset(volume_id, "reserved")
    try:
        return w.asked_attach(volume_id, w.server)
    finally:
        w.reset(volume_id, "available")


def attach_while_attaching(w: World) -> Response:
    volume_id = w.volume()
    w.site.slow("attach", 1.0, volume_id)
    assert w.asked_attach(volume_id, w.server).status_code == 200
    try:
        return w.asked_attach(volume_id, w.server)
    finally:
        w.be(volume_id, "in-use")


def detach_while_attaching(w: World) -> Response:
    volume_id = w.volume()
    w.site.slow("attach", 1.0, volume_id)
    w.asked_attach(volume_id, w.server)
    try:
        return w.asked_detach(volume_id, w.server)
    finally:
        w.be(volume_id, "in-use")


def detach(w: World, *, again: bool = False) -> Response:
    volume_id = w.volume()
    w.attach(volume_id, w.server)
    w.site.slow("detach", 1.0, volume_id)
    answer = w.asked_detach(volume_id, w.server)
    if again:
        answer = w.asked_detach(volume_id, w.server)
    return answer


def attachments(w: World, volume_id: str = "") -> Response:
    assert w.used
    path = f"/servers/{w.server}/os-volume_attachments"
    return w.demo.nova("GET", f"{path}/{volume_id}" if volume_id else path, version="2.60")


def messages(w: World) -> Response:
    return w.demo.cinder("GET", f"/messages?resource_uuid={failed(w)}", version="3.5")


VOLUME = ("id", "name", "status", "size", "availability_zone", "volume_type", "multiattach", "metadata", "attachments")

CASES = (
    Case("log in by application credential", 201, by_credential, has=("catalog", "expires_at", "project")),
    Case("log in with a wrong secret", 401, lambda w: by_credential(w, secret="no"), "error"),
    Case("log in with an unknown credential", 404, lambda w: by_credential(w, id="0" * 32), "error"),
    Case("an application credential lists", 200, lambda w: w.person("demo-appcred").cinder("GET", "/limits")),
    Case("a bad token, Cinder", 401, lambda w: with_bad_token(w, "block_storage", "/volumes"), "error"),
    Case("a bad token, Nova", 401, lambda w: with_bad_token(w, "compute", "/servers"), "error"),
    Case("microversion too high, Cinder", 406, lambda w: w.demo.cinder("GET", "/limits", version="3.999"), ODD),
    Case("microversion too high, Nova", 406, lambda w: w.demo.nova("GET", "/servers", version="2.999"), ODD),
    Case("create", 202, lambda w: w.asked(), has=VOLUME),
    Case("create of a type", 202, lambda w: w.asked(volume_type="az1"), has=VOLUME),
    Case("create of a multiattach type", 202, lambda w: w.asked(volume_type="shared"), has=VOLUME),
    Case("create of an unknown type", 404, lambda w: w.asked(volume_type="gold"), NONE),
    Case("create in an unknown zone", 400, lambda w: w.asked(availability_zone="moon"), BAD),
    Case("create of size 0", 400, lambda w: w.asked(size=0), BAD),
    Case("create of a size that is no number", 400, lambda w: w.asked(size="big"), BAD),
    Case("create with an unknown key", 202, lambda w: w.asked(colour="red"), has=VOLUME),
    Case("create with an unknown key, 3.53", 400, lambda w: w.asked("3.53", colour="red"), BAD),
    Case("create with too long a name", 400, lambda w: w.asked(name="n" * 256), BAD),
    Case("create with too long a value of metadata", 400, lambda w: w.asked(metadata={"key": "v" * 256}), BAD),
    Case("create beyond the quota", 413, lambda w: w.asked(size=5001), "overLimit"),
    Case("show", 200, lambda w: w.demo.cinder("GET", f"/volumes/{w.free}"), has=VOLUME),
    Case("show by 3.60", 200, lambda w: w.demo.cinder("GET", f"/volumes/{w.free}", version="3.60"), has=VOLUME),
    Case("show what is attached", 200, lambda w: w.demo.cinder("GET", f"/volumes/{w.used}"), has=VOLUME),
    Case("show nothing", 404, lambda w: w.demo.cinder("GET", f"/volumes/{NO_VOLUME}"), NONE),
    Case("show what is no id", 404, lambda w: w.demo.cinder("GET", "/volumes/pvc-1"), NONE),
    Case("list by metadata", 200, lambda w: detail(w, marked(w)), has=VOLUME),
    Case("list by other metadata", 200, lambda w: detail(w, "metadata={'contract/run':'no'}")),
    Case("list by name", 200, lambda w: detail(w, f"name={w.look(w.free)['name']}"), has=VOLUME),
    Case("list by status", 200, lambda w: detail(w, f"{marked(w)}&status=available"), has=VOLUME),
    Case("list what is being deleted", 200, deleting, has=("id",)),
    Case("list what changed", 200, lambda w: changed_since(w, "gte:2020-01-01T00:00:00"), has=VOLUME),
    Case("list what changed in the future", 200, lambda w: changed_since(w, "gte:2099-01-01T00:00:00")),
    Case("list what changed, at no time", 400, lambda w: changed_since(w, "gte:noon"), BAD),
    Case("list what changed, by no operator", 400, lambda w: changed_since(w, "about:2020-01-01T00:00:00"), BAD),
    Case("list by an unknown filter", 400, lambda w: detail(w, "colour=red"), BAD),
    Case("list by an unknown filter, 3.0", 200, lambda w: detail(w, f"{marked(w)}&colour=red", "3.0")),
    Case("list a page", 200, lambda w: detail(w, f"{marked(w)}&limit=1"), has=("volumes_links",)),
    Case("list the next page", 200, next_page, has=VOLUME),
    Case("list after an unknown volume", 404, lambda w: detail(w, f"marker={NO_VOLUME}"), NONE),
    Case("list pages of no length", 400, lambda w: detail(w, "limit=short"), BAD),
    Case("list types", 200, lambda w: w.demo.cinder("GET", "/types?is_public=None"), has=("name", "extra_specs")),
    Case("limits", 200, lambda w: w.demo.cinder("GET", "/limits"), has=("absolute",)),
    Case("messages of a failed volume", 200, messages, has=("user_message", "resource_uuid")),
    Case("delete", 202, lambda w: delete(w, w.volume())),
    Case("delete a failed volume", 202, lambda w: delete(w, failed(w))),
    Case("delete nothing", 404, lambda w: delete(w, NO_VOLUME), NONE),
    Case("delete what is attached", 400, lambda w: delete(w, w.used), BAD),
    Case("delete what is being made", 400, delete_while_creating, BAD),
    Case("delete what is reserved", 400, delete_reserved, BAD),
    Case(
        "reset a status without being an administrator",
        403,
        lambda w: w.demo.cinder("POST", f"/volumes/{w.free}/action", {"os-reset_status": {"status": "error"}}),
        "forbidden",
    ),
    Case("attach", 200, lambda w: w.asked_attach(w.volume(), w.server), has=("volumeId", "serverId", "device")),
    Case("attach twice", 400, lambda w: w.asked_attach(w.used, w.server), BAD),
    Case("attach elsewhere", 400, attach_elsewhere, BAD),
    Case("attach while it is being attached", 400, attach_while_attaching, BAD),
    Case("attach what is being made", 400, lambda w: w.asked_attach(being_made(w), w.server), BAD),
    Case("attach what failed", 400, lambda w: w.asked_attach(failed(w), w.server), BAD),
    Case("attach what is reserved", 400, attach_reserved, BAD),
    Case("attach from another zone", 400, lambda w: w.asked_attach(w.volume(availability_zone="az2"), w.server), BAD),
    Case("attach nothing", 404, lambda w: w.asked_attach(NO_VOLUME, w.server), NONE),
    Case("attach to nothing", 404, lambda w: w.asked_attach(w.free, NO_SERVER), NONE),
    Case("attach what is no id", 400, lambda w: w.asked_attach("pvc-1", w.server), BAD),
    Case("attach to two servers", 200, lambda w: attach_to_two(w, "2.60"), has=("volumeId",)),
    Case("attach to two servers, before 2.60", 400, lambda w: attach_to_two(w, "2.59"), BAD),
    Case("list attachments", 200, attachments, has=("volumeId", "serverId", "device")),
    Case("show an attachment", 200, lambda w: attachments(w, w.used), has=("volumeId", "serverId", "device")),
    Case("show no attachment", 404, lambda w: attachments(w, w.free), NONE),
    Case("detach", 202, detach),
    Case("detach while it is being detached", 400, lambda w: detach(w, again=True), BAD),
    Case("detach while it is being attached", 400, detach_while_attaching, BAD),
    Case("detach what is not attached", 404, lambda w: w.asked_detach(w.free, w.server), NONE),
    Case("detach nothing", 404, lambda w: w.asked_detach(NO_VOLUME, w.server), NONE),
    Case("detach from nothing", 404, lambda w: w.asked_detach(w.free, NO_SERVER), NONE),
    Case("show a server", 200, lambda w: w.demo.nova("GET", f"/servers/{w.server}"), has=("id", "status")),
    Case("show no server", 404, lambda w: w.demo.nova("GET", f"/servers/{NO_SERVER}"), NONE),
)
