"""The one table: what an answer of the cloud, or the lack of one, means."""

from __future__ import annotations

import json

import pytest
from keystoneauth1 import exceptions as ka
from requests import Response

from openstack_csi import errors
from openstack_csi.cloud.faults import below_http, message, refusal


def answer(status: int, body: object = None, **headers: str) -> Response:
    response = Response()
    response.status_code = status
    response.reason = "Reason"
    response._content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (answer(400, {"badRequest": {"message": "no"}}), errors.InvalidArgument),
        (answer(401), errors.Unauthenticated),
        (answer(403, {"forbidden": {"message": "Policy doesn't allow it"}}), errors.PermissionDenied),
        (
            answer(403, {"forbidden": {"message": "The maximum allowed number of disk devices (26) to attach"}}),
            errors.ResourceExhausted,
        ),
        (answer(404), errors.NotFound),
        (answer(409), errors.FailedPrecondition),
        (answer(413, {"overLimit": {"message": "exceeds allowed gigabytes quota"}}), errors.ResourceExhausted),
        (answer(413, {"overLimit": {"message": "slow down"}}, Retry_After="3"), errors.Throttled),
        (answer(429), errors.Throttled),
        (answer(500), errors.Unavailable),
        (answer(503), errors.Unavailable),
        (answer(503, Retry_After="7"), errors.Throttled),
        (answer(504), errors.Unavailable),
        (answer(418), errors.FailedPrecondition),
    ],
)
def test_an_answer_means_one_error(response: Response, error: type[errors.DriverError]) -> None:
    assert type(refusal(response, "Cinder refused").error) is error


def test_an_error_says_what_failed_why_in_the_clouds_words_and_by_which_request() -> None:
    response = answer(413, {"overLimit": {"message": "quota is 5G"}}, X_OpenStack_Request_Id="req-1")
    text = str(refusal(response, "Cinder refused to create volume pvc-1").error)
    assert text == "Cinder refused to create volume pvc-1: quota is 5G [request req-1]"


def test_a_pause_that_the_cloud_asks_for_is_kept() -> None:
    assert refusal(answer(429, Retry_After="12"), "x").error.retry_after == 12.0
    assert refusal(answer(429, Retry_After="soon"), "x").error.retry_after is None


@pytest.mark.parametrize("body", ["<html>gone</html>", "", "[]", '{"a": {"b": 1}}', "null"])
def test_an_answer_without_words_is_told_by_its_status(body: str) -> None:
    assert message(answer(502, body)) == "HTTP 502 Reason"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (ka.ConnectFailure("refused"), errors.Unavailable),
        (ka.ConnectTimeout("late"), errors.Unavailable),
        (ka.Unauthorized("no"), errors.Unauthenticated),
        (ka.EndpointNotFound("volume in RegionTwo"), errors.FailedPrecondition),
        (ka.SSLError("self-signed"), errors.Unavailable),
        (ka.MissingRequiredOptions([]), errors.InvalidArgument),
    ],
)
def test_what_happens_below_http_means_one_error(fault: ka.ClientException, error: type[errors.DriverError]) -> None:
    assert type(below_http(fault, "x")) is error
