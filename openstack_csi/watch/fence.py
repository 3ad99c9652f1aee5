"""No write after leadership is lost: whatever changes the cluster or the cloud goes through here.

A worker can be anywhere when the lease is lost: with a key, between two steps, in a slow call. So the question "do we
still lead?" is asked right before each write, and the worker's way ends there with `NotLeading`. What it had begun is
found again by the next leader: in the API server, or in the cloud by its name.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from openstack_csi.backends.base import Wake
from openstack_csi.kube.rest import Rest
from openstack_csi.model import Attachment, Capability, CreateVolume, Orphan, Pending, Volume
from openstack_csi.service import VolumeService

log = logging.getLogger(__name__)

Json = dict[str, Any]


class NotLeading(Exception):
    """Another process may lead by now."""


class Fence:
    """Open while we lead and were not stopped.

    Args:
        leading: whether we hold the lease now.
    """

    def __init__(self, leading: Callable[[], bool]) -> None:
        self._leading = leading
        self._closed = False

    def close(self) -> None:
        """Let nothing pass from now on."""
        self._closed = True

    def check(self) -> None:
        """Raise NotLeading unless we lead."""
        if self._closed or not self._leading():
            raise NotLeading("the lease is lost")


def until_fenced(reconcile: Callable[[str], None]) -> Callable[[str], None]:
    """`reconcile`, ended in silence where the fence stops it."""

    def guarded(key: str) -> None:
        try:
            reconcile(key)
        except NotLeading:
            log.info("left to the next leader", extra={"key": key})

    return guarded


class Api:
    """The API server, with its writes behind the fence. See `kube.rest.Rest` for the calls."""

    def __init__(self, rest: Rest, fence: Fence) -> None:
        self._rest = rest
        self._fence = fence

    def get(self, path: str) -> Json:
        """GET an object."""
        return self._rest.get(path)

    def create(self, path: str, body: Json) -> Json:
        """POST an object."""
        self._fence.check()
        return self._rest.create(path, body)

    def merge(self, path: str, body: Json) -> Json:
        """PATCH an object: dictionaries are merged, all else replaced, null removes."""
        self._fence.check()
        return self._rest.patch(path, body, "merge")

    def finalizers(self, path: str, uid: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Json:
        """PATCH an object's finalizers, leaving those of others alone, whatever its version.

        The UID in the patch makes it fail on an object that only has the same name.
        """
        return self.annotate(path, uid, {}, add=add, remove=remove)

    def annotate(
        self, path: str, uid: str, annotations: Json, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> Json:
        """PATCH an object's annotations and finalizers at once, as `finalizers` does."""
        self._fence.check()
        metadata: Json = {"uid": uid}
        if annotations:
            metadata["annotations"] = annotations
        if add:
            metadata["finalizers"] = list(add)
        if remove:
            metadata["$deleteFromPrimitiveList/finalizers"] = list(remove)
        return self._rest.patch(path, {"metadata": metadata}, "strategic")

    def delete(self, path: str, uid: str, resource_version: str) -> None:
        """DELETE an object, only if it is that one in that version."""
        self._fence.check()
        self._rest.delete(path, uid, resource_version)


class Volumes:
    """The domain service's steps, behind the fence. See `service.VolumeService` for the calls."""

    def __init__(
        self,
        service: VolumeService,
        fence: Fence,
        within: Callable[[str], contextlib.AbstractContextManager[None]] = lambda rpc: contextlib.nullcontext(),
    ) -> None:
        self._service = service
        self._fence = fence
        self._within = within

    def check(self, request: CreateVolume) -> None:
        """Refuse a request that can never be met; changes nothing."""
        self._service.check(request)

    def create(self, request: CreateVolume, wake: Wake) -> Volume | Pending:
        """Take a step of a creation."""
        self._fence.check()
        with self._within("CreateVolume"):
            return self._service.create(request, wake)

    def delete(self, volume_id: str, wake: Wake) -> Pending | None:
        """Take a step of a deletion."""
        self._fence.check()
        with self._within("DeleteVolume"):
            return self._service.delete(volume_id, wake)

    def publish(
        self, volume_id: str, node_id: str, capability: Capability, read_only: bool, wake: Wake
    ) -> Attachment | Pending:
        """Take a step of an attachment."""
        self._fence.check()
        with self._within("ControllerPublishVolume"):
            return self._service.publish(volume_id, node_id, capability, read_only, wake)

    def unpublish(self, volume_id: str, node_id: str, wake: Wake) -> Pending | None:
        """Take a step of a detachment."""
        self._fence.check()
        with self._within("ControllerUnpublishVolume"):
            return self._service.unpublish(volume_id, node_id, wake)

    def orphans(self) -> Sequence[Orphan]:
        """List every object with our stamp; changes nothing."""
        with self._within("ListVolumes"):
            return self._service.orphans()
