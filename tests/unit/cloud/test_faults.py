"""What an answer of the cloud means to us."""

from __future__ import annotations

import json

import pytest
from keystoneauth1 import exceptions as ka
from requests import Response

from openstack_csi import errors
from openstack_csi.cloud.faults import below_http, message, refusal


def answer(status: int, text: str = "no", **headers: str) -> Response:
    made = Response()
    made.status_code = status
    made._content = json.dumps({"fault": {"code": status, "message": text}}).encode()
    made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return made


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (400, {}, errors.InvalidArgument),
        (401, {}, errors.Unauthenticated),
        (403, {}, errors.PermissionDenied),
        (404, {}, errors.NotFound),
        (409, {}, errors.FailedPrecondition),
        (413, {}, errors.ResourceExhausted),
        (413, {"Retry_After": "0"}, errors.ResourceExhausted),
        (413, {"Retry_After": "7"}, errors.Throttled),
        (429, {}, errors.Throttled),
        (429, {"Retry_After": "0"}, errors.Throttled),
        (500, {}, errors.Unavailable),
        (503, {}, errors.Unavailable),
        (503, {"Retry_After": "7"}, errors.Throttled),
    ],
)
def test_each_status_has_its_error(status: int, headers: dict[str, str], kind: type[errors.DriverError]) -> None:
    assert type(refusal(answer(status, **headers), "asked").error) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, errors.Unauthenticated), (404, errors.Unauthenticated), (429, errors.Throttled), (500, errors.Unavailable)],
)
def test_what_keystone_refuses_is_a_matter_of_the_login(status: int, kind: type[errors.DriverError]) -> None:
    fault = ka.from_response(answer(status), "POST", "http://keystone/v3/auth/tokens")
    assert type(below_http(fault, "cannot log in")) is kind


def test_too_many_disks_are_no_lack_of_permission() -> None:
    text = "The maximum allowed number of disk devices (27) to attach to a single instance has been exceeded."
    assert type(refusal(answer(403, text), "asked").error) is errors.ResourceExhausted


def test_the_error_has_the_clouds_words_its_wait_and_its_request_id() -> None:
    error = refusal(answer(429, "slow\n down", Retry_After="3", x_openstack_request_id="req-1"), "cannot ask").error
    assert (error.message, error.retry_after, error.request_id) == ("cannot ask: slow down", 3.0, "req-1")


def test_an_answer_without_words_shows_its_status() -> None:
    made = answer(502)
    made._content = b"<html>Bad gateway</html>"
    made.reason = "Bad Gateway"
    assert message(made) == "HTTP 502 Bad Gateway"
