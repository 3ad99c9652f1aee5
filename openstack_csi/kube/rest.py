"""The Kubernetes API as paths and plain JSON: the only module that knows the `kubernetes` package.

Of that package only the connection is used: `config` finds the API server and the credentials, `ApiClient.call_api`
sends bytes over its pool. The typed models stay unloaded, because they cost 22 MiB and several times the CPU per
object. A call gives dicts or raises one of `api_error`'s tree; nothing is repeated here except a GET whose connection
failed, since the caller cannot know whether a write that got no answer was done.
"""

from __future__ import annotations

import copy
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NoReturn, TypeAlias
from urllib.parse import urlencode

import urllib3
from kubernetes import config
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.client.exceptions import ApiException

from openstack_csi import __version__
from openstack_csi.backoff import full_jitter
from openstack_csi.errors import InvalidArgument
from openstack_csi.kube.api_error import (
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unreachable,
    error_of_answer,
    error_of_status,
)

__all__ = [
    "ApiError",
    "Conflict",
    "Forbidden",
    "Gone",
    "NotFound",
    "Rest",
    "TooManyRequests",
    "Unauthorized",
    "Unreachable",
    "Watch",
    "verb_and_resource",
]

Json: TypeAlias = dict[str, Any]
Observer: TypeAlias = Callable[[str, str, int, float], None]
PatchKind: TypeAlias = Literal["merge", "json", "strategic"]

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
POOL_SIZE = 96  # more than all workers, informers and the leader together: a connection is never thrown away
GET_ATTEMPTS = 3
CREDENTIAL_SECONDS = 10.0  # how long a header is kept: the loaders look at files and the environment at each reading

_TRANSPORT_FAULTS = (urllib3.exceptions.HTTPError, OSError, ApiException)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}


def verb_and_resource(method: str, path: str) -> tuple[str, str]:
    """The RBAC verb and resource of a request, such as ("patch", "volumeattachments/status").

    A path outside /api and /apis is its own resource. A watch looks like a list here.
    """
    parts = path.strip("/").split("/")
    below = {"api": 2, "apis": 3}.get(parts[0], 0)
    if not below or len(parts) <= below:
        return _VERBS.get(method, "get"), path
    rest = parts[below:]
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        rest = rest[2:]
    verb = _VERBS.get(method) or ("get" if len(rest) > 1 else "list")
    return verb, f"{rest[0]}/{rest[2]}" if len(rest) > 2 else rest[0]


class Watch:
    """One open watch: iterate for its events, `close()` it from any thread.

    Iteration ends when the server closes the stream or `close` was called. An ERROR event is raised as its ApiError
    (`Gone` when the version is too old), silence for longer than the read timeout or a torn connection as Unreachable.
    """

    def __init__(self, response: urllib3.HTTPResponse, resource: str) -> None:
        self._response = response
        self._resource = resource
        self._closed = False

    def __iter__(self) -> Iterator[Json]:
        try:
            for line in self._lines():
                event: Json = json.loads(line)
                if event["type"] == "ERROR":
                    raise error_of_status(event["object"], f"watch {self._resource}")
                yield event
        except (*_TRANSPORT_FAULTS, json.JSONDecodeError) as fault:
            if not self._closed:
                timed_out = isinstance(fault, urllib3.exceptions.TimeoutError)
                raise Unreachable(f"the watch of {self._resource} broke: {fault}", timed_out=timed_out) from fault
        finally:
            self._response.close()

    def _lines(self) -> Iterator[bytes]:
        tail = b""
        for chunk in self._response.stream(1 << 16):
            *lines, tail = (tail + chunk).split(b"\n")
            yield from lines

    def close(self) -> None:
        """End the stream at once, also for a thread that is waiting in it."""
        self._closed = True
        try:
            self._response.shutdown()
        except (ValueError, RuntimeError, OSError):
            return  # it ended by itself


