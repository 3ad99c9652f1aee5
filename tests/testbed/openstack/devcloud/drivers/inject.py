"""Failures and delays that tests ask for in the back ends.

A test writes <state>/inject/<operation>, holding JSON such as {"times": 1, "delay": 2.5, "error": "no space"}: the
next `times` calls of that operation wait and then fail, or do just one of both. With "match", only calls whose
resource's id or name contains that text count.
Standard library only, as both the bed's own Python and the drivers import it.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

VOLUME_OPERATIONS = (
    "create_volume",
    "delete_volume",
    "create_cloned_volume",
    "create_volume_from_snapshot",
    "create_snapshot",
    "delete_snapshot",
    "revert_to_snapshot",
    "extend_volume",
    "retype",
    "initialize_connection",
    "terminate_connection",
)
SERVER_OPERATIONS = ("spawn", "attach_volume", "detach_volume")
SHARE_OPERATIONS = (
    "share_create",
    "share_create_from_snapshot",
    "share_delete",
    "share_extend",
    "share_create_snapshot",
    "share_delete_snapshot",
    "share_revert_to_snapshot",
    "share_update_access",
)
OPERATIONS = VOLUME_OPERATIONS + SERVER_OPERATIONS + SHARE_OPERATIONS
KEYS = ("times", "delay", "error", "match")

_one_at_a_time = threading.Lock()


def write(folder: Path, operation: str, rule: dict[str, Any]) -> None:
    """Ask for a failure or delay; replaces the rule that the operation has.

    Raises:
        ValueError: there is no such operation, or no such key.
    """
    if operation not in OPERATIONS:
        raise ValueError(f"no operation {operation!r}; there are: {', '.join(OPERATIONS)}")
    for key in rule:
        if key not in KEYS:
            raise ValueError(f"no key {key!r} in a rule; there are: {', '.join(KEYS)}")
    folder.mkdir(parents=True, exist_ok=True)
    # under another name first, so that a service never reads half a rule
    unfinished = folder / f"{operation}.new"
    unfinished.write_text(json.dumps(rule))
    unfinished.rename(folder / operation)


def take(folder: Path, operation: str, *labels: str | None) -> str:
    """Wait as long as a rule for this call says; return the error to fail with, empty for none.

    Args:
        folder: where the rules are.
        operation: one of `OPERATIONS`.
        labels: the resource's id and names, for "match".
    """
    path = folder / operation
    with _one_at_a_time:
        try:
            rule = json.loads(path.read_text())
        except FileNotFoundError:
            return ""
        if rule.get("match") and not any(rule["match"] in (label or "") for label in labels):
            return ""
        left = rule.get("times", 1) - 1
        if left > 0:
            write(folder, operation, rule | {"times": left})
        else:
            path.unlink()
    time.sleep(rule.get("delay", 0))
    return str(rule.get("error", ""))
