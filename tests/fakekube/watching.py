"""One watch: the events after a version, then each new one, bookmarks when idle, and the end."""

from __future__ import annotations

import json
import threading
import time

from tests.fakekube.connection import Connection, Request
from tests.fakekube.faults import Fault
from tests.fakekube.resources import Ref
from tests.fakekube.selectors import Match, selector
from tests.fakekube.store import Collection, Event, Store

_LOOK_SECONDS = 0.5  # how often a waiting watch looks whether its client is still there


def serve_watch(
    store: Store,
    connection: Connection,
    request: Request,
    ref: Ref,
    fault: Fault,
    bookmark_seconds: float,
    stopping: threading.Event,
) -> None:
    watch = _Watch(store, connection, request, ref, fault)
    connection.begin_stream()
    if fault.error_event:
        watch.send_error(fault.error_event, "a fault of the test")
    elif fault.mute:
        watch.be_mute(stopping)
    elif not fault.empty:
        watch.run(bookmark_seconds, stopping)
    connection.end_stream()


class _Watch:
    def __init__(self, store: Store, connection: Connection, request: Request, ref: Ref, fault: Fault) -> None:
        query = request.query
        self._store = store
        self._connection = connection
        self._ref = ref
        self._collection: Collection = store.collections[ref.resource]
        self._match: Match | None = selector(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        self._version = int(query.get("resourceVersion") or 0)
        self._bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
        self._ends_at = time.monotonic() + float(query.get("timeoutSeconds") or 3600)
        self._close_every = fault.close_every
        self._copies = 2 if fault.duplicate else 1
        self._sent = 0

    def run(self, bookmark_seconds: float, stopping: threading.Event) -> None:
        if not self._version:
            self._send_all_there_is()
        bookmark_at = time.monotonic() + bookmark_seconds
        while not stopping.is_set():
            if self._version < self._collection.forgotten:
                self.send_error(410, f"too old resource version: {self._version} ({self._collection.forgotten})")
                return
            events = self._wait(min(bookmark_at, self._ends_at))
            if events:
                if not self._send(events):
                    return
                continue
            now = time.monotonic()
            if self._bookmarks and now >= bookmark_at:
                self._send_bookmark()
                bookmark_at = now + bookmark_seconds
            if now >= self._ends_at or not self._connection.has_peer():
                return

    def be_mute(self, stopping: threading.Event) -> None:
        while not stopping.wait(_LOOK_SECONDS) and self._connection.has_peer():
            pass

    def send_error(self, code: int, message: str) -> None:
        reason = "Expired" if code == 410 else "InternalError"
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
        line = json.dumps({"type": "ERROR", "object": {**status, "message": message}})
        self._connection.stream(line.encode() + b"\n")

    def _wait(self, until: float) -> list[Event]:
        with self._store.lock:
            events = self._collection.since(self._version)
            if not events:
                self._collection.changed.wait(max(0.0, min(_LOOK_SECONDS, until - time.monotonic())))
                events = self._collection.since(self._version)
            return events

    def _send(self, events: list[Event]) -> bool:
        """Send the events that are selected; whether the watch goes on."""
        lines = []
        for event in events:
            self._version = event.version
            type_ = self._type_for_us(event)
            if not type_:
                continue
            lines += [b'{"type":"%b","object":%b}\n' % (type_.encode(), event.new.full)] * self._copies
            self._sent += 1
            if self._sent == self._close_every:
                break
        if lines:
            self._connection.stream(b"".join(lines))
        return not self._close_every or self._sent < self._close_every

    def _type_for_us(self, event: Event) -> str:
        """The event's type as this watch sees it, empty if it does not: an object may enter or leave a selection."""
        if self._ref.namespace and event.new.obj["metadata"].get("namespace") != self._ref.namespace:
            return ""
        if self._match is None:
            return event.type
        is_in = event.type != "DELETED" and self._match(event.new.obj)
        was_in = event.old is not None and self._match(event.old.obj)
        if is_in:
            return "MODIFIED" if was_in else "ADDED"
        return "DELETED" if was_in else ""

    def _send_all_there_is(self) -> None:
        self._version, objects = self._store.list(self._ref, self._match)
        for stored in objects:
            self._connection.stream(b'{"type":"ADDED","object":%b}\n' % stored.full)

    def _send_bookmark(self) -> None:
        with self._store.lock:
            if self._collection.since(self._version):
                return
            self._version = self._store.version
        resource = self._ref.resource
        metadata = {"resourceVersion": str(self._version), "creationTimestamp": None}
        bookmark = {"kind": resource.kind, "apiVersion": resource.version, "metadata": metadata}
        self._connection.stream(json.dumps({"type": "BOOKMARK", "object": bookmark}).encode() + b"\n")
