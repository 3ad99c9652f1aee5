"""Nova's servers, as far as volumes go: attach and detach (Compute API, os-volume_attachments)."""

from __future__ import annotations

from urllib.parse import quote

from openstack_csi.cloud.connection import Cloud

SERVICE = "compute"

MULTIATTACH = (2, 60)
"""The microversion from which a volume can be attached to several servers; it changes nothing for the others."""


class Servers:
    """The calls. Errors are those of `Cloud.request`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def attach(self, server_id: str, volume_id: str) -> None:
        """POST …/os-volume_attachments; an answer means reserved, not attached."""
        offered = self._cloud.microversion(SERVICE) >= MULTIATTACH
        self._cloud.request(
            SERVICE,
            "POST",
            f"/servers/{quote(server_id, safe='')}/os-volume_attachments",
            kind="volume_attach",
            what=f"Nova refused to attach volume {volume_id} to server {server_id}",
            microversion="2.60" if offered else None,
            body={"volumeAttachment": {"volumeId": volume_id}},
        )

    def detach(self, server_id: str, volume_id: str) -> None:
        """DELETE …/os-volume_attachments/{volume}; accepted is not done."""
        self._cloud.request(
            SERVICE,
            "DELETE",
            f"/servers/{quote(server_id, safe='')}/os-volume_attachments/{quote(volume_id, safe='')}",
            kind="volume_detach",
            what=f"Nova refused to detach volume {volume_id} from server {server_id}",
        )
