"""A volume's metadata, key by key. To change it so does not change when the volume was updated."""

from __future__ import annotations

from ..lifecycle import Lifecycle
from ..service import Context, Route
from ..state import State
from ..wire import HTML, Reply, bad_request, not_found
from . import checks
from .volumes import find


class Metadata:
    """The /volumes/{id}/metadata paths."""

    def __init__(self, state: State, _: Lifecycle) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        return [
            Route("GET", "volumes/{id}/metadata", self._list),
            Route("POST", "volumes/{id}/metadata", self._merge),
            Route("PUT", "volumes/{id}/metadata", self._replace),
            Route("GET", "volumes/{id}/metadata/{id}", self._show),
            Route("PUT", "volumes/{id}/metadata/{id}", self._set),
            Route("DELETE", "volumes/{id}/metadata/{id}", self._delete),
        ]

    def _list(self, context: Context, volume_id: str) -> Reply:
        volume = find(self._state, context, volume_id)
        return Reply(200, {"metadata": volume.metadata}, content_type=HTML)

    def _merge(self, context: Context, volume_id: str) -> Reply:
        given = checks.metadata(checks.body(context, "metadata"))
        volume = find(self._state, context, volume_id)
        volume.metadata.update(given)
        volume.rendered.clear()
        return Reply(200, {"metadata": volume.metadata})

    def _replace(self, context: Context, volume_id: str) -> Reply:
        given = checks.metadata(checks.body(context, "metadata"))
        volume = find(self._state, context, volume_id)
        volume.metadata = given
        volume.rendered.clear()
        return Reply(200, {"metadata": volume.metadata})

    def _show(self, context: Context, volume_id: str, key: str) -> Reply:
        metadata = self._with_key(context, volume_id, key)
        return Reply(200, {"meta": {key: metadata[key]}})

    def _set(self, context: Context, volume_id: str, key: str) -> Reply:
        given = checks.metadata(checks.body(context, "meta"))
        if set(given) != {key}:
            raise bad_request("Request body and URI mismatch")
        volume = find(self._state, context, volume_id)
        volume.metadata.update(given)
        volume.rendered.clear()
        return Reply(200, {"meta": given})

    def _delete(self, context: Context, volume_id: str, key: str) -> Reply:
        del self._with_key(context, volume_id, key)[key]
        find(self._state, context, volume_id).rendered.clear()
        return Reply(200, content_type=HTML)

    def _with_key(self, context: Context, volume_id: str, key: str) -> dict[str, str]:
        metadata = find(self._state, context, volume_id).metadata
        if key not in metadata:
            raise not_found(f"Volume {volume_id} has no metadata with key {key}.")
        return metadata
