"""What Cinder's JSON schemas refuse, in the words in which it does."""

from __future__ import annotations

import json
import re
from typing import Any

from ..service import Context
from ..wire import bad_request, not_found

CREATE_KEYS = frozenset(
    [
        "name",
        "display_name",
        "description",
        "display_description",
        "size",
        "availability_zone",
        "volume_type",
        "metadata",
        "snapshot_id",
        "source_volid",
        "consistencygroup_id",
        "group_id",
        "imageRef",
        "image_id",
        "multiattach",
        "backup_id",
        "scheduler_hints",
        "OS-SCH-HNT:scheduler_hints",
    ]
)
UPDATE_KEYS = frozenset(("name", "description", "display_name", "display_description", "metadata"))
MAX_SIZE = 2_147_483_647
METADATA_KEY = "^[a-zA-Z0-9-_:. /]{1,255}$"
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)


def is_uuid(text: Any) -> bool:
    return isinstance(text, str) and _UUID.fullmatch(text) is not None


def body(context: Context, key: str) -> dict[str, Any]:
    """The object that a body has under `key`."""
    try:
        whole = json.loads(context.request.body)
    except ValueError:
        raise bad_request("Malformed request body") from None
    if not isinstance(whole, dict):
        raise bad_request(f"{whole!r} is not of type 'object'")
    if key not in whole:
        raise bad_request(f"'{key}' is a required property")
    if not isinstance(whole[key], dict):
        raise wrong(key, whole[key], f"{whole[key]!r} is not of type 'object'")
    return dict(whole[key])


def since(context: Context, version: int) -> None:
    """Refuse an API that the microversion does not have yet."""
    if context.version < version:
        raise not_found("The resource could not be found.")


def wrong(name: str, value: Any, why: str) -> Exception:
    return bad_request(f"Invalid input for field/attribute {name}. Value: {value}. {why}")


def known_keys(name: str, given: dict[str, Any], known: frozenset[str]) -> None:
    unknown = [repr(key) for key in given if key not in known]
    if unknown:
        verb = "was" if len(unknown) == 1 else "were"
        why = f"Additional properties are not allowed ({', '.join(sorted(unknown))} {verb} unexpected)"
        raise wrong(name, given, why)


def size(name: str, value: Any) -> int:
    """A size in GiB, at least 1."""
    if isinstance(value, str) and not value.isdecimal():
        raise wrong(name, value, f"{value!r} does not match '^[0-9]+$'")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise wrong(name, value, f"{value!r} is not of type 'integer', 'string', 'null'")
    if int(value) < 1:
        raise wrong(name, value, f"{value} is less than the minimum of 1")
    if int(value) > MAX_SIZE:
        raise wrong(name, value, f"{value} is greater than the maximum of {MAX_SIZE}")
    return int(value)


def metadata(given: Any) -> dict[str, str]:
    """Keys and values of metadata: short strings, keys of few characters."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise wrong("metadata", given, f"{given!r} is not of type 'object'")
    for key, value in given.items():
        if not re.fullmatch(METADATA_KEY, key):
            raise wrong("metadata", given, f"{key!r} does not match any of the regexes: '{METADATA_KEY}'")
        if not isinstance(value, str):
            raise wrong(key, value, f"{value!r} is not of type 'string'")
        if len(value) > 255:
            raise wrong(key, value, f"{value!r} is too long")
    return dict(given)


def text(name: str, given: dict[str, Any]) -> str | None:
    """A name or description, of at most 255 characters without the spaces around it."""
    value = given.get(name, given.get(f"display_{name}"))
    if value is None:
        return None
    if not isinstance(value, str):
        raise wrong(name, value, f"{value!r} is not of type 'string', 'null'")
    value = value.strip()
    if len(value) > 255:
        raise bad_request(f"Invalid input received: {name} has {len(value)} characters, more than 255.")
    return value


def reference(name: str, given: dict[str, Any]) -> str | None:
    """The id of another object, or None."""
    value = given.get(name)
    if value is not None and not is_uuid(value):
        raise wrong(name, value, f"{value!r} is not valid under any of the given schemas")
    return value
