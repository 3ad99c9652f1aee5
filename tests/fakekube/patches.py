"""Merge patch (RFC 7386), JSON patch (RFC 6902), and of strategic merge patch what it does with finalizers.

The patched value is new; what is unchanged in it is shared.
"""

from __future__ import annotations

import copy
from typing import Any


class BadPatch(Exception):
    """The patch does not fit the object."""


def merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


_TAKE_OFF = "$deleteFromPrimitiveList/finalizers"


def merge_strategically(target: Any, patch: Any) -> Any:
    """A merge patch whose finalizers are added to those that are there, or taken off. Other directives are refused."""
    result = merge(target, patch)
    metadata = patch.get("metadata") or {}
    unknown = [key for part in (patch, metadata) for key in part if key.startswith("$") and key != _TAKE_OFF]
    if unknown:
        raise BadPatch(f"the fake API server does not know the directive {unknown[0]}")
    if "finalizers" in metadata or _TAKE_OFF in metadata:
        had = target["metadata"].get("finalizers") or []
        added = metadata.get("finalizers") or []
        kept = [name for name in dict.fromkeys([*had, *added]) if name not in metadata.get(_TAKE_OFF, ())]
        result["metadata"].pop(_TAKE_OFF, None)
        result["metadata"]["finalizers"] = kept
    return result


def apply_operations(target: Any, operations: list[dict[str, Any]]) -> Any:
    holder = {"": copy.deepcopy(target)}
    for operation in operations:
        path = ["", *_tokens(operation["path"])]
        match operation["op"]:
            case "test":
                if _lookup(holder, path) != operation["value"]:
                    raise BadPatch(f"testing path {operation['path']} value failed")
            case "add":
                _add(holder, path, operation["value"])
            case "replace":
                _lookup(holder, path)
                _remove(holder, path)
                _add(holder, path, operation["value"])
            case "remove":
                _remove(holder, path)
            case "move":
                source = ["", *_tokens(operation["from"])]
                value = _lookup(holder, source)
                _remove(holder, source)
                _add(holder, path, value)
            case "copy":
                _add(holder, path, copy.deepcopy(_lookup(holder, ["", *_tokens(operation["from"])])))
            case other:
                raise BadPatch(f"unknown operation {other}")
    return holder[""]


def _tokens(pointer: str) -> list[str]:
    if not pointer:
        return []
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.removeprefix("/").split("/")]


def _lookup(value: Any, path: list[str]) -> Any:
    for token in path:
        try:
            value = value[int(token)] if isinstance(value, list) else value[token]
        except (KeyError, IndexError, ValueError, TypeError):
            raise BadPatch(f"no such path: {'/'.join(path)}") from None
    return value


def _add(holder: Any, path: list[str], value: Any) -> None:
    parent, token = _lookup(holder, path[:-1]), path[-1]
    if isinstance(parent, list):
        index = len(parent) if token == "-" else int(token)
        if index > len(parent):
            raise BadPatch(f"index {index} is out of bounds")
        parent.insert(index, value)
    elif isinstance(parent, dict):
        parent[token] = value
    else:
        raise BadPatch(f"no such path: {'/'.join(path)}")


def _remove(holder: Any, path: list[str]) -> None:
    _lookup(holder, path)
    parent, token = _lookup(holder, path[:-1]), path[-1]
    del parent[int(token) if isinstance(parent, list) else token]
