"""The objects of the fake API server, their versions, and the log of events that watches read.

Objects are never changed in place: each write makes a new dict and its JSON, once, which lists and all watches then
share. Like the real server, a list's items carry no kind and apiVersion; single objects and events do.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fakekube.resources import RESOURCES, Ref, Resource
from tests.fakekube.selectors import Match

Json = dict[str, Any]
_KEPT_METADATA = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


class Refused(Exception):
    """A Status other than success."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Stored:
    obj: Json
    body: bytes  # its JSON, without kind and apiVersion
    full: bytes  # its JSON


@dataclass(frozen=True, slots=True)
class Event:
    version: int
    type: str
    new: Stored
    old: Stored | None


@dataclass
class Collection:
    resource: Resource
    lock: threading.RLock
    objects: dict[tuple[str, str], Stored] = field(default_factory=dict)  # by namespace and name
    log: list[Event] = field(default_factory=list)
    forgotten: int = 0  # the version up to which events are no longer in the log

    def __post_init__(self) -> None:
        head = json.dumps({"kind": self.resource.kind, "apiVersion": self.resource.version})
        self.prefix = head[:-1].encode() + b","
        self.changed = threading.Condition(self.lock)

    def since(self, version: int) -> list[Event]:
        return self.log[bisect_right(self.log, version, key=lambda event: event.version) :]


class Store:
    """All collections under one lock; `history` is how many events of each are kept for watches."""

    def __init__(self, history: int = 50_000) -> None:
        self.lock = threading.RLock()
        self.version = 1
        self.history = history
        self.collections = {resource: Collection(resource, self.lock) for resource in RESOURCES.values()}

    def get(self, ref: Ref) -> Stored:
        stored = self.collections[ref.resource].objects.get((ref.namespace, ref.name))
        if stored is None:
            raise Refused(404, "NotFound", f'{ref.resource.label} "{ref.name}" not found')
        return stored

    def list(self, ref: Ref, match: Match | None) -> tuple[int, list[Stored]]:
        """The collection's version and its objects, in the order of their keys."""
        with self.lock:
            objects = self.collections[ref.resource].objects
            chosen = [
                stored
                for key, stored in sorted(objects.items(), key=lambda item: item[0])
                if (not ref.namespace or key[0] == ref.namespace) and (match is None or match(stored.obj))
            ]
            return self.version, chosen

    def create(self, ref: Ref, body: Json) -> Stored:
        metadata = dict(body.get("metadata") or {})
        if not metadata.get("name"):
            if not metadata.get("generateName"):
                raise Refused(422, "Invalid", "name or generateName is required")
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        if ref.resource.namespaced:
            metadata["namespace"] = ref.namespace
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            metadata.pop(key, None)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp()}
        with self.lock:
            if (metadata.get("namespace", ""), metadata["name"]) in self.collections[ref.resource].objects:
                raise Refused(409, "AlreadyExists", f'{ref.resource.label} "{metadata["name"]}" already exists')
            return self._put("ADDED", ref.resource, {**body, "metadata": metadata}, None)

    def replace(self, ref: Ref, body: Json) -> Stored:
        """PUT the object or its status."""
        with self.lock:
            if ref.resource.made_by_put and (ref.namespace, ref.name) not in self.collections[ref.resource].objects:
                raise Refused(409, "Conflict", f'{ref.resource.label} "{ref.name}": invalid object')
            known = self.get(ref).obj["metadata"]["uid"]
            given = (body.get("metadata") or {}).get("uid", known)
            if given != known:
                raise Refused(409, "Conflict", f"Precondition failed: UID in precondition: {given}")
            return self.update(ref, lambda _: body)

    def update(self, ref: Ref, change: Callable[[Json], Json], *, whole: bool = False) -> Stored:
        """Replace the object by change(object), as a PATCH of it or of its status does, or both if `whole`."""
        with self.lock:
            stored = self.get(ref)
            old = stored.obj
            new = change(old)
            _be_same_object(ref, old, new)
            new = _updated(ref, old, new, whole)
            if new == old:
                return stored
            deleting = "deletionTimestamp" in old["metadata"]
            finalizers = new["metadata"].get("finalizers") or []
            if deleting and set(finalizers) - set(old["metadata"].get("finalizers") or []):
                raise Refused(422, "Invalid", "metadata.finalizers: no new finalizers can be added while deleting")
            if deleting and not finalizers:
                return self._remove(ref, stored, new)
            return self._put("MODIFIED", ref.resource, new, stored)

    def delete(self, ref: Ref, preconditions: Json) -> Stored:
        """Delete the object, or mark it when it has finalizers."""
        with self.lock:
            stored = self.get(ref)
            metadata = stored.obj["metadata"]
            for key in ("uid", "resourceVersion"):
                if preconditions.get(key, metadata[key]) != metadata[key]:
                    raise Refused(409, "Conflict", f"the {key} in the precondition differs from {metadata[key]}")
            if not metadata.get("finalizers"):
                return self._remove(ref, stored, stored.obj)
            if "deletionTimestamp" in metadata:
                return stored
            marked = {**metadata, "deletionTimestamp": timestamp(), "deletionGracePeriodSeconds": 0}
            return self._put("MODIFIED", ref.resource, {**stored.obj, "metadata": marked}, stored)

    def compact(self) -> None:
        """Forget all events: watches from earlier versions get 410."""
        with self.lock:
            for collection in self.collections.values():
                collection.log.clear()
                collection.forgotten = self.version

    def _put(self, type_: str, resource: Resource, obj: Json, old: Stored | None) -> Stored:
        collection = self.collections[resource]
        new = self._stored(collection, obj)
        metadata = new.obj["metadata"]
        collection.objects[metadata.get("namespace", ""), metadata["name"]] = new
        self._log(collection, type_, new, old)
        return new

    def _remove(self, ref: Ref, stored: Stored, last: Json) -> Stored:
        collection = self.collections[ref.resource]
        del collection.objects[ref.namespace, ref.name]
        gone = self._stored(collection, last)
        self._log(collection, "DELETED", gone, stored)
        return gone

    def _stored(self, collection: Collection, obj: Json) -> Stored:
        self.version += 1
        resource = collection.resource
        metadata = {**obj["metadata"], "resourceVersion": str(self.version)}
        bare = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")} | {"metadata": metadata}
        body = json.dumps(bare, separators=(",", ":")).encode()
        return Stored(
            {"kind": resource.kind, "apiVersion": resource.version, **bare}, body, collection.prefix + body[1:]
        )

    def _log(self, collection: Collection, type_: str, new: Stored, old: Stored | None) -> None:
        collection.log.append(Event(self.version, type_, new, old))
        if len(collection.log) > 2 * self.history:
            collection.forgotten = collection.log[-self.history - 1].version
            del collection.log[: -self.history]
        collection.changed.notify_all()


def timestamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _be_same_object(ref: Ref, old: Json, new: Json) -> None:
    given, known = new.get("metadata") or {}, old["metadata"]
    if given.get("name", ref.name) != ref.name:
        raise Refused(400, "BadRequest", "the name of the object does not match the name on the URL")
    if given.get("uid", known["uid"]) != known["uid"]:
        raise Refused(422, "Invalid", f'metadata.uid: Invalid value: "{given["uid"]}": field is immutable')
    if given.get("resourceVersion", known["resourceVersion"]) != known["resourceVersion"]:
        raise Refused(
            409,
            "Conflict",
            f'Operation cannot be fulfilled on {ref.resource.label} "{ref.name}": the object has been modified; '
            "please apply your changes to the latest version and try again",
        )


def _updated(ref: Ref, old: Json, new: Json, whole: bool) -> Json:
    """What a write may change: the status alone through /status, all but the status else; never an identity."""
    if ref.subresource == "status":
        metadata = _metadata(old, new) if ref.resource.status_changes_metadata else old["metadata"]
        return {**old, "metadata": metadata, "status": new.get("status") or {}}
    result = {**new, "kind": old["kind"], "apiVersion": old["apiVersion"], "metadata": _metadata(old, new)}
    if ref.resource.has_status and not whole:
        result.pop("status", None)
        if "status" in old:
            result["status"] = old["status"]
    return result


def _metadata(old: Json, new: Json) -> Json:
    known = old["metadata"]
    metadata = {key: value for key, value in (new.get("metadata") or {}).items() if key not in _KEPT_METADATA}
    metadata |= {key: known[key] for key in _KEPT_METADATA if key in known}
    metadata["resourceVersion"] = known["resourceVersion"]
    return metadata
