"""The fake API server itself: what each request does, and the thread that does it."""

from __future__ import annotations

import base64
import copy
import json
import socket
import threading
import time
from collections import Counter, deque
from typing import Any, Self

from tests.fakekube import patches
from tests.fakekube.connection import Connection, Request
from tests.fakekube.faults import Fault, Faults
from tests.fakekube.resources import RESOURCES, Ref, UnknownPath, resolve
from tests.fakekube.selectors import selector
from tests.fakekube.store import Refused, Store, Stored
from tests.fakekube.watching import serve_watch

Json = dict[str, Any]
_PATCHES = {
    "application/merge-patch+json": patches.merge,
    "application/json-patch+json": patches.apply_operations,
    "application/strategic-merge-patch+json": patches.merge_strategically,
}
_NAMESPACES = RESOURCES["v1", "namespaces"]
_LISTS_KEPT = 200  # a page may be asked for again, so its token outlives its use
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class FakeKube:
    """An API server on a free port of the loopback.

    Args:
        bookmark_seconds: how often an idle watch that asked for bookmarks gets one.
        history: events of each collection that watches can begin from.
    """

    def __init__(self, *, bookmark_seconds: float = 60.0, history: int = 50_000) -> None:
        self.bookmark_seconds = bookmark_seconds
        self.store = Store(history)
        self.faults = Faults()
        self.calls: Counter[tuple[str, str]] = Counter()  # by verb and resource
        self.requests: deque[Request] = deque(maxlen=2000)
        self.stopping = threading.Event()
        self._watches: Counter[str] = Counter()  # open ones, by resource
        self._lists: dict[str, tuple[int, list[Stored]]] = {}  # by continue token: version and what is left
        self._connections: set[Connection] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        for name in ("default", "kube-system"):
            self.create("/api/v1/namespaces", {"metadata": {"name": name}})
        threading.Thread(target=self._accept, name="fakekube", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self.stopping.is_set():
            return
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.close_connections()

    # For tests and for the other actors of a simulation: past HTTP, faults and counts.

    def create(self, path: str, body: Json) -> Json:
        """Make an object, with the status that it is given, and its namespace where that is missing."""
        ref = resolve(path)
        if ref.namespace and not self._has_namespace(ref.namespace):
            self.create("/api/v1/namespaces", {"metadata": {"name": ref.namespace}})
        return copy.deepcopy(self.store.create(ref, body).obj)

    def get(self, path: str) -> Json:
        return copy.deepcopy(self.store.get(resolve(path)).obj)

    def list(self, path: str) -> list[Json]:
        return [copy.deepcopy(stored.obj) for stored in self.store.list(resolve(path), None)[1]]

    def patch(self, path: str, patch: Json) -> Json:
        """Apply a merge patch, to the status too."""
        return copy.deepcopy(self.store.update(resolve(path), lambda obj: patches.merge(obj, patch), whole=True).obj)

    def delete(self, path: str) -> Json:
        return copy.deepcopy(self.store.delete(resolve(path), {}).obj)

    def fail(self, **fault: Any) -> Fault:
        """Add a fault; see Fault for its fields."""
        return self.faults.add(Fault(**fault))

    def heal(self) -> None:
        self.faults.clear()

    def compact(self) -> None:
        """Forget old versions: 410 to watches and continued lists that began before."""
        self.store.compact()
        self._lists.clear()

    def close_connections(self) -> None:
        """Tear all connections, as a restart of the server does."""
        for connection in list(self._connections):
            connection.close()

    def open_watches(self, resource: str) -> int:
        return self._watches[resource]

    # HTTP

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(Connection(sock), sock), name="fakekube", daemon=True).start()

    def _serve(self, connection: Connection, sock: socket.socket) -> None:
        self._connections.add(connection)
        try:
            while (request := connection.read()) is not None and not self.stopping.is_set():
                if not self._handle(connection, request):
                    return
        except OSError:
            return
        finally:
            self._connections.discard(connection)
            connection.close()
            sock.close()

    def _handle(self, connection: Connection, request: Request) -> bool:
        """Answer one request; whether the connection can be used again."""
        self.requests.append(request)
        try:
            ref = resolve(request.path)
        except UnknownPath:
            known = request.path in ("/healthz", "/livez", "/readyz", "/version")
            connection.answer(*((200, b'{"gitVersion":"v1.36.3"}') if known else _status(404, "NotFound", "not found")))
            return True
        verb, resource, name = _describe(request, ref)
        self.calls[verb, resource] += 1
        fault = self.faults.match(verb, resource, name) or Fault()
        if fault.delay:
            time.sleep(fault.delay)
        if fault.drop == "before":
            return False
        if fault.status:
            retry = "" if fault.retry_after is None else f"Retry-After: {fault.retry_after}\r\n"
            connection.answer(*_status(fault.status, "", "a fault of the test"), retry)
            return True
        if verb == "watch":
            self._count_watch(resource, 1)
            try:
                serve_watch(self.store, connection, request, ref, fault, self.bookmark_seconds, self.stopping)
            finally:
                self._count_watch(resource, -1)
            return True
        status, body = self._outcome(verb, ref, request)
        if fault.drop == "after":
            return False
        connection.answer(status, body)
        return True

    def _has_namespace(self, name: str) -> bool:
        return ("", name) in self.store.collections[_NAMESPACES].objects

    def _count_watch(self, resource: str, change: int) -> None:
        with self.store.lock:
            self._watches[resource] += change

    def _outcome(self, verb: str, ref: Ref, request: Request) -> tuple[int, bytes]:
        try:
            return self._do(verb, ref, request)
        except Refused as refusal:
            return _status(refusal.status, refusal.reason, str(refusal))
        except patches.BadPatch as bad:
            return _status(422, "Invalid", str(bad))

    def _do(self, verb: str, ref: Ref, request: Request) -> tuple[int, bytes]:
        if verb == "list":
            return 200, self._page(ref, request.query)
        if verb == "get":
            return 200, self.store.get(ref).full
        body: Any = json.loads(request.body) if request.body else {}
        if verb == "create":
            if ref.namespace and not self._has_namespace(ref.namespace):
                raise Refused(404, "NotFound", f'namespaces "{ref.namespace}" not found')
            return 201, self.store.create(ref, _first_status(ref, body)).full
        if verb == "delete":
            gone = self.store.delete(ref, body.get("preconditions") or {})
            return (200, gone.full) if ref.resource.returns_deleted else _status(200, "", "")
        if verb == "update":
            return 200, self.store.replace(ref, body).full
        kind = request.headers.get("content-type", "").partition(";")[0]
        patch = _PATCHES.get(kind)
        if patch is None:
            raise Refused(415, "UnsupportedMediaType", f"unknown patch type {kind}")
        return 200, self.store.update(ref, lambda obj: patch(obj, body)).full

    def _page(self, ref: Ref, query: dict[str, str]) -> bytes:
        token = query.get("continue", "")
        if token:
            if token not in self._lists:
                raise Refused(410, "Expired", "the provided continue parameter is too old")
            version, left = self._lists[token]
        else:
            match = selector(query.get("labelSelector", ""), query.get("fieldSelector", ""))
            version, left = self.store.list(ref, match)
        limit = int(query.get("limit") or 0) or len(left)
        page, left = left[:limit], left[limit:]
        metadata: Json = {"resourceVersion": str(version)}
        if left:
            following = base64.b64encode(f"{version}/{id(left)}".encode()).decode()
            self._lists[following] = (version, left)
            if len(self._lists) > _LISTS_KEPT:
                self._lists.pop(next(iter(self._lists)))
            metadata |= {"continue": following, "remainingItemCount": len(left)}
        resource = ref.resource
        head = {"kind": f"{resource.kind}List", "apiVersion": resource.version, "metadata": metadata}
        return json.dumps(head).encode()[:-1] + b',"items":[' + b",".join(stored.body for stored in page) + b"]}"


def _describe(request: Request, ref: Ref) -> tuple[str, str, str]:
    verb = _VERBS.get(request.method)
    if verb is None:
        verb = "watch" if request.query.get("watch") in ("true", "1") else ("get" if ref.name else "list")
    plural = ref.resource.plural
    name = f"{ref.namespace}/{ref.name}" if ref.namespace and ref.name else ref.name
    return verb, f"{plural}/{ref.subresource}" if ref.subresource else plural, name


def _status(code: int, reason: str, message: str) -> tuple[int, bytes]:
    told = "Success" if code < 300 else "Failure"
    body = {"kind": "Status", "apiVersion": "v1", "status": told, "reason": reason, "message": message, "code": code}
    return code, json.dumps(body).encode()


def _first_status(ref: Ref, body: Json) -> Json:
    """What a kind's creation makes of a given status: the client does not choose it."""
    if ref.resource.plural in ("persistentvolumeclaims", "persistentvolumes", "pods"):
        return {**body, "status": {"phase": "Pending"}}
    if ref.resource.plural == "volumeattachments":
        return {**body, "status": {"attached": False}}
    return body
