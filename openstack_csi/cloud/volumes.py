"""Cinder's volumes: what we keep of one, the calls on them, and how the board looks at them.

Paths, bodies and microversions are those of the Block Storage API v3.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

from requests import Response

from openstack_csi import errors
from openstack_csi.cloud.connection import Cloud
from openstack_csi.cloud.faults import Refused

SERVICE = "block_storage"

LISTS_CHANGES = (3, 60)
"""The microversion from which volumes can be listed by the time of their last change."""

OVERLAP = timedelta(seconds=5)
"""How far two lists of changes overlap: times are kept in whole seconds, by services whose clocks differ a little."""

FULL_LIST_EVERY = 30.0
"""Seconds after which a list of changes is a list of everything, should some clock differ more than a little."""

PAGE = 500


@dataclass(frozen=True, slots=True)
class CinderAttachment:
    """One server that has the volume, as Cinder knows it."""

    server_id: str
    attachment_id: str
    device: str


@dataclass(frozen=True, slots=True)
class CinderVolume:
    """What we keep of a volume; all that is compared matters to somebody who waits."""

    id: str
    name: str
    status: str
    size_gib: int
    zone: str
    volume_type: str
    multiattach: bool
    metadata: Mapping[str, str]
    attachments: tuple[CinderAttachment, ...]
    created_at: str
    updated_at: str = field(default="", compare=False)

    def server_ids(self) -> tuple[str, ...]:
        """The servers that have it."""
        return tuple(a.server_id for a in self.attachments)


def kept(view: Mapping[str, Any]) -> CinderVolume:
    """What we keep of a volume's JSON."""
    return CinderVolume(
        id=view["id"],
        name=view.get("name") or "",
        status=view["status"],
        size_gib=int(view["size"]),
        zone=view.get("availability_zone") or "",
        volume_type=view.get("volume_type") or "",
        multiattach=bool(view.get("multiattach")),
        metadata=view.get("metadata") or {},
        attachments=tuple(
            CinderAttachment(a["server_id"] or "", a["attachment_id"], a.get("device") or "")
            for a in view.get("attachments", ())
        ),
        created_at=view.get("created_at") or "",
        updated_at=view.get("updated_at") or "",
    )


class Volumes:
    """The calls; also the board's `Source`. Errors are those of `Cloud.request`."""

    def __init__(self, cloud: Cloud, stamp: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
        cloud: where.
        stamp: the metadata that every volume of this cluster has; lists are filtered by it.
        clock: monotonic seconds.
        """
        self._cloud = cloud
        self._stamp = dict(stamp)
        self._clock = clock
        self._since: datetime | None = None
        self._full = float("-inf")

    def is_ours(self, volume: CinderVolume) -> bool:
        """Whether it has this cluster's stamp."""
        return all(volume.metadata.get(key) == value for key, value in self._stamp.items())

    def create(self, body: Mapping[str, Any]) -> CinderVolume:
        """POST /volumes; the answer's volume is `creating`."""
        what = f"Cinder refused to create volume {body['name']}"
        answer = self._call("POST", "/volumes", "volume_create", what, body={"volume": dict(body)})
        return kept(answer.json()["volume"])

    def delete(self, volume_id: str) -> None:
        """DELETE /volumes/{id}; accepted is not done."""
        self._call("DELETE", _path(volume_id), "volume_delete", f"Cinder refused to delete volume {volume_id}")

    def messages(self, volume_id: str) -> list[str]:
        """What Cinder tells its users of a volume that went wrong (microversion 3.5), newest first."""
        query = urlencode({"resource_uuid": volume_id})
        try:
            answer = self._call("GET", f"/messages?{query}", "message_list", "no messages", microversion="3.5")
        except (Refused, errors.DriverError):
            return []  # they explain an error, and must not hide it
        return [m["user_message"] for m in answer.json().get("messages", ())]

    def types(self) -> list[dict[str, Any]]:
        """GET /types: name, id, and those extra specs that a user may see."""
        answer = self._call("GET", "/types?is_public=None", "type_list", "Cinder did not list its volume types")
        found: list[dict[str, Any]] = answer.json()["volume_types"]
        return found

    def limits(self) -> dict[str, int]:
        """GET /limits: used and total of the project's quota."""
        answer = self._call("GET", "/limits", "limits_get", "Cinder did not tell the quota")
        found: dict[str, int] = answer.json()["limits"]["absolute"]
        return found

    # The board's source

    def one(self, object_id: str) -> CinderVolume | None:
        """GET /volumes/{id}."""
        try:
            answer = self._call("GET", _path(object_id), "volume_get", f"Cinder did not show volume {object_id}")
        except Refused as refused:
            # 400 is the answer for an id that is no UUID; such a volume cannot exist either.
            if refused.status in (400, 404):
                return None
            raise refused.error from None
        return kept(answer.json()["volume"])

    def all(self) -> list[CinderVolume]:
        """GET /volumes/detail with this cluster's stamp, all pages."""
        self._full = self._clock()
        return self._list({})

    def changed(self) -> list[CinderVolume] | None:
        """GET /volumes/detail with the stamp and a time of change; None when the cloud's Cinder is too old."""
        if not self._lists_changes():
            return None
        if self._since is None or self._clock() - self._full > FULL_LIST_EVERY:
            return self.all()
        since = (self._since - OVERLAP).strftime("%Y-%m-%dT%H:%M:%S")
        return self._list({"updated_at": f"gte:{since}"})

    def deleting(self) -> set[str]:
        """GET /volumes with the stamp and status `deleting`, all pages."""
        return {view["id"] for page, _ in self._pages("/volumes", {"status": "deleting"}) for view in page}

    def _list(self, query: Mapping[str, str]) -> list[CinderVolume]:
        found: list[CinderVolume] = []
        began: datetime | None = None
        for page, date in self._pages("/volumes/detail", query):
            found += (kept(view) for view in page)
            began = began or date
        self._since = began
        return found

    def _pages(self, path: str, query: Mapping[str, str]) -> Iterator[tuple[list[dict[str, Any]], datetime | None]]:
        """Each page's views, with the time at which the cloud sent it."""
        base = {**query, "metadata": str(self._stamp), "limit": str(PAGE)}
        marker: dict[str, str] = {}
        microversion = "3.60" if self._lists_changes() else None
        while True:
            url = f"{path}?{urlencode({**base, **marker})}"
            try:
                answer = self._call(
                    "GET", url, "volume_list", "Cinder did not list the volumes", microversion=microversion
                )
            except Refused as refused:
                raise refused.error from None
            body = answer.json()
            page = body["volumes"]
            yield page, _date(answer)
            if not page or not any(link.get("rel") == "next" for link in body.get("volumes_links", ())):
                return
            marker = {"marker": page[-1]["id"]}

    def _lists_changes(self) -> bool:
        return self._cloud.microversion(SERVICE) >= LISTS_CHANGES

    def _call(
        self,
        method: str,
        path: str,
        kind: str,
        what: str,
        *,
        microversion: str | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Response:
        return self._cloud.request(SERVICE, method, path, kind=kind, what=what, microversion=microversion, body=body)


def _path(volume_id: str) -> str:
    """The volume's path; an id comes from a PV that anybody may have written, and must not lead elsewhere."""
    return f"/volumes/{quote(volume_id, safe='')}"


def _date(answer: Response) -> datetime | None:
    """The cloud's clock, as it told it with an answer."""
    try:
        return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError, TypeError):
        return None
