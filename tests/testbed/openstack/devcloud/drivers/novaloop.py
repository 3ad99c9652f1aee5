"""A Nova driver whose servers are folders of this machine, and whose disks are loop devices.

It is Nova's own fake driver, except that volumes are really there: the volume's file comes behind a loop device, and
<nodes_dir>/<server id>/dev/disk/by-id/virtio-<first 20 characters of the volume's id> links to it, which is the name
that udev gives in a guest by virtio-blk's serial. What a config drive would hold is written beside it. So a node
service can run as if inside that server: bind that by-id folder over /dev/disk/by-id.

<server id>/volumes/<volume id> records each disk; after a start of the machine the disks come back from these.
"""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

from devcloud import loops
from devcloud.drivers import inject
from nova import exception
from nova.api.metadata import base as instance_metadata
from nova.compute import power_state
from nova.virt import fake, node
from oslo_config import cfg

CONF = cfg.CONF
CONF.register_opts(
    [
        cfg.StrOpt("nodes_dir", help="Where the servers' folders are"),
        cfg.StrOpt("inject_dir", help="Where tests ask for failures"),
    ],
    group="devcloud",
)
SERIAL_LENGTH = 20
"""virtio-blk's serial has 20 characters (VIRTIO_BLK_ID_BYTES)."""


def _folder(instance: Any) -> Path:
    return Path(CONF.devcloud.nodes_dir) / instance.uuid


def _injected(operation: str, *labels: str | None) -> str:
    return inject.take(Path(CONF.devcloud.inject_dir), operation, *labels)


class Disk:
    """One volume of one server: its record, its device, its link."""

    def __init__(self, server: Path, volume_id: str) -> None:
        self.record = server / "volumes" / volume_id
        self.link = server / "dev/disk/by-id" / f"virtio-{volume_id[:SERIAL_LENGTH]}"

    def be_attached(self, file: Path, *, read_only: bool) -> None:
        """Make the device, its record and its link."""
        device = loops.attach(file, read_only=read_only)
        record = {"device": str(device), "file": str(file), "read_only": read_only}
        self.record.write_text(json.dumps(record))
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(device)

    def be_detached(self) -> None:
        """Take link, device and record away, as far as they are there."""
        if not self.record.exists():
            return
        record = self._read()
        self.link.unlink(missing_ok=True)
        loops.detach(Path(record["device"]), Path(record["file"]))
        self.record.unlink()

    def be_attached_again(self) -> None:
        """Bring the device back that was lost with the machine's or the bed's end."""
        record = self._read()
        if loops.file_behind(Path(record["device"])) != Path(record["file"]):
            self.be_attached(Path(record["file"]), read_only=record["read_only"])

    def grow(self) -> None:
        """Let the device have its file's present size."""
        loops.grow(Path(self._read()["device"]))

    def _read(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self.record.read_text())
        return record


class LoopDriver(fake.FakeDriver):
    """One compute host."""

    vcpus = 64
    memory_mb = 256 * 1024
    local_gb = 10000

    def init_host(self, host: str) -> None:
        """Take over this host; Nova refuses a second start unless the driver has made the node's identity file."""
        super().init_host(host)
        node.get_local_node_uuid()

    # The base class makes a new id of its node in every process; after a second start Nova would refuse it.
    def _node_id(self, name: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"devcloud-{name}"))

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """Say what the host has, as the base class does."""
        resource: dict[str, Any] = super().get_available_resource(nodename)
        if resource:
            resource["uuid"] = self._node_id(nodename)
        return resource

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:
        """Map ids of nodes to their names."""
        return {self._node_id(name): name for name in self.get_available_nodes()}

    # -- life of a server
    def spawn(
        self, context: Any, instance: Any, image_meta: Any, injected_files: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Make the server's folder."""
        error = _injected("spawn", instance.uuid, instance.display_name)
        if error:
            raise exception.BuildAbortException(instance_uuid=instance.uuid, reason=error)
        folder = _folder(instance)
        for name in ("dev/disk/by-id", "volumes"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        metadata = instance_metadata.InstanceMetadata(instance, content=injected_files, extra_md={})
        for name, data in metadata.metadata_for_config_drive():
            file = folder / "config-drive" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data if isinstance(data, bytes) else data.encode())
        super().spawn(context, instance, image_meta, injected_files, *args, **kwargs)

    def resume_state_on_host_boot(self, context: Any, instance: Any, *args: Any, **kwargs: Any) -> None:
        """Know a server again after a start of Nova, and bring its disks back if they were lost."""
        self.instances[instance.uuid] = fake.FakeInstance(instance.name, power_state.RUNNING, instance.uuid)
        folder = _folder(instance)
        for record in (folder / "volumes").iterdir():
            Disk(folder, record.name).be_attached_again()

    def destroy(self, context: Any, instance: Any, *args: Any, **kwargs: Any) -> None:
        """Remove the server: its disks, then its folder."""
        folder = _folder(instance)
        for record in (folder / "volumes").glob("*"):
            Disk(folder, record.name).be_detached()
        shutil.rmtree(folder, ignore_errors=True)
        super().destroy(context, instance, *args, **kwargs)

    # -- disks
    def attach_volume(self, context: Any, connection_info: Any, instance: Any, *args: Any, **kwargs: Any) -> None:
        """Let the server have the volume as a disk."""
        volume_id = connection_info["serial"]
        error = _injected("attach_volume", volume_id, instance.uuid, instance.display_name)
        if error:
            raise exception.VolumeAttachFailed(volume_id=volume_id, reason=error)
        data = connection_info["data"]
        try:
            Disk(_folder(instance), volume_id).be_attached(
                Path(data["device_path"]), read_only=data.get("access_mode") == "ro"
            )
        except OSError as why:
            raise exception.VolumeAttachFailed(volume_id=volume_id, reason=str(why)) from why
        super().attach_volume(context, connection_info, instance, *args, **kwargs)

    def detach_volume(
        self, context: Any, connection_info: Any, instance: Any, mountpoint: str, *args: Any, **kwargs: Any
    ) -> None:
        """Take the disk away, in use or not, as a hypervisor does."""
        volume_id = connection_info["serial"]
        error = _injected("detach_volume", volume_id, instance.uuid, instance.display_name)
        if error:
            raise exception.DeviceDetachFailed(device=mountpoint, reason=error)
        try:
            Disk(_folder(instance), volume_id).be_detached()
        except OSError as why:
            raise exception.DeviceDetachFailed(device=mountpoint, reason=str(why)) from why
        super().detach_volume(context, connection_info, instance, mountpoint, *args, **kwargs)

    def extend_volume(self, context: Any, connection_info: Any, instance: Any, requested_size: int) -> None:
        """Let the disk have the size that Cinder has given the volume."""
        Disk(_folder(instance), connection_info["serial"]).grow()
