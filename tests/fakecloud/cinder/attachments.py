"""Attachments as Cinder keeps them, to read; making and ending them is Nova's."""

from __future__ import annotations

from ..lifecycle import Lifecycle
from ..model import Attachment
from ..service import Context, Route
from ..state import State
from ..wire import ApiError, Reply, not_found
from . import checks, views
from .queries import Page, check_filters

FILTERS = ("volume_id", "status", "instance_id", "attach_status")
SINCE = 27


class Attachments:
    """The /attachments paths."""

    def __init__(self, state: State, _: Lifecycle) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        return [
            Route("GET", "attachments", self._list),
            Route("GET", "attachments/detail", self._detail),
            Route("GET", "attachments/{id}", self._show),
            Route("DELETE", "attachments/{id}", self._delete),
        ]

    def _list(self, context: Context) -> Reply:
        return Reply(200, {"attachments": [views.attachment_summary(a) for a in self._select(context)]})

    def _detail(self, context: Context) -> Reply:
        return Reply(200, {"attachments": [views.attachment_detail(a) for a in self._select(context)]})

    def _show(self, context: Context, attachment_id: str) -> Reply:
        return Reply(200, {"attachment": views.attachment_detail(self._find(context, attachment_id))})

    def _delete(self, context: Context, attachment_id: str) -> Reply:
        """Refused, as Cinder does since a user could take a disk from under a server with it."""
        server = self._find(context, attachment_id).server.id
        raise ApiError(409, f"ConflictNovaUsingAttachment: Detach volume from instance {server} using the Compute API")

    def _all(self, context: Context, *, everywhere: bool) -> list[Attachment]:
        volumes = self._state.volumes.values()
        return [a for v in volumes if everywhere or v.project is context.user.project for a in v.attachments.values()]

    def _select(self, context: Context) -> list[Attachment]:
        checks.since(context, SINCE)
        page = Page.of(context, self._state.config.max_limit)
        everywhere = context.admin and bool(context.params.pop("all_tenants", ""))
        check_filters(context, FILTERS)
        visible = self._all(context, everywhere=everywhere)[::-1]
        return page.cut([a for a in page.after_marker(visible, _missing) if _fits(a, context.params)])

    def _find(self, context: Context, attachment_id: str) -> Attachment:
        checks.since(context, SINCE)
        for attachment in self._all(context, everywhere=context.admin):
            if attachment.id == attachment_id:
                return attachment
        raise _missing(attachment_id)


def _fits(attachment: Attachment, wanted: dict[str, str]) -> bool:
    facts = {
        "volume_id": attachment.volume.id,
        "status": attachment.status,
        "attach_status": attachment.status,
        "instance_id": attachment.server.id,
    }
    return all(facts.get(key) == value for key, value in wanted.items())


def _missing(attachment_id: str) -> ApiError:
    return not_found(f"Volume attachment could not be found with filter: attachment_id = {attachment_id}.")
