"""A Cinder driver that keeps each volume in one sparse raw file.

It does what any thin back end does (clone, snapshot, revert, extend of attached volumes, multi-attach) with
truncate(2) and copies by reflink where the file system has them. A connection is of os-brick's own kind `local`:
{"device_path": <file>}.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from cinder import exception, interface
from cinder.volume import configuration, driver
from devcloud.drivers import inject
from oslo_config import cfg
from oslo_utils import units

OPTIONS = [
    cfg.StrOpt("filevolume_dir", help="Where the files of the volumes are"),
    cfg.StrOpt("filevolume_inject_dir", help="Where tests ask for failures"),
    cfg.FloatOpt("filevolume_capacity_gb", default=1000.0, help="How large the back end says to be, in GiB"),
]
cfg.CONF.register_opts(OPTIONS, group=configuration.SHARED_CONF_GROUP)


@interface.volumedriver
class FileVolumeDriver(driver.VolumeDriver):
    """One back end: one folder of files."""

    VERSION = "1.0"
    CI_WIKI_NAME = "none"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(OPTIONS)

    @property
    def _folder(self) -> Path:
        return Path(self.configuration.filevolume_dir)

    def _path(self, thing: Any) -> Path:
        """The file of a volume or snapshot; the name follows a migrated volume."""
        return self._folder / thing.name

    def _obey_rules(self, operation: str, thing: Any) -> None:
        folder = Path(self.configuration.filevolume_inject_dir)
        error = inject.take(folder, operation, thing.id, getattr(thing, "display_name", ""))
        if error:
            raise exception.VolumeBackendAPIException(data=error)

    # -- the back end itself
    def do_setup(self, context: Any) -> None:
        """Make the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def check_for_setup_error(self) -> None:
        """Find nothing wrong."""

    def _update_volume_stats(self) -> None:
        name = self.configuration.safe_get("volume_backend_name")
        capacity = self.configuration.filevolume_capacity_gb
        self._stats = {
            "volume_backend_name": name,
            "vendor_name": "devcloud",
            "driver_version": self.VERSION,
            "storage_protocol": "local",
            "pools": [
                {
                    "pool_name": name,
                    "total_capacity_gb": capacity,
                    "free_capacity_gb": max(0, capacity - self._used() / units.Gi),
                    "allocated_capacity_gb": 0,
                    "provisioned_capacity_gb": 0,
                    "reserved_percentage": 0,
                    "max_over_subscription_ratio": 20.0,
                    "thin_provisioning_support": True,
                    "thick_provisioning_support": False,
                    "multiattach": True,
                    "online_extend_support": True,
                    "QoS_support": True,
                }
            ],
        }

    def _used(self) -> int:
        """Bytes that the files really take."""
        used = 0
        for file in self._folder.iterdir():
            try:
                used += file.stat().st_blocks * 512
            except FileNotFoundError:  # deleted since the listing
                continue
        return used

    # -- volumes
    def create_volume(self, volume: Any) -> None:
        """Make an empty volume."""
        self._obey_rules("create_volume", volume)
        _resize(self._path(volume), volume.size)

    def delete_volume(self, volume: Any) -> None:
        """Remove a volume, there or not."""
        self._obey_rules("delete_volume", volume)
        self._path(volume).unlink(missing_ok=True)

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> None:
        """Make a volume that holds what another one holds."""
        self._obey_rules("create_cloned_volume", volume)
        _copy(self._path(src_vref), self._path(volume))
        _resize(self._path(volume), volume.size)

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
        """Make a volume that holds what a snapshot holds."""
        self._obey_rules("create_volume_from_snapshot", volume)
        _copy(self._path(snapshot), self._path(volume))
        _resize(self._path(volume), volume.size)

    def extend_volume(self, volume: Any, new_size: int) -> None:
        """Let a volume have this size in GiB."""
        self._obey_rules("extend_volume", volume)
        _resize(self._path(volume), new_size)

    def retype(self, context: Any, volume: Any, new_type: Any, diff: Any, host: Any) -> tuple[bool, dict[str, Any]]:
        """Change the type if the volume can stay where it is."""
        self._obey_rules("retype", volume)
        return volume.host == host["host"], {}

    # -- snapshots
    def create_snapshot(self, snapshot: Any) -> None:
        """Copy what the volume holds now."""
        self._obey_rules("create_snapshot", snapshot)
        _copy(self._path(snapshot.volume), self._path(snapshot))

    def delete_snapshot(self, snapshot: Any) -> None:
        """Remove a snapshot, there or not."""
        self._obey_rules("delete_snapshot", snapshot)
        self._path(snapshot).unlink(missing_ok=True)

    def revert_to_snapshot(self, context: Any, volume: Any, snapshot: Any) -> None:
        """Let a volume hold what its snapshot holds, in the same file."""
        self._obey_rules("revert_to_snapshot", volume)
        _overwrite(self._path(snapshot), self._path(volume))
        _resize(self._path(volume), volume.size)

    # -- connections
    def initialize_connection(self, volume: Any, connector: Any, **kwargs: Any) -> dict[str, Any]:
        """Say where the file is."""
        self._obey_rules("initialize_connection", volume)
        return {"driver_volume_type": "local", "data": {"device_path": str(self._path(volume)), "discard": True}}

    def terminate_connection(self, volume: Any, connector: Any, **kwargs: Any) -> None:
        """Have nothing to end."""
        self._obey_rules("terminate_connection", volume)

    def create_export(self, context: Any, volume: Any, connector: Any) -> None:
        """Have nothing to export."""

    def ensure_export(self, context: Any, volume: Any) -> None:
        """Have nothing to export."""

    def remove_export(self, context: Any, volume: Any) -> None:
        """Have nothing to export."""


def _overwrite(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(source), str(target)], check=True)


def _copy(source: Path, target: Path) -> None:
    """Copy so that the target has its name only when it is whole."""
    unfinished = target.with_name(target.name + ".part")
    _overwrite(source, unfinished)
    unfinished.rename(target)


def _resize(file: Path, gib: int) -> None:
    with file.open("ab") as stream:
        stream.truncate(gib * units.Gi)
