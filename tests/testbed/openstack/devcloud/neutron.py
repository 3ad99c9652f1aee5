"""The least of Neutron that Nova asks for when servers have no networks: every list is empty."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse


def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Answer as a WSGI application."""
    name = environ["PATH_INFO"].rstrip("/").rpartition("/")[2]
    body: dict[str, Any] = {name.replace("-", "_"): []}
    if name in ("", "v2.0"):
        here = f"http://{environ['HTTP_HOST']}/v2.0/"
        body = {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": here}]}]}
    data = json.dumps(body).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
    return [data]
