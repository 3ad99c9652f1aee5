"""Cinder as the tests see it: what the driver made, read from Cinder itself and not from the driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.testbed.layout import Layout
from tests.testbed.openstack import api, bed
from tests.testbed.openstack.devcloud.plan import Plan
from tests.testbed.openstack.namespace import inside

SERVICE = "block-storage"
NAMESPACE_KEY = "csi.storage.k8s.io/pvc/namespace"


class Cinder:
    """The volumes of the project that the driver works in."""

    def __init__(self, layout: Layout) -> None:
        self._plan = Plan.load(layout.openstack)
        with inside(self._plan.netns):
            self._session = api.log_in(self._plan.auth_url, "demo", "demo")

    def volumes(self) -> list[dict[str, Any]]:
        """Every volume of the project."""
        with inside(self._plan.netns):
            found: list[dict[str, Any]] = self._session.get(SERVICE, "/volumes/detail")["volumes"]
            return found

    def of(self, namespace: str) -> list[dict[str, Any]]:
        """The volumes that were made for a namespace's claims."""
        return [each for each in self.volumes() if each["metadata"].get(NAMESPACE_KEY) == namespace]

    def named(self, name: str) -> list[dict[str, Any]]:
        """The volumes of that name: at most one, if all is well."""
        return [each for each in self.volumes() if each["name"] == name]

    def server(self, server_id: str) -> str:
        """The name of a server."""
        with inside(self._plan.netns):
            return str(self._session.get("compute", f"/servers/{server_id}")["server"]["name"])

    @contextmanager
    def slow(self, operation: str, seconds: float) -> Iterator[None]:
        """Meanwhile every such operation on a volume of the driver's takes so long."""
        bed.inject(self._plan.state, operation, delay=seconds, match="pvc-", times=1000)
        try:
            yield
        finally:
            (self._plan.inject / operation).unlink(missing_ok=True)

    def be_deleted(self, volume_id: str) -> None:
        """Ask for the end of a volume; one that is gone stays so."""
        with inside(self._plan.netns):
            try:
                self._session.call("DELETE", SERVICE, f"/volumes/{volume_id}")
            except api.ApiError as error:
                if error.status != 404:
                    raise
