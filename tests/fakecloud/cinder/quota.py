"""Cinder's quotas: who is over which limit, said as Cinder says it."""

from __future__ import annotations

from ..model import Project
from ..state import State
from ..wire import ApiError


def check_volume(state: State, project: Project, size: int) -> None:
    """Refuse one more volume of that many GiB with 413, where a limit says so."""
    check_size(state, project, size)
    _check_gigabytes(state, project, size)
    limit = state.quotas[project.id].volumes
    if 0 <= limit < state.used(project)[0] + 1:
        raise _over("VolumeLimitExceeded", f"Maximum number of volumes allowed ({limit}) exceeded for quota 'volumes'.")


def check_extend(state: State, project: Project, old: int, new: int) -> None:
    """Refuse a volume's growth, in GiB, with 413."""
    check_size(state, project, new)
    _check_gigabytes(state, project, new - old)


def check_snapshot(state: State, project: Project, size: int) -> None:
    """Refuse one more snapshot with 413."""
    limit = state.quotas[project.id].snapshots
    if 0 <= limit < state.used(project)[2] + 1:
        raise _over("SnapshotLimitExceeded", f"Maximum number of snapshots allowed ({limit}) exceeded")
    _check_gigabytes(state, project, size)


def check_size(state: State, project: Project, size: int) -> None:
    """Refuse a single volume that is too large."""
    limit = state.quotas[project.id].per_volume_gigabytes
    if 0 <= limit < size:
        message = f"Requested volume size {size}G is larger than maximum allowed limit {limit}G."
        raise _over("VolumeSizeExceedsLimit", message)


def _check_gigabytes(state: State, project: Project, more: int) -> None:
    limit = state.quotas[project.id].gigabytes
    used = state.used(project)[1]
    if 0 <= limit < used + more:
        message = (
            "Requested volume or snapshot exceeds allowed gigabytes quota. "
            f"Requested {more}G, quota is {limit}G and {used}G has been consumed."
        )
        raise _over("VolumeSizeExceedsAvailableQuota", message)


def _over(name: str, message: str) -> ApiError:
    return ApiError(413, f"{name}: {message}", [("Retry-After", "0")], {"retryAfter": "0"})
