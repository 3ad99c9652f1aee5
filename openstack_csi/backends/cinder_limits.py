"""What Cinder's types and quota allow: looked at rarely, told in words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from openstack_csi import errors
from openstack_csi.cloud.faults import Refused
from openstack_csi.cloud.volumes import Volumes
from openstack_csi.model import Capability

KEPT_FOR = 600.0
"""Seconds for which the list of types is believed."""


class VolumeTypes:
    """The volume types, listed once in ten minutes at most."""

    def __init__(self, volumes: Volumes, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._volumes = volumes
        self._clock = clock
        self._lock = threading.Lock()
        self._types: list[dict[str, Any]] = []
        self._listed = float("-inf")

    def be_multiattach(self, name: str, capability: Capability) -> None:
        """Raise InvalidArgument when that type is known not to allow several servers.

        A class without a type gets the cloud's default one, which a user cannot look up on every cloud: it is then
        for Nova to refuse.
        """
        if not name:
            raise errors.InvalidArgument(
                f"access mode {capability.access_mode.name} needs a multiattach volume type, and the class names none",
                hint='Set the StorageClass parameter "type" to a type with multiattach="<is> True".',
            )
        known = self._known()
        found = next((t for t in known if name in (t["name"], t["id"])), None)
        if found is None:
            raise errors.unknown_key("volume type", name, [t["name"] for t in known])
        if is_multiattach(found) is False:
            raise errors.InvalidArgument(
                f'volume type "{name}" is not multiattach, which access mode {capability.access_mode.name} needs',
                hint='Name a type with multiattach="<is> True", or use ReadWriteOnce.',
            )

    def _known(self) -> list[dict[str, Any]]:
        with self._lock:
            if self._clock() - self._listed > KEPT_FOR:
                try:
                    self._types = self._volumes.types()
                except Refused as refused:
                    raise refused.error from None
                self._listed = self._clock()
            return self._types


def is_multiattach(volume_type: Mapping[str, Any]) -> bool | None:
    """Whether volumes of a type, as GET /types shows it, may be attached to several servers; None where it is hidden.

    Cinder leaves `extra_specs` out for users who may see none of them. Where it shows any, this one is always among
    them, and so an empty answer says no.
    """
    specs = volume_type.get("extra_specs")
    if specs is None:
        return None
    return str(specs.get("multiattach", "")).replace(" ", "").lower() == "<is>true"


def with_quota(error: errors.DriverError, volumes: Volumes) -> errors.DriverError:
    """The same refusal; one for want of quota also says what is used of what."""
    if not isinstance(error, errors.ResourceExhausted):
        return error
    try:
        limits = volumes.limits()
    except (Refused, errors.DriverError):
        return error  # the refusal stands without it
    used = (
        f"used {limits.get('totalGigabytesUsed')} of {limits.get('maxTotalVolumeGigabytes')} GiB"
        f" and {limits.get('totalVolumesUsed')} of {limits.get('maxTotalVolumes')} volumes"
    )
    return errors.ResourceExhausted(
        f"{error.message} ({used})",
        hint="Ask for more quota, or delete volumes (openstack quota show --volume).",
        request_id=error.request_id,
    )