class Rest:
    """A connection to one API server, for any number of threads.

    Args:
        client: where the server is and who we are.
        observer: told (verb, resource, HTTP status or 0, seconds) of each request.
        clock: monotonic seconds.
        sleep: waits that many seconds between the attempts of a GET.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._observer = observer
        self._clock = clock
        self._sleep = sleep
        self._timeout = (CONNECT_SECONDS, READ_SECONDS)
        self._attempts = GET_ATTEMPTS
        self._credential = _Credential(client.configuration, clock)

    @classmethod
    def connect(cls, kubeconfig: str | None = None, *, observer: Observer | None = None) -> Rest:
        """Connect as the given kubeconfig says, else $KUBECONFIG, else the pod's service account, else ~/.kube/config.

        Raises:
            InvalidArgument: there is no usable configuration; the message says what was looked for.
        """
        configuration = _new_configuration()
        path = kubeconfig or os.environ.get("KUBECONFIG") or None
        try:
            if path is None and "KUBERNETES_SERVICE_HOST" in os.environ:
                config.load_incluster_config(client_configuration=configuration)
            else:
                config.load_kube_config(path, client_configuration=configuration, persist_config=False)
        except (config.ConfigException, OSError) as fault:
            raise InvalidArgument(
                f"no way to the Kubernetes API with {path or 'the service account or ~/.kube/config'}: {fault}",
                hint="Give --kubeconfig or set KUBECONFIG to a readable file.",
            ) from fault
        return cls(ApiClient(configuration), observer=observer)

    @classmethod
    def at(cls, host: str, *, observer: Observer | None = None) -> Rest:
        """Connect to an API server that asks for no credentials, such as "http://127.0.0.1:8001" (kubectl proxy)."""
        configuration = _new_configuration()
        configuration.host = host
        configuration.proxy = None
        return cls(ApiClient(configuration), observer=observer)

    def within(self, seconds: float) -> Rest:
        """The same connection for calls that must end within so many seconds, with no repetition."""
        other = copy.copy(self)
        other._timeout = (min(CONNECT_SECONDS, seconds / 2), min(READ_SECONDS, seconds / 2))
        other._attempts = 1
        return other

    def get(self, path: str, **query: object) -> Json:
        """GET an object or, unpaged, a list."""
        failures = 0
        while True:
            try:
                return self._send("GET", path, query)
            except Unreachable as fault:
                failures += 1
                if fault.timed_out or failures >= self._attempts:
                    raise
                self._sleep(full_jitter(failures, start=0.1, maximum=1.0))

    def pages(self, path: str, limit: int = 500, **query: object) -> Iterator[Json]:
        """GET a list page by page; every page is a list object with the list's `metadata.resourceVersion`.

        Raises:
            Gone: the server forgot the list's version between two pages; begin again.
        """
        token = ""
        while True:
            page = self.get(path, limit=limit, **query, **({"continue": token} if token else {}))
            token = page["metadata"].get("continue", "")
            yield page
            if not token:
                return

    def create(self, path: str, body: Json) -> Json:
        """POST an object to its collection."""
        return self._send("POST", path, {}, body)

    def replace(self, path: str, body: Json) -> Json:
        """PUT an object; with `metadata.resourceVersion` only if it still has that version, else Conflict."""
        return self._send("PUT", path, {}, body)

    def patch(self, path: str, body: Json | list[Json], kind: PatchKind = "merge", **query: object) -> Json:
        """PATCH an object with a merge, JSON (a list of operations) or strategic merge patch."""
        return self._send("PATCH", path, query, body, _PATCH_TYPES[kind])

    def delete(self, path: str, uid: str = "", resource_version: str = "") -> Json | None:
        """DELETE an object, only if it has the UID and version where they are given, else Conflict.

        Returns:
            The object as it was last; finalizers in it mean that it stays until they are gone. None when the server
            says no more than that it is done.
        """
        given = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {key: value for key, value in given.items() if value}
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if preconditions:
            options["preconditions"] = preconditions
        answer = self._send("DELETE", path, {}, options)
        return None if answer.get("kind") == "Status" else answer

    def watch(self, path: str, *, timeout_seconds: float, read_timeout: float, **query: object) -> Watch:
        """Open a watch of a collection.

        Args:
            path: the collection.
            timeout_seconds: the server closes the stream after that time.
            read_timeout: seconds of silence after which the peer counts as dead.
            query: resourceVersion, allowWatchBookmarks and selectors.
        """
        query |= {"watch": True, "timeoutSeconds": int(timeout_seconds)}
        response, resource = self._open("GET", path, query, None, "", (CONNECT_SECONDS, read_timeout), verb="watch")
        return Watch(response, resource)

    def _send(
        self,
        method: str,
        path: str,
        query: dict[str, object],
        body: Json | list[Json] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        response, resource = self._open(method, path, query, body, content_type, self._timeout)
        try:
            answer: Json = json.loads(response.data)
        except (*_TRANSPORT_FAULTS, json.JSONDecodeError) as fault:
            raise Unreachable(f"the answer about {resource} broke off: {fault}") from fault
        return answer

    def _open(
        self,
        method: str,
        path: str,
        query: dict[str, object],
        body: Json | list[Json] | None,
        content_type: str,
        timeout: tuple[float, float],
        verb: str = "",
    ) -> tuple[urllib3.HTTPResponse, str]:
        """Send a request; its successful response, body unread, and the resource for messages."""
        asked, resource = verb_and_resource(method, path)
        verb = verb or asked
        headers = {"Accept": "application/json", "User-Agent": f"openstack-csi/{__version__}"}
        if body is not None:
            headers["Content-Type"] = content_type
        headers |= self._credential.headers()
        begun = self._clock()
        status = 0
        try:
            response = self._client.call_api(
                method, self._url(path, query), headers, body, _request_timeout=timeout
            ).response
            status = response.status
        except _TRANSPORT_FAULTS as fault:
            _raise_unreachable(f"{verb} {resource}", fault)
        finally:
            if self._observer is not None:
                self._observer(verb, resource, status, self._clock() - begun)
        if status >= 300:
            if status == 401:
                self._credential.drop()
            raise error_of_answer(status, _readable(response), response.headers, f"{verb} {resource}")
        return response, resource

    def _url(self, path: str, query: dict[str, object]) -> str:
        pairs = [(key, _query_text(value)) for key, value in query.items() if value is not None]
        return f"{self._client.configuration.host}{path}{'?' if pairs else ''}{urlencode(pairs)}"


class _Credential:
    """The Authorization header, read again every few seconds: service account tokens are replaced within the hour."""

    def __init__(self, configuration: Configuration, clock: Callable[[], float]) -> None:
        self._configuration = configuration
        self._clock = clock
        self._lock = threading.Lock()
        self._headers: dict[str, str] = {}
        self._stale_at = clock()

    def headers(self) -> dict[str, str]:
        if self._clock() < self._stale_at:
            return self._headers
        with self._lock:
            settings: Iterable[dict[str, str]] = self._configuration.auth_settings().values()
            self._headers = {setting["key"]: setting["value"].strip() for setting in settings}
            self._stale_at = self._clock() + CREDENTIAL_SECONDS
        return self._headers

    def drop(self) -> None:
        self._stale_at = self._clock()


def _new_configuration() -> Configuration:
    configuration = Configuration(retries=False, connection_pool_maxsize=POOL_SIZE)
    configuration.keep_alive = True
    return configuration


def _query_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _readable(response: urllib3.HTTPResponse) -> bytes:
    try:
        return response.data
    except _TRANSPORT_FAULTS:
        return b""


def _raise_unreachable(what: str, fault: Exception) -> NoReturn:
    timed_out = isinstance(fault, urllib3.exceptions.TimeoutError)
    text = getattr(fault, "reason", None) or fault
    raise Unreachable(f"the Kubernetes API did not answer ({what}): {text}", timed_out=timed_out) from fault
