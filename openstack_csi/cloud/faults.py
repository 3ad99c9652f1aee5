"""The one table from the cloud's faults to our errors.

OpenStack services answer a refused call with an HTTP status and a JSON body whose one key names the fault
(`{"badRequest": {"message": …}}`); keystoneauth raises its own errors for what happens below HTTP. Both end here, and
nowhere else: callers that need to tell one refusal from another look at `Refused.status`, never at texts.
"""

from __future__ import annotations

import json
from typing import Any

from keystoneauth1 import exceptions as ka
from requests import Response

from openstack_csi import errors

_BY_STATUS: dict[int, type[errors.DriverError]] = {
    400: errors.InvalidArgument,
    401: errors.Unauthenticated,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    409: errors.FailedPrecondition,
    413: errors.ResourceExhausted,
    429: errors.Throttled,
}

_THROTTLING = (413, 429, 503)
"""Statuses that mean "slow down" when they carry a Retry-After above 0: 413 was once the status of rate limits. Cinder
sends it with 0 when a quota is used up, and then no waiting helps."""


class Refused(Exception):
    """The cloud answered and said no: for the caller that wants to look before it gives up.

    `error` is what the refusal means when nobody knows better.
    """

    def __init__(self, status: int, error: errors.DriverError) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error


def refusal(response: Response, what: str) -> Refused:
    """What an answer ≥ 400 means.

    Args:
        response: the cloud's answer.
        what: the attempt in words, such as "Cinder refused to create volume pvc-1".
    """
    status = response.status_code
    request_id = response.headers.get("x-openstack-request-id") or response.headers.get("x-compute-request-id") or ""
    wait = _seconds(response.headers.get("Retry-After"))
    kind = _BY_STATUS.get(status, errors.Unavailable if status >= 500 else errors.FailedPrecondition)
    if status == 429 or (status in _THROTTLING and wait):
        kind = errors.Throttled
    elif status == 403 and _over_limit(response):
        kind = errors.ResourceExhausted
    text = f"{what}: {message(response)}"
    return Refused(status, kind(text, request_id=request_id, retry_after=wait))


def message(response: Response) -> str:
    """The cloud's own words in an answer, without the envelope; the status line where there are none."""
    try:
        body: Any = response.json()
    except (json.JSONDecodeError, ValueError):
        body = None
    if isinstance(body, dict) and len(body) == 1:
        (body,) = body.values()
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return " ".join(body["message"].split())
    return f"HTTP {response.status_code} {response.reason or ''}".strip()


def below_http(fault: ka.ClientException, what: str) -> errors.DriverError:
    """What a fault of keystoneauth means: no answer, no endpoint, no token."""
    if isinstance(fault, ka.Unauthorized | ka.AuthorizationFailure | ka.MissingAuthPlugin):
        return errors.Unauthenticated(f"{what}: Keystone does not accept the credentials")
    if isinstance(fault, ka.EndpointNotFound | ka.CatalogException):
        return errors.FailedPrecondition(
            f"{what}: {fault}", hint="Check region_name and interface in clouds.yaml against the service catalog."
        )
    if isinstance(fault, ka.HttpError) and fault.response is not None:
        return _login_refused(fault.response, what)
    if isinstance(fault, ka.SSLError):
        return errors.Unavailable(f"{what}: {fault}", hint="Check cacert in clouds.yaml.")
    if isinstance(fault, ka.MissingRequiredOptions | ka.NoMatchingPlugin | ka.OptionError):
        return errors.InvalidArgument(f"{what}: {fault}", hint="Check the auth section in clouds.yaml.")
    if isinstance(fault, ka.ConnectFailure | ka.DiscoveryFailure):
        hint = "Check that the address is right and can be reached from here (auth_url and region_name in clouds.yaml)."
        return errors.Unavailable(f"{what}: {_first_line(fault)}", hint=hint)
    return errors.Unavailable(f"{what}: {_first_line(fault)}")


def _login_refused(response: Response, what: str) -> errors.DriverError:
    """What a refusal means that was raised, not returned: it was Keystone's. Its 404 means that the credentials are
    gone (an application credential was deleted); nothing that was asked for is missing."""
    error = refusal(response, what).error
    if isinstance(error, errors.Unavailable):
        return error
    return errors.Unauthenticated(error.message, request_id=error.request_id)


def _over_limit(response: Response) -> bool:
    """Nova refuses a volume too many with 403 Forbidden, as it does a call that policy forbids; the text is all
    that tells them apart (nova.exception.TooManyDiskDevices)."""
    text = message(response).lower()
    return "maximum allowed" in text or "quota" in text


def _seconds(header: str | None) -> float | None:
    try:
        return max(0.0, float(header)) if header is not None else None
    except ValueError:
        return None


def _first_line(fault: Exception) -> str:
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0]
