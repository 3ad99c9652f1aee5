"""A local copy of one collection, kept fresh, and a call for each change.

One thread lists the collection page by page, keeping of every object only what `slim` makes of it, and then follows a
watch. What the thread does next is always one of three things:

    list    at the start, and when the server has forgotten our version (410): what is no longer there counts as deleted
    watch   from the version last seen, with bookmarks; a silent peer counts as dead
    wait    after a failure, with growing jitter, at least as long as the server's Retry-After

A watch that the server closes is opened again at once, unless it gave nothing new within a second: then it counts as a
failure, so that a server that only ever closes is not asked in a hot loop.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

from openstack_csi.backoff import Backoff, spread
from openstack_csi.kube.rest import ApiError, Gone, Rest, TooManyRequests, Unreachable, Watch

log = logging.getLogger(__name__)

T = TypeVar("T")
Json: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[str, T | None, T | None], None]

PAGE = 500  # objects; the heap's peak is one page's JSON
WATCH_SECONDS = (240.0, 480.0)  # drawn between, so that watches opened together do not end together
SILENCE_SECONDS = 100.0  # bookmarks come about every minute, except for a kind that nothing has happened to yet
SHORT_LIFE_SECONDS = 1.0
BACKOFF_START_SECONDS = 0.5
BACKOFF_MAXIMUM_SECONDS = 30.0
REFUSALS_BEFORE_LIST = 3  # a version that the server refuses for another reason than 410 (a restored etcd) ends here
STOP_SECONDS = 5.0


def key_of(metadata: Json) -> str:
    """The store's key of an object: "namespace/name", or "name" where there are no namespaces."""
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


