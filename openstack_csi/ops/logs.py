"""How a log line looks: one line each, for people (`text`) or for a collector (`json`), never with a secret.

Modules log a short event with its facts as `extra`: `log.info("attached", extra={"volume": v, "node": n})`. The
formatters print the facts behind the event, `key=value` or as JSON keys. Both scrub what they print: a fact whose name
says secret is never shown, and what looks like a secret inside a text is cut out of it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRET_NAME = re.compile(r"pass(word|wd|phrase)|secret|token|credential|private[_-]?key|authorization", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"""(?P<name>[\w-]*(?:passwo?r?d|passphrase|secret|private[_-]?key|authorization)[\w-]*["']?\s*[:=]\s*"""
    r"""|[\w-]*token(?:=|["']\s*:\s*)|[\w-]+-token:\s*)"""
    r"""(?P<value>\{[^}]*\}|"[^"]*"|'[^']*'|(?:Bearer\s+|Basic\s+)?[^\s,;}&"']+)""",
    re.IGNORECASE,
)
_BARE = re.compile(r"[^\s\"=]+")
_HIDDEN = "***"


def set_up(log_format: str, level: str, stream: TextIO | None = None) -> None:
    """Log to `stream` (default stderr) from now on.

    Args:
        log_format: "text" or "json".
        level: "debug", "info", "warning" or "error"; the libraries underneath speak from "warning" on.
        stream: where lines go.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, _level(level)))
    logging.getLogger("openstack_csi").setLevel(_level(level))
    logging.captureWarnings(True)


def scrub(value: Any, name: str = "") -> Any:
    """`value` without secrets: by its name, by the names of a mapping's keys, and by what stands in a text."""
    if name and _SECRET_NAME.search(name):
        return _HIDDEN
    if isinstance(value, Mapping):
        return {str(key): scrub(each, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [scrub(each) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _SECRET_TEXT.sub(rf"\g<name>{_HIDDEN}", str(value))


class TextFormatter(logging.Formatter):
    """`2026-11-21T11:41:22.123Z info  watch.attacher: attached volume=… node=…`; a traceback goes in as one field."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = _fields(record)
        head = f"{fields.pop('time')} {fields.pop('level'):7} {fields.pop('logger')}: {_one_line(fields.pop('event'))}"
        return " ".join([head, *(f"{key}={_quoted(value)}" for key, value in fields.items())])


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with `time`, `level`, `logger` and `event` first."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return json.dumps(_fields(record), ensure_ascii=False, default=str)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {
        "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name.removeprefix("openstack_csi."),
        "event": scrub(record.getMessage()),
    }
    for key, value in vars(record).items():
        if key not in _OWN:
            fields[f"{key}_" if key in fields else key] = scrub(value, key)
    if record.exc_info:
        fields["traceback"] = scrub(logging.Formatter().formatException(record.exc_info))
    return fields


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _level(name: str) -> int:
    return logging.getLevelNamesMapping()[name.upper()]
