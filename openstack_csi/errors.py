"""The one tree of errors, and what each asks of the caller.

Every layer raises these; none of them catches an error only to say it in other words. The cloud's faults become
them in `cloud/faults.py`, and the gRPC interceptor (`csi/interceptor.py`) and the watchers' events read their code
from the class. An error says: what failed · why, in the cloud's own words · what to do · request id.

    DriverError
    ├── InvalidArgument            a key or value that no repetition will make right
    ├── NotFound                   the volume, node or secret is not there
    ├── AlreadyExists              the name is taken by something that is not what was asked for
    ├── PermissionDenied           the cloud knows us and says no
    ├── Unauthenticated            the cloud does not know us
    ├── ResourceExhausted          quota, capacity or attachments of a node used up
    ├── FailedPrecondition         the state forbids it until somebody changes it
    │   └── AttachedElsewhere      … because the volume is attached to another node
    ├── Aborted                    an operation on the same thing is under way
    ├── OutOfRange                 a size that cannot be had
    ├── Unimplemented              not offered
    ├── Unavailable                the cloud (or the API server) is not well; what it did with the call is not known
    │   └── Throttled              … because it asks us to slow down; the call had no effect
    ├── DeadlineExceeded           still under way when the caller's time was up
    └── Internal                   a bug of ours
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable
from typing import ClassVar


class Code(enum.IntEnum):
    """gRPC status codes, by their numbers on the wire (this module imports no gRPC)."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class Retry(enum.Enum):
    """What a caller does next with the same request."""

    SOON = "soon"  # transient: back off and repeat
    SLOWLY = "slowly"  # nothing changes until somebody changes the request or the cloud
    NEVER = "never"  # the request itself is wrong


class DriverError(Exception):
    """The root of the tree.

    Args:
        message: what failed and why, for the person who reads the event.
        hint: what to do about it; the class's own when empty.
        request_id: the cloud's id of the failed call (`req-…`), empty when there was none.
        retry_after: seconds that the cloud asked us to wait, None when it did not say.
    """

    code: ClassVar[Code] = Code.INTERNAL
    retry: ClassVar[Retry] = Retry.SOON
    hint: str = ""

    def __init__(self, message: str, *, hint: str = "", request_id: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or type(self).hint
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        text = self.message
        if self.hint:
            text = f"{text.rstrip('.')}. {self.hint}"
        return f"{text} [request {self.request_id}]" if self.request_id else text


class InvalidArgument(DriverError):
    """A key or value is wrong; repeating the request cannot help."""

    code = Code.INVALID_ARGUMENT
    retry = Retry.NEVER


class NotFound(DriverError):
    """What the request names does not exist."""

    code = Code.NOT_FOUND
    retry = Retry.SLOWLY


class AlreadyExists(DriverError):
    """The name is taken by something that differs from what was asked for."""

    code = Code.ALREADY_EXISTS
    retry = Retry.SLOWLY


class PermissionDenied(DriverError):
    """The cloud refused the user of the clouds.yaml."""

    code = Code.PERMISSION_DENIED
    retry = Retry.SLOWLY
    hint = "Check the roles of the user or application credential in clouds.yaml."


class Unauthenticated(DriverError):
    """The cloud does not accept the credentials."""

    code = Code.UNAUTHENTICATED
    retry = Retry.SLOWLY
    hint = "Check auth_url and the credentials in clouds.yaml; an application credential may have expired."


class ResourceExhausted(DriverError):
    """A quota, a pool or a node's attachments are used up."""

    code = Code.RESOURCE_EXHAUSTED
    retry = Retry.SLOWLY


class FailedPrecondition(DriverError):
    """The state of the thing forbids it until somebody changes that state."""

    code = Code.FAILED_PRECONDITION
    retry = Retry.SLOWLY


class AttachedElsewhere(FailedPrecondition):
    """The volume is attached to another node and its type does not allow two."""


class Aborted(DriverError):
    """Another operation on the same name or volume is under way."""

    code = Code.ABORTED
    retry = Retry.SOON


class OutOfRange(DriverError):
    """The size cannot be had."""

    code = Code.OUT_OF_RANGE
    retry = Retry.NEVER


class Unimplemented(DriverError):
    """The driver does not offer it."""

    code = Code.UNIMPLEMENTED
    retry = Retry.NEVER


class Unavailable(DriverError):
    """The other side does not answer well; nothing is known to have changed, or it is not known what has."""

    code = Code.UNAVAILABLE
    retry = Retry.SOON


class Throttled(Unavailable):
    """The other side asks us to slow down (429, 503 with Retry-After); the call had no effect."""


class DeadlineExceeded(DriverError):
    """The caller's time was up while the operation went on; the next call finds its state."""

    code = Code.DEADLINE_EXCEEDED
    retry = Retry.SOON


class Internal(DriverError):
    """A bug of ours."""

    code = Code.INTERNAL
    retry = Retry.SOON
    hint = "This is a bug of openstack-csi: please report it with the controller's log."


def unknown_key(kind: str, key: str, known: Iterable[str]) -> InvalidArgument:
    """The refusal of a key that does not exist, naming the nearest that does.

    Args:
        kind: where the key stood, such as "StorageClass parameter".
        key: the key as it was written.
        known: all keys of that kind.
    """
    names = sorted(known)
    near = difflib.get_close_matches(key.lower(), [n.lower() for n in names], n=1, cutoff=0.6)
    if near:
        right = next(n for n in names if n.lower() == near[0])
        return InvalidArgument(f'unknown {kind} "{key}"', hint=f'Did you mean "{right}"?')
    return InvalidArgument(f'unknown {kind} "{key}"', hint=f"Known are: {', '.join(names)}.")