class Informer(Generic[T]):
    """A followed collection.

    Args:
        rest: the API server.
        path: the collection, such as /api/v1/persistentvolumeclaims.
        slim: what is kept of an object. Handlers hear of changes in it alone, so it should have an equality.
        name: the thread's and the log's name for it.
        query: selectors, sent with lists and watches.
        clock: monotonic seconds.
        silence: seconds without event or bookmark after which the connection is replaced.
        backoff: the delays after failures.
    """

    def __init__(
        self,
        rest: Rest,
        path: str,
        slim: Callable[[Json], T],
        *,
        name: str,
        query: dict[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        silence: float = SILENCE_SECONDS,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self._rest = rest
        self._path = path
        self._slim = slim
        self._query: dict[str, object] = dict(query or {})
        self._clock = clock
        self._silence = silence
        self._backoff = backoff or Backoff(BACKOFF_START_SECONDS, BACKOFF_MAXIMUM_SECONDS)
        self._handlers: list[Handler[T]] = []
        self._lock = threading.Lock()  # of the store and of the open watch
        self._store: dict[str, tuple[str, T]] = {}  # key → (UID, slim)
        self._version = ""  # of the collection, as last seen; empty means: list
        self._refusals = 0  # watches in a row that the server answered with an error
        self._watch: Watch | None = None
        self._synced = threading.Event()
        self._stopping = threading.Event()
        self._heard_at = clock()
        self._thread = threading.Thread(target=self._run, name=f"informer-{name}", daemon=True)

    def on_change(self, handler: Handler[T]) -> None:
        """Call `handler(key, old, new)` from the informer's thread for each change; register before `start`.

        `old` is None for a new object, `new` for a deleted one. A name deleted and taken again by another object is
        told as a deletion and a creation, even if both happened while the watch was down. An exception is logged.
        """
        self._handlers.append(handler)

    def start(self) -> None:
        """Begin to list and watch."""
        self._heard_at = self._clock()
        self._thread.start()

    def stop(self) -> None:
        """End the watch and its thread; handlers are not called after this returns."""
        self._stopping.set()
        with self._lock:
            if self._watch is not None:
                self._watch.close()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)

    @property
    def synced(self) -> bool:
        """Whether the first list is complete and every handler has heard of it."""
        return self._synced.is_set()

    def wait_synced(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for `synced`; whether it is."""
        return self._synced.wait(timeout)

    def get(self, key: str) -> T | None:
        """The object of that key, None if there is none."""
        with self._lock:
            entry = self._store.get(key)
        return entry[1] if entry else None

    def values(self) -> list[T]:
        """All objects."""
        with self._lock:
            return [slim for _, slim in self._store.values()]

    def lag(self) -> float:
        """Seconds since the API server was last heard of: an event, a bookmark or a list."""
        return self._clock() - self._heard_at

    def _run(self) -> None:
        while not self._stopping.is_set():
            pause = self._step()
            if pause:
                self._stopping.wait(pause)

    def _step(self) -> float:
        """List or watch once; seconds to wait before the next step."""
        try:
            if not self._version:
                self._list()
            if self._stopping.is_set() or self._follow():
                return 0.0
            return self._backoff.next()
        except Gone:
            log.info("the watched version is gone, listing again", extra={"informer": self.name})
            self._version = ""
            pause = self._backoff.next()
            return pause if self._backoff.failures > 1 else 0.0
        except ApiError as fault:
            self._give_up_version_after(fault)
            pause = self._backoff.next(fault.retry_after)
            log.warning(
                "list or watch failed",
                extra={"informer": self.name, "error": str(fault), "next_try_in": round(pause, 1)},
            )
            return pause
        except Exception:
            log.exception("informer failed, listing again", extra={"informer": self.name})
            self._version = ""
            return self._backoff.next()

    def _give_up_version_after(self, fault: ApiError) -> None:
        if isinstance(fault, Unreachable | TooManyRequests):
            return
        self._refusals += 1
        if self._refusals >= REFUSALS_BEFORE_LIST:
            self._refusals = 0
            self._version = ""

    def _list(self) -> None:
        seen: set[str] = set()
        version = ""
        for page in self._rest.pages(self._path, PAGE, **self._query):
            version = page["metadata"]["resourceVersion"]
            for item in page["items"]:
                seen.add(self._put(item))
            self._heard_at = self._clock()
            if self._stopping.is_set():
                return
        for key in self._store.keys() - seen:
            self._drop(key)
        self._version = version
        if not self._synced.is_set():
            log.info("synced", extra={"informer": self.name, "objects": len(self._store)})
            self._synced.set()

    def _follow(self) -> bool:
        """Watch until the stream ends; whether it was worth opening."""
        begun, news = self._clock(), False
        watch = self._rest.watch(
            self._path,
            timeout_seconds=spread(*WATCH_SECONDS),
            read_timeout=self._silence,
            resourceVersion=self._version,
            allowWatchBookmarks=True,
            **self._query,
        )
        with self._lock:
            self._watch = watch
        self._heard_at = self._clock()
        if self._stopping.is_set():  # stop() may have come before it could see this watch
            watch.close()
        try:
            for event in watch:
                self._heard_at = self._clock()
                self._take(event)
                news = news or event["type"] != "BOOKMARK"
        except Unreachable as fault:
            if not fault.timed_out:
                raise
            log.debug("a silent watch is replaced", extra={"informer": self.name})
        finally:
            worthwhile = news or self._clock() - begun >= min(SHORT_LIFE_SECONDS, self._silence)
            if worthwhile:
                self._backoff.reset()
                self._refusals = 0
        return worthwhile

    def _take(self, event: Json) -> None:
        item = event["object"]
        if event["type"] == "DELETED":
            self._drop(key_of(item["metadata"]))
        elif event["type"] != "BOOKMARK":
            self._put(item)
        self._version = item["metadata"]["resourceVersion"]

    def _put(self, item: Json) -> str:
        metadata = item["metadata"]
        key, uid = key_of(metadata), metadata["uid"]
        new = self._slim(item)
        known = self._store.get(key)
        if known and known[0] != uid:
            self._drop(key)
            known = None
        with self._lock:
            self._store[key] = (uid, new)
        old = known[1] if known else None
        if known is None or old != new:
            self._tell(key, old, new)
        return key

    def _drop(self, key: str) -> None:
        with self._lock:
            entry = self._store.pop(key, None)
        if entry:
            self._tell(key, entry[1], None)

    def _tell(self, key: str, old: T | None, new: T | None) -> None:
        for handler in self._handlers:
            try:
                handler(key, old, new)
            except Exception:
                log.exception("a handler failed", extra={"informer": self.name, "key": key})
