"""What the API server says when it says no.

    ApiError
    ├── Unreachable        no (whole) answer came; status 0
    ├── Unauthorized       401: the token or certificate is not known
    ├── Forbidden          403: RBAC, admission or a quota says no
    ├── NotFound           404
    ├── Conflict           409: the object has another version or UID
    │   └── AlreadyExists  … or its name is taken
    ├── Gone               410: the version that a list or watch asked for is forgotten
    └── TooManyRequests    429: flow control, with the seconds to wait

They are DriverErrors, so that one that nobody catches still becomes a sensible gRPC status and event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from openstack_csi.backoff import parse_retry_after
from openstack_csi.errors import Code, DriverError, Retry

_LONGEST_MESSAGE = 300  # of an answer that is no Status, such as a proxy's page


class ApiError(DriverError):
    """The API server refused a request.

    Args:
        status: the HTTP status, 0 when there was none.
        reason: the machine-readable reason of the Status object, such as "AlreadyExists".
        message: what was asked and what the server answered.
        retry_after: seconds that the server asked us to wait.
    """

    code = Code.UNAVAILABLE

    def __init__(
        self, status: int, reason: str, message: str, retry_after: float | None = None, *, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.status = status
        self.reason = reason


class Unreachable(ApiError):
    """No answer: refused, reset, timed out. A write may have been done all the same."""

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(0, "Unreachable", message)
        self.timed_out = timed_out


class Unauthorized(ApiError):
    """The server does not know who we are."""

    code = Code.UNAUTHENTICATED
    hint = "Check the service account's token or the kubeconfig's credentials."


class Forbidden(ApiError):
    """The server knows us and says no."""

    code = Code.PERMISSION_DENIED
    retry = Retry.SLOWLY
    hint = "If this is RBAC, compare the driver's ClusterRole with its manifests."


class NotFound(ApiError):
    """There is no such object (or no such kind)."""

    code = Code.NOT_FOUND


class Conflict(ApiError):
    """The object has changed since it was read."""

    code = Code.ABORTED


class AlreadyExists(Conflict):
    """An object of that name exists."""

    code = Code.ALREADY_EXISTS


class Gone(ApiError):
    """The server no longer has the version that was asked for: list again."""


class TooManyRequests(ApiError):
    """The server sheds load."""


_CLASSES: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    429: TooManyRequests,
}


def error_of_status(status: Mapping[str, Any], what: str, retry_after: float | None = None) -> ApiError:
    """The error for a Kubernetes Status object.

    Args:
        status: the object, of a response or of a watch's ERROR event.
        what: what was asked, as "verb resource".
        retry_after: seconds of the response's header, which stands over the Status's own.
    """
    code = int(status.get("code") or 0)
    reason = str(status.get("reason") or "")
    if retry_after is None:
        told = (status.get("details") or {}).get("retryAfterSeconds")
        retry_after = float(told) if told else None
    cls = AlreadyExists if reason == "AlreadyExists" else _CLASSES.get(code, ApiError)
    said = status.get("message") or reason or "no reason given"
    return cls(code, reason, f"the Kubernetes API refused to {what} ({code}): {said}", retry_after)


def error_of_answer(code: int, body: bytes, headers: Mapping[str, str], what: str) -> ApiError:
    """The error for a response that is not a success, whether or not its body is a Status object."""
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {"message": body.decode(errors="replace").strip()[:_LONGEST_MESSAGE]}
    return error_of_status({**status, "code": code}, what, parse_retry_after(headers.get("Retry-After")))
