"""What every call has in common, so that handlers have none of it: they take a request, and answer or raise.

For each unary call, in this order:

1. alone: a second call on the same volume (or volume name) is refused with ABORTED while the first runs, as CSI asks;
2. the handler runs;
3. an exception becomes a status: a DriverError its own code and text, a method that nobody wrote UNIMPLEMENTED,
   anything else INTERNAL, whose traceback goes to the log alone;
4. one log line and one observation for the metrics, both before the caller has the answer.

No secret reaches the log: the line names single fields, and the request in the debug line goes through `redact`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
from google.protobuf.message import Message

from openstack_csi.csi.redact import mask, redacted
from openstack_csi.csi.translate import CLAIM_NAME, CLAIM_NAMESPACE
from openstack_csi.errors import Aborted, Code, DriverError, Internal, Unimplemented

log = logging.getLogger(__name__)

Observer = Callable[[str, Code, float], None]
"""Called with the method (`/csi.v1.Controller/CreateVolume`), the code and the seconds that it took; must not raise."""

Within = Callable[[str], contextlib.AbstractContextManager[object]]
"""Called with the method's short name (`CreateVolume`); entered around the handler, to count its cloud calls for it."""

Key = tuple[str, str]

_ALONE = {
    "CreateVolume": ("volume name", "name"),
    "DeleteVolume": ("volume", "volume_id"),
    "ControllerPublishVolume": ("volume", "volume_id"),
    "ControllerUnpublishVolume": ("volume", "volume_id"),
    "ControllerExpandVolume": ("volume", "volume_id"),
    "ControllerModifyVolume": ("volume", "volume_id"),
    "NodeStageVolume": ("volume on this node", "volume_id"),
    "NodeUnstageVolume": ("volume on this node", "volume_id"),
    "NodePublishVolume": ("volume on this node", "volume_id"),
    "NodeUnpublishVolume": ("volume on this node", "volume_id"),
    "NodeExpandVolume": ("volume on this node", "volume_id"),
}
"""Methods that change something: what they exclude each other on, and the field that names it."""

_ASKED_ALL_THE_TIME = frozenset(
    {"Probe", "GetPluginInfo", "GetPluginCapabilities", "ControllerGetCapabilities", "NodeGetCapabilities"}
    | {"NodeGetVolumeStats", "GetInfo"}
)
"""Their successes are logged at debug level, lest they drown the rest."""

_STATUS = {code.value[0]: code for code in grpc.StatusCode}
_LONGEST_STATUS = 2048  # characters; the text travels in a header, and clients take 8 KiB of headers


class InFlight:
    """The keys that somebody works on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: set[Key] = set()

    @contextlib.contextmanager
    def alone(self, key: Key | None) -> Iterator[None]:
        """Hold the key, None holds nothing. Raises Aborted when another holds it."""
        if key is None:
            yield
            return
        with self._lock:
            if key in self._keys:
                raise Aborted(f"another call for {key[0]} {key[1]} is still under way", hint="Repeat it later.")
            self._keys.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._keys.discard(key)


class Interceptor(grpc.ServerInterceptor):
    """See the module.

    Args:
        observe: told of every call that ended.
        within: see `Within`.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        observe: Observer = lambda method, code, seconds: None,
        within: Within = contextlib.nullcontext,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._observe = observe
        self._within = within
        self._clock = clock
        self._in_flight = InFlight()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The method's handler, wrapped; streams are handed on as they are."""
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        method, inner = handler_call_details.method, handler.unary_unary

        def serve(request: Message, context: grpc.ServicerContext) -> Any:
            return self._serve(method, inner, request, context)

        return grpc.unary_unary_rpc_method_handler(serve, handler.request_deserializer, handler.response_serializer)

    def _serve(
        self,
        method: str,
        inner: Callable[[Message, grpc.ServicerContext], Any],
        request: Message,
        context: grpc.ServicerContext,
    ) -> Any:
        started = self._clock()
        log.debug("rpc begins", extra={"method": method, "request_message": _Redacted(request)})
        try:
            with self._in_flight.alone(key_of(method, request)), self._within(_short(method)):
                answer = inner(request, context)
        except Exception as raised:
            error = driver_error(method, raised)
            self._tell(method, request, self._clock() - started, error, context)
            context.abort(_STATUS[error.code], str(error)[:_LONGEST_STATUS])
        self._tell(method, request, self._clock() - started, None, context)
        return answer

    def _tell(
        self,
        method: str,
        request: Message,
        seconds: float,
        error: DriverError | None,
        context: grpc.ServicerContext,
    ) -> None:
        code = error.code if error else Code.OK
        self._observe(method, code, seconds)
        extra = {"method": _short(method), **_named(request), "code": code.name, "ms": round(seconds * 1000, 1)}
        if error:
            extra |= {"error": str(error), "request": error.request_id}
        if not context.is_active():
            extra["caller"] = "gone"
        if isinstance(error, Internal):
            extra["traceback"] = mask("".join(traceback.format_exception(error)), request)
        log.log(_level(method, error), "rpc", extra=extra)


class _Redacted:
    """A request that is put into words only if the line is written."""

    def __init__(self, message: Message) -> None:
        self._message = message

    def __str__(self) -> str:
        return redacted(self._message)


def key_of(method: str, request: Message) -> Key | None:
    """What the call excludes others on; None for a call that only looks, or that lacks its id and will be refused."""
    kind, field = _ALONE.get(_short(method), ("", ""))
    value = getattr(request, field) if field else ""
    return (kind, value) if value else None


def driver_error(method: str, raised: Exception) -> DriverError:
    """The exception in our tree; its text is kept from the caller unless it is ours."""
    if isinstance(raised, DriverError):
        return raised
    if isinstance(raised, NotImplementedError):  # what the generated servicers raise for a method that is not written
        return Unimplemented(f"{_short(method)} is not offered by this driver")
    error = Internal(f"{_short(method)} failed with an unforeseen {type(raised).__name__}")
    error.__cause__ = raised
    return error


def _short(method: str) -> str:
    return method.rpartition("/")[2]


def _named(request: Message) -> dict[str, str]:
    """The claim, volume and node that the request speaks of, for the log line."""
    parameters: Mapping[str, str] = getattr(request, "parameters", {})
    claim = (parameters[key] for key in (CLAIM_NAMESPACE, CLAIM_NAME) if key in parameters)
    volume = getattr(request, "volume_id", "") or getattr(request, "name", "")
    found = {"claim": "/".join(claim), "volume": volume, "node": getattr(request, "node_id", "")}
    return {key: value for key, value in found.items() if value}


def _level(method: str, error: DriverError | None) -> int:
    if isinstance(error, Internal):
        return logging.ERROR
    if error:
        return logging.WARNING
    return logging.DEBUG if _short(method) in _ASKED_ALL_THE_TIME else logging.INFO
