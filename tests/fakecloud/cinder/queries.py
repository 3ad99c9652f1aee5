"""Lists: filters, order and pages, with Cinder's own ideas of what is wrong with a query."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

from ..model import Volume
from ..service import Context
from ..wire import ApiError, bad_request

T = TypeVar("T")

FILTERS_SINCE = 31
"""The microversion from which an unknown filter is refused; before it, it is ignored."""
VOLUME_FILTERS = (
    "name",
    "status",
    "metadata",
    "bootable",
    "migration_status",
    "availability_zone",
    "group_id",
    "size",
    "created_at",
    "updated_at",
    "consumes_quota",
)
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "eq": lambda a, b: a == b,
    "neq": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}
SORT_KEYS: dict[str, Callable[[Volume], Any]] = {
    "created_at": lambda v: v.number,
    "updated_at": lambda v: v.updated_at or 0.0,
    "id": lambda v: v.id,
    "name": lambda v: v.name or "",
    "display_name": lambda v: v.name or "",
    "size": lambda v: v.size,
    "status": lambda v: v.status,
    "availability_zone": lambda v: v.zone,
    "bootable": lambda v: v.bootable,
    "volume_type_id": lambda v: v.type.id,
}


def take(params: dict[str, str], key: str, default: int) -> int:
    """A number of the query that pages lists, taken out of it."""
    try:
        number = int(params.pop(key, default))
    except ValueError:
        raise bad_request(f"{key}{' param' if key == 'limit' else ''} must be an integer") from None
    if number < 0:
        raise bad_request(f"{key} param must be positive")
    return number


@dataclass(frozen=True, slots=True)
class Page:
    """What a query says about paging; a marker may be a thing that the filters leave out."""

    limit: int
    offset: int
    marker: str | None

    @classmethod
    def of(cls, context: Context, maximum: int) -> Page:
        """Take limit, offset and marker out of the context's parameters."""
        limit = min(take(context.params, "limit", maximum), maximum)
        return cls(limit, take(context.params, "offset", 0), context.params.pop("marker", None))

    def after_marker(self, things: list[T], missing: Callable[[str], ApiError]) -> list[T]:
        if self.marker is None:
            return things
        place = next((i for i, thing in enumerate(things) if getattr(thing, "id", None) == self.marker), None)
        if place is None:
            raise missing(self.marker)
        return things[place + 1 :]

    def cut(self, things: list[T]) -> list[T]:
        return things[self.offset : self.offset + self.limit]


def next_links(context: Context, path: str, shown: list[Any], maximum: int) -> list[dict[str, str]]:
    """The link to the next page, which a full page has."""
    params = context.request.params()
    limit = min(int(params.get("limit", maximum)), maximum)
    if not shown or len(shown) < limit:
        return []
    params.pop("marker", None)
    query = urlencode({**params, "marker": shown[-1].id})
    project = f"{context.user.project.id}/" if context.project_in_path else ""
    return [{"rel": "next", "href": f"{context.base}/volume/v3/{project}{path}?{query}"}]


def check_filters(context: Context, known: Iterable[str]) -> None:
    """Refuse what is no filter, or forget it where the microversion does so."""
    if context.admin:
        return
    wrong = [key for key in context.params if key not in known]
    for key in wrong:
        if key == "all_tenants" or context.version < FILTERS_SINCE:
            del context.params[key]
    wrong = [key for key in wrong if key in context.params]
    if wrong:
        raise bad_request(f"Invalid filters {','.join(wrong)} are found in query options.")


def ordered(context: Context, volumes: list[Volume]) -> list[Volume]:
    """The volumes, given as they were made, in the order that the query asks for; newest first without one."""
    wishes = _order(context.params)
    if wishes == [("created_at", "desc")]:
        return volumes[::-1]
    ordered_volumes = volumes[::-1] if wishes[0][1] == "desc" else volumes
    for key, direction in reversed(wishes):
        ordered_volumes = sorted(ordered_volumes, key=SORT_KEYS[key], reverse=direction == "desc")
    return ordered_volumes


def _order(params: dict[str, str]) -> list[tuple[str, str]]:
    if "sort" in params:
        if "sort_key" in params or "sort_dir" in params:
            raise bad_request(
                "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter."
            )
        parts = [part.partition(":") for part in params.pop("sort").split(",")]
        wishes = [(key.strip(), direction.strip() or "desc") for key, _, direction in parts]
    else:
        wishes = [(params.pop("sort_key", "created_at"), params.pop("sort_dir", "desc"))]
    for key, direction in wishes:
        if direction not in ("asc", "desc"):
            raise bad_request("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.")
        if key not in SORT_KEYS:
            raise bad_request("Invalid input received: Invalid sort key")
    return wishes


def volume_filter(params: dict[str, str]) -> Callable[[Volume], bool]:
    """The filters of a query as one test."""
    tests = [_volume_test(key, value) for key, value in params.items()]
    return lambda volume: all(test(volume) for test in tests)


def _volume_test(key: str, value: str) -> Callable[[Volume], bool]:
    if key in ("created_at", "updated_at"):
        return _time_test(key, value)
    if key == "metadata":
        wanted = dictionary(value)
        return lambda v: wanted is not None and wanted.items() <= v.metadata.items()
    if key in ("bootable", "consumes_quota"):
        return _flag_test(key, value)
    fields: dict[str, Callable[[Volume], str | None]] = {
        "name": lambda v: v.name,
        "status": lambda v: v.status,
        "size": lambda v: str(v.size),
        "availability_zone": lambda v: v.zone,
        "id": lambda v: v.id,
        "project_id": lambda v: v.project.id,
        "user_id": lambda v: v.user.id,
        "host": lambda v: v.host,
        "volume_type_id": lambda v: v.type.id,
    }
    field = fields.get(key)
    return lambda v: field is not None and field(v) == value


def _flag_test(key: str, value: str) -> Callable[[Volume], bool]:
    flag = {"true": True, "1": True, "false": False, "0": False}.get(value.lower())
    if flag is None:
        raise bad_request(f"Invalid input received: '{key} = {value}'")
    return lambda v: (v.bootable if key == "bootable" else True) == flag


def _time_test(key: str, value: str) -> Callable[[Volume], bool]:
    tests = []
    for part in value.split(","):
        operator, _, time = part.partition(":")
        if operator not in OPERATORS:
            raise bad_request(f"Invalid {operator} operator")
        tests.append((OPERATORS[operator], _parse_time(time)))

    def test(volume: Volume) -> bool:
        date = volume.created_at if key == "created_at" else volume.updated_at
        return date is not None and all(compare(date, limit) for compare, limit in tests)

    return test


def _parse_time(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise bad_request(f"Invalid {text} value") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def dictionary(text: str) -> dict[str, str] | None:
    """A Python dictionary written in the query, as in metadata={'a':'b'}; None for anything else."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return value if isinstance(value, dict) else None
