"""Snapshots: create, look at, list, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..lifecycle import Lifecycle
from ..model import Snapshot
from ..service import Context, Route
from ..state import State
from ..wire import HTML, ApiError, Reply, bad_request, not_found
from . import checks, quota, views
from .queries import Page, check_filters, next_links
from .volumes import find

FILTERS = ("name", "status", "volume_id", "metadata", "availability_zone", "consumes_quota")


class Snapshots:
    """The /snapshots paths."""

    def __init__(self, state: State, lifecycle: Lifecycle) -> None:
        self._state = state
        self._lifecycle = lifecycle

    def routes(self) -> list[Route]:
        return [
            Route("GET", "snapshots", self._list),
            Route("GET", "snapshots/detail", self._detail),
            Route("POST", "snapshots", self._create),
            Route("GET", "snapshots/{id}", self._show),
            Route("DELETE", "snapshots/{id}", self._delete),
        ]

    def _list(self, context: Context) -> Reply:
        return self._page(context, "snapshots", views.snapshot_summary)

    def _detail(self, context: Context) -> Reply:
        return self._page(context, "snapshots/detail", views.snapshot_detail)

    def _page(self, context: Context, path: str, view: Callable[[Context, Snapshot], dict[str, Any]]) -> Reply:
        maximum = self._state.config.max_limit
        page = Page.of(context, maximum)
        project = None if context.admin and context.params.pop("all_tenants", "") else context.user.project
        visible = [s for s in self._state.snapshots.values() if project in (None, s.project)][::-1]
        check_filters(context, FILTERS)
        wanted = context.params
        found = [s for s in page.after_marker(visible, _no_snapshot) if _fits(s, wanted)]
        shown = page.cut(found)
        body: dict[str, Any] = {"snapshots": [view(context, s) for s in shown]}
        if links := next_links(context, path, shown, maximum):
            body["snapshots_links"] = links
        return Reply(200, body)

    def _create(self, context: Context) -> Reply:
        given = checks.body(context, "snapshot")
        metadata = checks.metadata(given.get("metadata"))
        if "volume_id" not in given:
            raise checks.wrong("snapshot", given, "'volume_id' is a required property")
        volume = find(self._state, context, str(given["volume_id"]))
        force = str(given.get("force", False)).lower() in ("1", "true")
        if volume.status != "available" and not ((force or context.version >= 66) and volume.status == "in-use"):
            raise bad_request(
                f"Invalid volume: Volume {volume.id} status must be available, but current status is: {volume.status}."
            )
        quota.check_snapshot(self._state, volume.project, volume.size)
        snapshot = Snapshot(
            id=self._state.new_id(),
            project=volume.project,
            user=context.user,
            volume=volume,
            name=checks.text("name", given),
            description=checks.text("description", given),
            size=volume.size,
            created_at=self._state.timeline.wall(),
            metadata=metadata,
        )
        self._lifecycle.create_snapshot(snapshot)
        return Reply(202, {"snapshot": views.snapshot_view(context, snapshot)})

    def _show(self, context: Context, snapshot_id: str) -> Reply:
        return Reply(200, {"snapshot": views.snapshot_detail(context, self._find(context, snapshot_id))})

    def _delete(self, context: Context, snapshot_id: str) -> Reply:
        snapshot = self._find(context, snapshot_id)
        if snapshot.status not in ("available", "error"):
            raise bad_request(
                "Invalid snapshot: Snapshot status must be available or error and must not be part of a group snapshot."
            )
        self._lifecycle.delete_snapshot(snapshot)
        return Reply(202, content_type=HTML)

    def _find(self, context: Context, snapshot_id: str) -> Snapshot:
        snapshot = self._state.snapshot(snapshot_id, context.user)
        if snapshot is None:
            raise _no_snapshot(snapshot_id)
        return snapshot


def _fits(snapshot: Snapshot, wanted: dict[str, str]) -> bool:
    facts = {"name": snapshot.name, "status": snapshot.status, "volume_id": snapshot.volume.id}
    return all(facts.get(key) == value for key, value in wanted.items())


def _no_snapshot(snapshot_id: str) -> ApiError:
    return not_found(f"Snapshot {snapshot_id} could not be found.")
