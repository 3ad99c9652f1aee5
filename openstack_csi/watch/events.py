"""Events on claims and PVs: what people read first, and often all that they read.

`Recorder.event` only puts the event on a bounded list; a thread of its own writes it. When the list is full the
oldest goes, and is counted: an event is never worth a waiting worker. The same event about the same object within ten
minutes is not written again: its count goes up, at most once in half a minute.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from openstack_csi.kube.rest import ApiError, Forbidden, NotFound
from openstack_csi.watch.fence import Api, NotLeading
from openstack_csi.watch.objects import ObjectRef

log = logging.getLogger(__name__)

SAME_SECONDS = 600.0
QUIET_SECONDS = 30.0
LONGEST_MESSAGE = 1024
LONGEST_NAME = 200
REMEMBERED = 4096
ATTEMPTS = 3
PAUSE_SECONDS = 1.0

Kind = Literal["Normal", "Warning"]


@dataclass(frozen=True)
class _Event:
    about: ObjectRef
    kind: Kind
    reason: str
    message: str
    when: datetime

    @property
    def key(self) -> tuple[str, str, str]:
        return self.about.uid, self.reason, self.message


@dataclass
class _Written:
    """An event that stands in the API server, and how often it happened."""

    path: str
    count: int
    first_at: float
    last_at: float


class Recorder:
    """Writes events (core/v1).

    Args:
        api: where to.
        component: who they are from; the stock provisioner uses the driver's name.
        clock: monotonic seconds.
        now: the time that events carry.
        bound: how many may wait to be written.
        wait: waits that many seconds before the next attempt, less when the recorder is stopped.
    """

    def __init__(
        self,
        api: Api,
        component: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        bound: int = 4096,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._api = api
        self._component = component
        self._clock = clock
        self._now = now
        self._bound = bound
        self._waiting: deque[_Event] = deque()
        self._changed = threading.Condition()
        self._written: OrderedDict[tuple[str, str, str], _Written] = OrderedDict()
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def event(self, about: ObjectRef, kind: Kind, reason: str, message: str) -> None:
        """Have an event written soon; returns at once."""
        event = _Event(about, kind, reason, _shortened(message), self._now())
        with self._changed:
            if len(self._waiting) >= self._bound:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(event)
            self._changed.notify()

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Write no more; what waits is dropped."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)

    def flush(self) -> None:
        """Write what waits, in the caller's thread."""
        while self._waiting:
            self._write(self._waiting.popleft())

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping.is_set())
                if self._stopping.is_set():
                    return
                event = self._waiting.popleft()
            self._write(event)

    def _write(self, event: _Event) -> None:
        for _ in range(ATTEMPTS):
            try:
                self._put(event)
                return
            except NotLeading:
                return
            except Forbidden as error:  # also: the namespace is being deleted
                log.info("event refused", extra={"event": event.reason, "about": event.about.name, "error": str(error)})
                return
            except ApiError as error:
                failure = error
                self._wait(error.retry_after or PAUSE_SECONDS)
            except Exception:
                log.exception("event lost", extra={"event": event.reason, "about": event.about.name})
                return
        self.dropped += 1
        log.warning("event lost", extra={"event": event.reason, "about": event.about.name, "error": str(failure)})

    def _put(self, event: _Event) -> None:
        written = self._written.get(event.key)
        at = self._clock()
        if written is None or at - written.first_at >= SAME_SECONDS:
            self._create(event, at)
            return
        written.count += 1
        if at - written.last_at < QUIET_SECONDS:
            return
        try:
            self._api.merge(written.path, {"count": written.count, "lastTimestamp": _stamp(event.when)})
            written.last_at = at
        except NotFound:  # the API server forgets events after an hour or so
            self._create(event, at)

    def _create(self, event: _Event, at: float) -> None:
        about = event.about
        namespace = about.namespace or "default"
        path = f"/api/v1/namespaces/{namespace}/events"
        name = f"{about.name[:LONGEST_NAME].rstrip('.-')}.{uuid.uuid4().hex[:16]}"
        self._api.create(path, self._body(event, namespace, name))
        self._written[event.key] = _Written(f"{path}/{name}", 1, at, at)
        self._written.move_to_end(event.key)
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    def _body(self, event: _Event, namespace: str, name: str) -> dict[str, Any]:
        about, when = event.about, _stamp(event.when)
        involved = {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "name": about.name,
            "namespace": about.namespace,
            "uid": about.uid,
            "resourceVersion": about.resource_version,
        }
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": namespace, "name": name},
            "involvedObject": {key: value for key, value in involved.items() if value},
            "type": event.kind,
            "reason": event.reason,
            "message": event.message,
            "count": 1,
            "firstTimestamp": when,
            "lastTimestamp": when,
            "source": {"component": self._component},
            "reportingComponent": self._component,
        }


def _shortened(message: str) -> str:
    return message if len(message) <= LONGEST_MESSAGE else f"{message[: LONGEST_MESSAGE - 1]}…"


def _stamp(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
