"""Label and field selectors, in the forms that controllers use: a=b, a==b, a!=b, a, !a, joined by commas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Match = Callable[[Json], bool]


def selector(labels: str, fields: str) -> Match | None:
    """Whether an object is selected; None selects all."""
    terms = [_term(term, _label) for term in _split(labels)] + [_term(term, _field) for term in _split(fields)]
    if not terms:
        return None
    return lambda obj: all(term(obj) for term in terms)


def _split(text: str) -> list[str]:
    return [term.strip() for term in text.split(",") if term.strip()]


def _label(obj: Json, key: str) -> str | None:
    return (obj["metadata"].get("labels") or {}).get(key)


def _field(obj: Json, key: str) -> str | None:
    value: Any = obj
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)


def _term(term: str, read: Callable[[Json, str], str | None]) -> Match:
    for sign, wanted in (("!=", False), ("==", True), ("=", True)):
        key, found, value = term.partition(sign)
        if found:
            return lambda obj: (read(obj, key.strip()) == value.strip()) is wanted
    if term.startswith("!"):
        return lambda obj: read(obj, term[1:]) is None
    return lambda obj: read(obj, term) is not None
