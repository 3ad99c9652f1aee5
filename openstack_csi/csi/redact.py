"""Messages made fit for a log: what CSI marks `csi_secret` is taken out, by the mark and not by a list of names."""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from openstack_csi.csi.pb import csi_pb2 as pb

_CSI_SECRET: Any = pb.csi_secret
_SENSITIVE_NAMES = frozenset({"mount_flags"})  # CSI: may hold sensitive words, though it has no mark
_SHORTEST = 4  # characters; a shorter value is no secret, and masking it would garble the text


def redacted(message: Message) -> str:
    """The message on one line, without secrets."""
    copy = type(message)()
    copy.CopyFrom(message)
    _strip(copy)
    return text_format.MessageToString(copy, as_one_line=True)


def mask(text: str, request: Message) -> str:
    """The text with every secret value of the request blotted out, for texts that we did not write (tracebacks)."""
    for value in sorted(_secret_values(request), key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, "***")
    return text


def is_secret(field: FieldDescriptor) -> bool:
    """Whether CSI forbids to log the field."""
    return field.name in _SENSITIVE_NAMES or bool(field.GetOptions().Extensions[_CSI_SECRET])


def _strip(message: Message) -> None:
    for field, value in message.ListFields():
        if is_secret(field):
            message.ClearField(field.name)
        elif _holds_messages(field):
            for child in value if field.is_repeated else (value,):
                _strip(child)


def _secret_values(message: Message) -> set[str]:
    """Values of the marked maps of a request; CSI has them at the top of a request only."""
    marked = (value for field, value in message.ListFields() if field.GetOptions().Extensions[_CSI_SECRET])
    return {text for values in marked for text in values.values()}


def _holds_messages(field: FieldDescriptor) -> bool:
    return field.message_type is not None and not field.message_type.GetOptions().map_entry
