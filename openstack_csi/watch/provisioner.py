"""PVC → PV: the heart of the watchers.

A worker takes a claim's key, looks, acts at most once on the cloud, and goes. What it knows of a claim that is under
way is its *flight*:

    (no flight) ── decide: Provision, and the API server confirms the claim ──▶ begun
    begun ── service.create: Pending ──▶ begun, in the air      the board's wake brings the key back
    begun ── service.create: Volume ───▶ landed                 the PV is written, however often that takes
    begun ── service.create: error ────▶ begun, decided anew after a rest; no flight where surely nothing was made
    any   ── the claim went away ──────▶ handed to `leftovers`, which removes what was made

Flights live in memory alone. A new leader has none: it decides about each unbound claim again, and the service finds
the volume by its name, which is the claim's UID. Volumes of claims that went away meanwhile are `orphans`' to find.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from openstack_csi import errors
from openstack_csi.errors import Code, DriverError, Retry
from openstack_csi.kube.rest import Conflict, NotFound
from openstack_csi.kube.workqueue import WorkQueue
from openstack_csi.model import CreateVolume, Pending, Volume
from openstack_csi.watch import classes, names
from openstack_csi.watch.caches import Caches
from openstack_csi.watch.config import WatchConfig
from openstack_csi.watch.decide import Ignore, Provision, Refuse, StandAside, Wait, decide
from openstack_csi.watch.events import Recorder
from openstack_csi.watch.fence import Api, Volumes
from openstack_csi.watch.leftovers import Leftovers
from openstack_csi.watch.objects import Claim, CSINode, Node, PersistentVolume, StorageClass, slim_claim, slim_volume
from openstack_csi.watch.observers import NOBODY, Observers
from openstack_csi.watch.pauses import Pauses
from openstack_csi.watch.volumes import build_volume, is_same
from openstack_csi.watch.waits import Waits

log = logging.getLogger(__name__)


@dataclass
class _Flight:
    """A claim whose creation has begun; only the worker that holds its key touches it.

    Attributes:
        uid: the claim's.
        plan: what is wanted, as last decided.
        request: the plan's, with the cloud that its Secret names.
        began: a time of the clock.
        in_the_air: the cloud is at it, and will wake us.
        may_exist: the cloud was seen at it, or may have taken a request whose answer was lost.
        volume: what was made.
    """

    uid: str
    plan: Provision
    request: CreateVolume
    began: float
    in_the_air: bool = False
    may_exist: bool = False
    volume: Volume | None = None


class Provisioner:
    """See the module. `reconcile` is for the workers of `queue`.

    Args:
        caches: what is known of the cluster.
        api: for the claim, the Secret, the PV.
        service: makes the volume.
        recorder: for events.
        leftovers: takes over what a claim leaves behind that goes away.
        queue: of claims, by `namespace/name`.
        config: the knobs.
        identity: names this process in the PVs.
        clock: monotonic seconds.
        observers: are told of each end.
    """

    def __init__(
        self,
        caches: Caches,
        api: Api,
        service: Volumes,
        recorder: Recorder,
        leftovers: Leftovers,
        queue: WorkQueue,
        config: WatchConfig,
        *,
        identity: str,
        clock: Callable[[], float] = time.monotonic,
        observers: Observers = NOBODY,
    ) -> None:
        self._caches = caches
        self._api = api
        self._service = service
        self._recorder = recorder
        self._leftovers = leftovers
        self._queue = queue
        self._config = config
        self._identity = identity
        self._clock = clock
        self._observers = observers
        self._flights: dict[str, _Flight] = {}
        self._pauses = Pauses(queue, config, clock)
        self._waits = Waits(queue, config, clock)
        self._made: dict[str, str] = {}  # claim key → UID whose PV was written
        self._waiting: dict[str, str] = {}  # claim key → its class, while it waits for class, nodes or a change
        caches.claims.on_change(self._on_claim)
        caches.volumes.on_change(self._on_volume)
        caches.classes.on_change(self._on_class)
        caches.csi_nodes.on_change(self._on_node)
        caches.nodes.on_change(self._on_node)

    def is_at(self, volume_name: str) -> bool:
        """Whether a volume of that name is being made now."""
        return any(flight.plan.request.name == volume_name for flight in tuple(self._flights.values()))

    # What changes

    def _on_claim(self, key: str, old: Claim | None, new: Claim | None) -> None:
        ours = new is not None and not new.volume_name and new.provisioner == self._config.driver
        if ours or key in self._flights or key in self._waiting or key in self._made:
            self._queue.add(key)

    def _on_volume(self, name: str, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        """A PV that was removed: if its claim still stands unbound, it is to have another."""
        if old is not None and new is None and old.driver == self._config.driver:
            key = f"{old.claim_namespace}/{old.claim_name}"
            self._made.pop(key, None)
            self._queue.add(key)

    def _on_class(self, name: str, old: StorageClass | None, new: StorageClass | None) -> None:
        for key, storage_class in tuple(self._waiting.items()):
            if storage_class == name:
                self._queue.add(key)

    def _on_node(self, name: str, old: Node | CSINode | None, new: Node | CSINode | None) -> None:
        for key in tuple(self._waiting):
            self._queue.add(key)

    # What is done

    def reconcile(self, key: str) -> None:
        """Look at a claim, act, return. Raises NotLeading."""
        claim = self._caches.claims.get(key)
        flight = self._flights.get(key)
        if flight and (claim is None or not _is_for(flight, claim)):
            self._hand_over(key, flight)
            flight = None
        if claim is None or claim.volume_name:
            self._forget(key)
        elif flight and (flight.in_the_air or flight.volume):
            self._fly(key, flight)
        else:
            self._decide(key, claim, flight)

    def _hand_over(self, key: str, flight: _Flight) -> None:
        log.info("claim went away while its volume was made", extra={"claim": key, "volume": flight.request.name})
        self._leftovers.take_over(flight.request, flight.volume.id if flight.volume else "", flight.in_the_air)
        self._forget(key)

    def _forget(self, key: str) -> None:
        self._flights.pop(key, None)
        self._made.pop(key, None)
        self._waiting.pop(key, None)
        self._pauses.forget(key)
        self._waits.forget(key)

    def _decide(self, key: str, claim: Claim, flight: _Flight | None) -> None:
        if self._made.get(key) == claim.uid or self._caches.volumes.get(self._config.volume_name(claim.uid)):
            return  # its PV stands; the binding is Kubernetes' to do
        decision = decide(claim, self._caches.classes.get(claim.storage_class), self._caches.zones, self._config)
        self._waiting[key] = claim.storage_class
        match decision:
            case Ignore():
                self._waiting.pop(key)
                log.debug("claim left alone", extra={"claim": key, "reason": decision.reason})
            case StandAside():
                self._recorder.event(claim.ref, "Normal", "Provisioning", decision.message)
            case Wait():
                self._fail(key, claim, decision.reason, errors.FailedPrecondition(decision.reason))
            case Refuse():
                self._fail(key, claim, str(decision.error), decision.error)
            case Provision():
                self._begin(key, decision, flight)

    def _begin(self, key: str, plan: Provision, flight: _Flight | None) -> None:
        claim = plan.claim
        if self._pauses.resting(key, _matter(plan)):
            return
        try:
            self._service.check(plan.request)
            request = self._with_cloud(plan)
            if flight is None and not self._is_confirmed(claim):
                return  # the watch is behind, and will tell
        except DriverError as error:
            self._fail(key, claim, _matter(plan), error)
            return
        if flight is None:
            message = f'External provisioner is provisioning volume for claim "{key}"'
            self._recorder.event(claim.ref, "Normal", "Provisioning", message)
            flight = self._flights[key] = _Flight(claim.uid, plan, request, self._clock())
        flight.plan, flight.request = plan, request
        self._fly(key, flight)

    def _is_confirmed(self, claim: Claim) -> bool:
        """The API server has the claim just as the cache has it: a stale cache must not make a volume for nobody."""
        try:
            live = slim_claim(self._api.get(names.claim_path(claim.namespace, claim.name)))
        except NotFound:
            return False
        return dataclasses.replace(live, resource_version="") == dataclasses.replace(claim, resource_version="")

    def _with_cloud(self, plan: Provision) -> CreateVolume:
        """The request, with the cloud of clouds.yaml that the class's Secret names in its key `cloud`."""
        secret = plan.parameters.secrets.get(classes.PROVISION)
        if secret is None:
            return plan.request
        try:
            data = self._api.get(names.secret_path(secret.namespace, secret.name)).get("data") or {}
        except NotFound:
            raise errors.NotFound(
                f'there is no Secret "{secret.namespace}/{secret.name}"',
                hint=f'Create it, or correct "{classes.PREFIX}{classes.PROVISION}-name" and "-namespace" of the class.',
            ) from None
        try:
            return dataclasses.replace(
                plan.request, cloud=base64.b64decode(data.get("cloud", ""), validate=True).decode()
            )
        except (binascii.Error, UnicodeDecodeError):
            raise errors.InvalidArgument(
                f'the key "cloud" of Secret "{secret.namespace}/{secret.name}" is no text'
            ) from None

    def _fly(self, key: str, flight: _Flight) -> None:
        if not flight.in_the_air and self._pauses.resting(key, _matter(flight.plan)):
            return
        claim = flight.plan.claim
        try:
            made = flight.volume or self._service.create(flight.request, lambda: self._queue.add(key))
            if isinstance(made, Pending):
                flight.in_the_air = flight.may_exist = True
                if self._waits.is_time_to_tell(key):
                    self._recorder.event(claim.ref, "Normal", "Provisioning", f"Waiting: {made.what}")
                return
            flight.in_the_air, flight.volume = False, made
            self._write(flight.plan, made)
        except DriverError as error:
            flight.in_the_air = False
            flight.may_exist = flight.may_exist or flight.volume is not None or error.retry is Retry.SOON
            if not flight.may_exist:
                del self._flights[key]
            self._fail(key, claim, _matter(flight.plan), error)
            self._observers.ended("CreateVolume", error.code, self._clock() - flight.began)
            return
        self._land(key, flight, made)

    def _write(self, plan: Provision, volume: Volume) -> None:
        """Have the PV stand in the API server, whoever wrote it.

        Raises:
            ApiError: it is not known to stand.
            AlreadyExists: a PV of that name is another claim's or another volume's.
        """
        wanted = build_volume(plan, volume, self._identity, self._config)
        try:
            self._api.create(names.VOLUMES, wanted)
        except Conflict:
            existing = slim_volume(self._api.get(names.volume_path(plan.request.name)))
            if not is_same(existing, wanted):
                raise errors.AlreadyExists(
                    f'PersistentVolume {existing.name} stands for volume "{existing.handle}" instead of {volume.id}',
                    hint="Remove the one that is not wanted.",
                ) from None

    def _land(self, key: str, flight: _Flight, volume: Volume) -> None:
        claim, name, seconds = flight.plan.claim, flight.request.name, self._clock() - flight.began
        self._forget(key)
        self._made[key] = flight.uid
        self._recorder.event(claim.ref, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}")
        self._observers.provisioned(claim.storage_class, seconds)
        self._observers.ended("CreateVolume", Code.OK, seconds)
        log.info("provisioned", extra={"claim": key, "pv": name, "volume": volume.id, "seconds": round(seconds, 3)})

    def _fail(self, key: str, claim: Claim, matter: object, error: DriverError) -> None:
        """Tell why not, and let the claim rest, unless it rests over the same matter already."""
        if self._pauses.resting(key, matter):
            return
        seconds = self._pauses.rest(key, matter, error)
        text = f'failed to provision volume with StorageClass "{claim.storage_class}": {error}'
        if error.retry is Retry.NEVER:
            text = f"Volume provisioning failed with infeasible error. Retries will be delayed. {text}"
        self._recorder.event(claim.ref, "Warning", "ProvisioningFailed", text)
        self._observers.provisioned(claim.storage_class, 0.0, failed=True)
        log.warning(
            "not provisioned",
            extra={"claim": key, "error": str(error), "request_id": error.request_id, "next_try_in": round(seconds, 1)},
        )


def _is_for(flight: _Flight, claim: Claim) -> bool:
    """The claim still wants what is in flight."""
    return claim.uid == flight.uid and not claim.deleting and claim.volume_name in ("", flight.request.name)


def _matter(plan: Provision) -> object:
    """What a failure was about: with another request or other Secrets it is another try."""
    return plan.request, plan.parameters
