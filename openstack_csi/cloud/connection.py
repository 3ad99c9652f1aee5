"""The clouds of clouds.yaml, each with one session that lives as long as it is good.

A session is made at the first call, and made anew when the file changes (a Secret was updated) or the cloud no longer
takes the credentials. The new one must get a token before it takes the old one's place; until then, and if it does
not, the old one goes on. Every call goes through `Cloud.request`: there it is timed, counted, its faults become our
errors (`faults.py`), and a cloud that asks us to slow down is left alone by everybody until the time it named.

Requests go through the SDK's proxies in their raw form (path and JSON, no resource objects): discovery, tokens,
microversions and connection pools are the SDK's, and a call costs half of what it costs through its resource layer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import openstack.connection
from keystoneauth1 import exceptions as ka
from keystoneauth1.session import TCPKeepAliveAdapter
from requests import Response

from openstack_csi import errors
from openstack_csi.cloud import clouds_file, faults

log = logging.getLogger(__name__)

CALL_TIMEOUT = 60.0
"""Seconds after which a call is given up; what it did is then in doubt."""

LOOK_EVERY = 5.0
"""Seconds between two looks whether clouds.yaml changed."""

POOL = 64
"""Connections kept to one endpoint: as many as there are threads that may call at one time."""


class Observer(Protocol):
    """Where calls are counted: see `ops.metrics`."""

    def __call__(self, request: str, status: int, seconds: float) -> None:
        """One call of the kind `request` ended with the HTTP status (0: no answer)."""


def _unobserved(request: str, status: int, seconds: float) -> None:
    pass


class Cloud:
    """One cloud of the file. Thread-safe."""

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        observe: Observer = _unobserved,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self.name = name
        self._observe = observe
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: openstack.connection.Connection | None = None
        self._made_from: clouds_file.Fingerprint | None = None
        self._looked = 0.0
        self._reloading = False
        self._slow_until = 0.0
        self._microversions: dict[str, tuple[openstack.connection.Connection, tuple[int, int]]] = {}
        self._fault: errors.DriverError | None = None
        self.answers = 0
        """Calls that went well so far: who found the cloud unwell sees by it that somebody has reached it since."""

    @property
    def fault(self) -> errors.DriverError | None:
        """Why the cloud cannot be used, as far as the last call or look told; None when it answered well."""
        return self._fault

    def pause(self) -> float:
        """Seconds for which nobody shall call the cloud."""
        return max(0.0, self._slow_until - self._clock())

    def be_reachable(self) -> None:
        """Raise unless there is a session with a token; makes one when there is none. Costs no call otherwise."""
        self._session()

    def request(
        self,
        service: str,
        method: str,
        path: str,
        *,
        kind: str,
        what: str,
        microversion: str | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Response:
        """One call.

        Args:
            service: the SDK's name of the service, `block_storage` or `compute`.
            method: the HTTP method.
            path: below the service's endpoint, query included.
            kind: what it counts as in the metrics, such as `volume_create`.
            what: the attempt in words, for the error: "Cinder could not create volume pvc-1".
            microversion: such as "3.60"; None for the base version.
            body: sent as JSON.

        Raises:
            faults.Refused: the cloud answered with a status ≥ 400 other than those below.
            Throttled: it asks us to slow down; the call had no effect.
            Unavailable: no answer, or a status ≥ 500; what the call did is in doubt.
            Unauthenticated: it does not take the credentials, old or new.
        """
        if (wait := self.pause()) > 0:
            raise errors.Throttled(f"{what}: the cloud asked for a pause", retry_after=wait)
        connection = self._session()
        started = self._clock()
        status = 0
        try:
            adapter = getattr(connection, service)
            response: Response = adapter.request(path, method, json=body, microversion=microversion, raise_exc=False)
            status = response.status_code
        except ka.ClientException as fault:
            error = faults.below_http(fault, what)
            self._note(error)
            raise error from fault
        finally:
            self._observe(kind, status, self._clock() - started)
        if status < 400:
            self._fault = None
            self.answers += 1
            return response
        return self._refuse(response, what)

    def _refuse(self, response: Response, what: str) -> Response:
        refused = faults.refusal(response, what)
        self._note(refused.error)
        if isinstance(refused.error, errors.Unavailable | errors.Unauthenticated):
            raise refused.error
        raise refused

    def _note(self, error: errors.DriverError) -> None:
        """Remember what an error says of the cloud itself, for everybody who would call it next."""
        if isinstance(error, errors.Throttled):
            self._slow_until = max(self._slow_until, self._clock() + (error.retry_after or 1.0))
        elif isinstance(error, errors.Unauthenticated):
            self._fault = error
            with self._lock:
                self._made_from = None  # a token was refused: try the file again, it may be newer
                self._looked = 0.0
        elif isinstance(error, errors.Unavailable):
            self._fault = error
        else:
            self._fault = None  # it answered

    def _session(self) -> openstack.connection.Connection:
        now = self._clock()
        with self._lock:
            if self._connection is not None and now - self._looked < LOOK_EVERY:
                return self._connection
            self._looked = now
            seen = clouds_file.fingerprint(self._path)
            if self._connection is None:
                self._connection, self._made_from = self._first(), seen
            elif seen != self._made_from and not self._reloading:
                self._reloading = True
                # Beside, not here: a new auth_url may hang, and the old session is still good.
                threading.Thread(target=self._reload, args=(seen,), name="clouds-reload", daemon=True).start()
            return self._connection

    def _first(self) -> openstack.connection.Connection:
        try:
            connection = self._open()
        except errors.DriverError as error:
            self._fault = error
            raise
        self._fault = None
        log.info("connected to the cloud", extra={"cloud": self.name, "file": str(self._path)})
        return connection

    def _reload(self, seen: clouds_file.Fingerprint | None) -> None:
        try:
            connection = self._open()
        except errors.DriverError as error:
            log.error(
                "the changed clouds.yaml cannot be used; going on with the old one: %s",
                error,
                extra={"cloud": self.name},
            )
            connection = None
        with self._lock:
            self._reloading = False
            # A file that failed is not tried again until it changes, or a token is refused.
            self._made_from = seen
            if connection is not None:
                self._connection, self._fault = connection, None
                log.info("took the changed clouds.yaml", extra={"cloud": self.name})

    def _open(self) -> openstack.connection.Connection:
        chosen = clouds_file.choose(self._path, self.name)
        what = f'cannot log in to cloud "{chosen}"'
        region = clouds_file.region(self._path, chosen, CALL_TIMEOUT)
        try:
            connection = openstack.connection.Connection(config=region)
            for scheme in ("http://", "https://"):
                connection.session.session.mount(scheme, TCPKeepAliveAdapter(pool_maxsize=POOL))
            connection.session.get_token()
        except ka.ClientException as fault:
            raise faults.below_http(fault, what) from fault
        except openstack.exceptions.SDKException as fault:
            raise errors.InvalidArgument(f"{what}: {fault}", hint="Mend clouds.yaml.") from fault
        return connection

    def microversion(self, service: str) -> tuple[int, int]:
        """The highest microversion that the service offers; (0, 0) when it has none. Asked once a session."""
        connection = self._session()
        known = self._microversions.get(service)
        if known is not None and known[0] is connection:
            return known[1]
        try:
            data = getattr(connection, service).get_endpoint_data()
        except ka.ClientException as fault:
            raise faults.below_http(fault, f"cannot discover {service}") from fault
        offered = data.max_microversion if data is not None else None
        highest = (int(offered[0]), int(offered[1])) if offered else (0, 0)
        self._microversions[service] = (connection, highest)
        return highest


class Clouds:
    """All clouds of one file, made when they are first asked for."""

    def __init__(
        self,
        path: Path,
        default: str = "",
        *,
        observe: Observer = _unobserved,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._default = default
        self._observe = observe
        self._clock = clock
        self._lock = threading.Lock()
        self._clouds: dict[str, Cloud] = {}

    def get(self, name: str = "") -> Cloud:
        """The cloud of that name; the default one when empty. Reads no file and makes no call yet."""
        wanted = name or self._default
        with self._lock:
            if wanted not in self._clouds:
                self._clouds[wanted] = Cloud(self._path, wanted, observe=self._observe, clock=self._clock)
            return self._clouds[wanted]
