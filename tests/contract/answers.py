"""What is kept of an answer, so that two clouds' answers to the same call can be compared."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from requests import Response

from tests.testbed.layout import CHECKOUT

MASKS = (
    (re.compile(r"req-[0-9a-f-]{36}"), "<request>"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<id>"),
    (re.compile(r"contract-[0-9a-f]{8}(-\d+)?"), "<name>"),
    (re.compile(r"\b\d+G\b"), "<n>G"),
    (re.compile(r"https?://[^\s\"']+"), "<url>"),
)
TELLING = ("status", "size", "availability_zone", "volume_type", "multiattach", "bootable", "encrypted", "user_message")
"""Values that both clouds must show alike."""

USED_HEADERS = ("Date", "Retry-After", "X-Openstack-Request-Id")
"""Headers that the driver reads; that they are there is compared."""


@dataclass(frozen=True)
class Answer:
    """`fault` is the key of an error's body; `keys` are those of the object, or of a list's first one."""

    status: int
    fault: str = ""
    message: str = ""
    microversion: str = ""
    headers: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    values: Mapping[str, Any] = field(default_factory=dict)


def answer_of(response: Response) -> Answer:
    """What is kept of a response."""
    body = _json(response)
    microversion = response.headers.get("OpenStack-API-Version", "")
    headers = [name for name in USED_HEADERS if name in response.headers]
    if response.status_code >= 400:
        fault, told = next(iter(body.items())) if len(body) == 1 else ("", body)
        message = told.get("message", "") if isinstance(told, dict) else str(told)
        return Answer(response.status_code, fault, masked(message), microversion, headers)
    view = _view(body)
    values = {key: view[key] for key in TELLING if key in view}
    return Answer(response.status_code, "", "", microversion, headers, sorted(body) + sorted(view), values)


def masked(text: str) -> str:
    """A text without what differs from run to run."""
    for pattern, mask in MASKS:
        text = pattern.sub(mask, text)
    return " ".join(text.split())


def keep(cloud: str, answers: Mapping[str, Answer]) -> None:
    """Write the answers to build/contract-<cloud>.json."""
    path = CHECKOUT / "build" / f"contract-{cloud}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({name: asdict(answer) for name, answer in answers.items()}, indent=1) + "\n")


def _json(response: Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _view(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object that a body is about; of a list the first."""
    inner = next((value for key, value in body.items() if not key.endswith("_links")), {})
    if isinstance(inner, list):
        inner = inner[0] if inner else {}
    return inner if isinstance(inner, dict) else {}
