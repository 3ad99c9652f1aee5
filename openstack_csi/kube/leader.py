"""One of several controllers works; the others wait: election over a coordination.k8s.io/v1 Lease.

The safety rests on time that each process measures for itself, on its own monotonic clock, and never on comparing
another machine's wall clock with ours. A candidate takes the lease over when it has *seen* it unchanged for as long as
the lease lasts. A leader counts its term from the moment *before* it sent the renewal that succeeded, and gives up
`lease - renew` seconds before any candidate can have waited long enough:

    leader     sent ───────────── renew deadline: is_leader False, on_stopped ──┐
    candidate     saw ───────────────────────────────────────── lease over: on_started

When it is stopped, a leader first calls on_stopped and then empties the lease, and a candidate's next poll takes it.
One thread does all of it. A renewal is one PUT with the version that we wrote last, so whoever was quicker wins.
"""

from __future__ import annotations

import datetime
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from openstack_csi.backoff import spread
from openstack_csi.kube.rest import ApiError, Conflict, NotFound, Rest

log = logging.getLogger(__name__)

Json: TypeAlias = dict[str, Any]

LEASE_SECONDS = 15.0
RENEW_SECONDS = 10.0
RETRY_SECONDS = 2.0
STOP_SECONDS = 35.0  # on_stopped may drain the workers, which takes up to 30 s
SHORTEST_CALL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Seen:
    """The lease as it was seen first in this form."""

    version: str
    holder: str
    lasts: float  # seconds, as its holder promised
    at: float  # our clock


class LeaderElection:
    """A candidate for a Lease.

    Args:
        rest: the API server.
        namespace: of the Lease.
        name: of the Lease.
        identity: ours; unique to this process, since a candidate takes a lease in its own name for its own.
        lease: seconds that others wait after the last renewal that they saw.
        renew: seconds after our last renewal at which we cease to lead; less than `lease`.
        retry: seconds between two attempts, at most; each is drawn from the upper half.
        clock: monotonic seconds.
        wall: now in UTC, for people who read the Lease.
        on_started: called in the election's thread when we lead; it returns soon, since renewals wait for it.
        on_stopped: called in the election's thread when we no longer lead, before anybody else can; it returns when the
            work has ended, within `lease - renew` seconds.

    After a loss the candidate goes on; a process that wants to begin anew instead exits in `on_stopped`.
    """

    def __init__(
        self,
        rest: Rest,
        namespace: str,
        name: str,
        identity: str,
        *,
        lease: float = LEASE_SECONDS,
        renew: float = RENEW_SECONDS,
        retry: float = RETRY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
        on_started: Callable[[], None],
        on_stopped: Callable[[], None],
    ) -> None:
        if not 0 < retry < renew < lease:
            raise ValueError(f"leader election needs retry < renew < lease, not {retry} {renew} {lease}")
        self.identity = identity
        self._rest = rest
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._lease = lease
        self._renew = renew
        self._retry = retry
        self._clock = clock
        self._wall = wall
        self._on_started = on_started
        self._on_stopped = on_stopped
        self._seen: _Seen | None = None
        self._object: Json = {}  # the Lease as read or written last, to be written from
        self._renewed_at: float | None = None  # set while we lead
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leader-election", daemon=True)

    @property
    def is_leader(self) -> bool:
        """Whether we lead now; False as soon as the renew deadline is over, even if a renewal hangs."""
        renewed_at = self._renewed_at
        return renewed_at is not None and self._clock() - renewed_at < self._renew

    @property
    def holder(self) -> str:
        """Who held the lease when it was last seen, empty if nobody."""
        return self._seen.holder if self._seen else ""

    def start(self) -> None:
        """Begin to compete."""
        self._thread.start()

    def stop(self) -> None:
        """Cease to compete: on_stopped is called if we lead, then the lease is released for the next."""
        self._stopping.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self.step())
        self.release()

    def step(self) -> float:
        """Make one attempt to get or keep the lease; seconds until the next one."""
        try:
            if self._renewed_at is None:
                self._acquire()
            else:
                self._write(self._renewed_at + self._renew - self._clock())
        except (Conflict, NotFound):
            self._look_who_holds_it()
        except ApiError as fault:
            log.warning("leader election call failed", extra={"lease": self._name, "error": str(fault)})
        except Exception:
            log.exception("leader election failed", extra={"lease": self._name})
        if self._renewed_at is not None and not self.is_leader:
            self._lose("the lease could not be renewed in time")
        return self._pause()

    def release(self) -> None:
        """Give the lease up if we hold it: on_stopped first, so that nobody can lead before our work has ended."""
        if self._renewed_at is None:
            return
        held = self.is_leader
        self._lose("stopped")
        if not held:
            return
        try:
            self._put({**self._object["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}, self._renew)
            log.info("released the lease", extra={"lease": self._name})
        except ApiError as fault:
            log.warning("the lease was not released and will run out", extra={"error": str(fault)})

    def _pause(self) -> float:
        pause = spread(self._retry / 2, self._retry)
        if self._renewed_at is not None:
            pause = min(pause, max(0.0, self._renewed_at + self._renew - self._clock()))
        return pause

    def _acquire(self) -> None:
        """Take the lease if nobody holds it, we do, or its holder has not been heard of for as long as it lasts."""
        begun = self._clock()
        try:
            seen = self._look()
        except NotFound:
            self._lead_since(begun, self._create())
            return
        if seen.holder in ("", self.identity) or self._clock() - seen.at >= seen.lasts:
            self._write(self._renew)

    def _look(self) -> _Seen:
        self._object = self._rest.within(self._renew).get(f"{self._collection}/{self._name}")
        return self._note()

    def _note(self) -> _Seen:
        spec, version = self._object.get("spec") or {}, self._object["metadata"]["resourceVersion"]
        if self._seen is None or self._seen.version != version:
            lasts = float(spec.get("leaseDurationSeconds") or self._lease)
            self._seen = _Seen(version, spec.get("holderIdentity") or "", lasts, self._clock())
        return self._seen

    def _look_who_holds_it(self) -> None:
        """Cease to lead if the lease is another's or gone; a write of ours whose answer was lost leaves it ours."""
        if self._renewed_at is None:
            return
        try:
            holder = self._look().holder
        except NotFound:
            holder = ""
        except ApiError as fault:
            log.warning("leader election call failed", extra={"lease": self._name, "error": str(fault)})
            return
        if holder != self.identity:
            self._lose(f"the lease is held by {holder or 'nobody'}")

    def _create(self) -> Json:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name},
            "spec": self._spec({}),
        }
        return self._rest.within(self._renew).create(self._collection, body)

    def _write(self, within: float) -> None:
        """Take or renew the lease, from the version that we know."""
        begun = self._clock()
        self._lead_since(begun, self._put(self._spec(self._object.get("spec") or {}), within))

    def _put(self, spec: Json, within: float) -> Json:
        body = {**self._object, "spec": spec}
        rest = self._rest.within(max(SHORTEST_CALL_SECONDS, within))
        return rest.replace(f"{self._collection}/{self._name}", body)

    def _spec(self, old: Json) -> Json:
        now = self._wall().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        mine = old.get("holderIdentity") == self.identity
        return {
            **old,
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self._lease),  # whole seconds, and never less than we count on
            "acquireTime": old.get("acquireTime") or now if mine else now,
            "renewTime": now,
            "leaseTransitions": (old.get("leaseTransitions") or 0) + (0 if mine or not old else 1),
        }

    def _lead_since(self, begun: float, written: Json) -> None:
        self._object = written
        self._note()
        first = self._renewed_at is None
        if first and self._clock() - begun >= self._renew:
            return  # the answer took so long that the term is over; the lease is ours for the next attempt
        self._renewed_at = begun
        if first:
            log.info("leading", extra={"lease": self._name, "identity": self.identity})
            self._on_started()

    def _lose(self, why: str) -> None:
        log.info("no longer leading", extra={"lease": self._name, "why": why})
        self._renewed_at = None
        self._on_stopped()
