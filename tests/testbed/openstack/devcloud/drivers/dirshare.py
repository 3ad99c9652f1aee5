"""A Manila driver (without share servers) whose shares hold real data on this machine.

A share is a sparse XFS image behind a loop device, mounted below dirshare_dir: so its size is a real limit, and it can
grow while it is in use. Snapshots are copies of the image, by reflink where the file system has it. Access rules
become the client lists of NFS-Ganesha's export blocks, which Ganesha reads again at SIGHUP; without Ganesha all but
the NFS service itself works.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

from devcloud import loops
from devcloud.drivers import inject
from manila import exception
from manila.share import driver
from oslo_config import cfg
from oslo_log import log
from oslo_utils import units

LOG = log.getLogger(__name__)
OPTIONS = [
    cfg.StrOpt("dirshare_dir", help="Where images, mounts and rules are"),
    cfg.StrOpt("dirshare_inject_dir", help="Where tests ask for failures"),
    cfg.StrOpt("dirshare_exports", help="Ganesha's export blocks"),
    cfg.StrOpt("dirshare_ganesha_pid", help="Ganesha's pid file"),
    cfg.StrOpt("dirshare_host", default="127.0.0.1", help="The address in export locations"),
    cfg.FloatOpt("dirshare_capacity_gb", default=1000.0, help="How large the back end says to be, in GiB"),
]
cfg.CONF.register_opts(OPTIONS)

EXPORT = """EXPORT {{ Export_Id = {number}; Path = "{path}"; Pseudo = "{path}"; Access_Type = NONE;
 Squash = No_Root_Squash; Protocols = 4; Transports = TCP; SecType = sys;
{clients} FSAL {{ Name = VFS; }} }}
"""
CLIENT = " CLIENT {{ Clients = {to}; Access_Type = {level}; }}\n"


class DirShareDriver(driver.ShareDriver):
    """One back end: one folder of images."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__([False], *args, config_opts=[OPTIONS], **kwargs)
        self._exporting = threading.Lock()

    @property
    def _top(self) -> Path:
        return Path(self.configuration.dirshare_dir)

    def _image(self, thing: Any) -> Path:
        return self._top / "img" / thing["id"]

    def _mount_point(self, share: Any) -> Path:
        return self._top / "mnt" / share["id"]

    def _rules(self, share: Any) -> Path:
        return self._top / "rules" / share["id"]

    def _obey_rules(self, operation: str, thing: Any) -> None:
        error = inject.take(
            Path(self.configuration.dirshare_inject_dir), f"share_{operation}", thing["id"], thing.get("share_id")
        )
        if error:
            raise exception.ShareBackendException(msg=error)

    # -- the back end itself
    def do_setup(self, context: Any) -> None:
        """Make the folders."""
        for name in ("img", "mnt", "rules"):
            (self._top / name).mkdir(parents=True, exist_ok=True)

    def check_for_setup_error(self) -> None:
        """Write the exports that are known."""
        self._export()

    def _update_share_stats(self, data: Any = None) -> None:
        free = os.statvfs(self._top)
        super()._update_share_stats(
            {
                "vendor_name": "devcloud",
                "storage_protocol": "NFS",
                "total_capacity_gb": self.configuration.dirshare_capacity_gb,
                "free_capacity_gb": free.f_bavail * free.f_frsize / units.Gi,
                "snapshot_support": True,
                "create_share_from_snapshot_support": True,
                "revert_to_snapshot_support": True,
                "share_backend_name": self.configuration.share_backend_name,
            }
        )

    # -- mounts and exports
    def _be_mounted(self, share: Any) -> list[dict[str, Any]]:
        """Mount the share's image; return where it is exported."""
        where = self._mount_point(share)
        where.mkdir(exist_ok=True)
        if not where.is_mount():
            device = loops.attach(self._image(share))
            # an image made from a snapshot has the UUID of its origin, which may be mounted
            _run("mount", "-t", "xfs", "-o", "nouuid", str(device), str(where))
            where.chmod(0o777)
        path = f"{self.configuration.dirshare_host}:{where}"
        return [{"path": path, "is_admin_only": False, "metadata": {"preferred": True}}]

    def _be_unmounted(self, share: Any) -> None:
        where = self._mount_point(share)
        if where.is_mount():
            _run("umount", str(where))
        for device in loops.below(self._image(share)):
            loops.detach(device, self._image(share))

    def _export(self) -> None:
        """Write Ganesha's export blocks from the rules on file, and tell Ganesha."""
        with self._exporting:
            blocks = []
            for number, rules in enumerate(sorted((self._top / "rules").iterdir())):
                clients = ""
                for line in rules.read_text().splitlines():
                    to, level = line.split()
                    clients += CLIENT.format(to=to, level=level.upper())
                # part of the id, so that the number of an export seldom moves to another share
                ident = int(rules.name[:4], 16) % 60000 + 100 + number
                blocks.append(EXPORT.format(number=ident, path=self._top / "mnt" / rules.name, clients=clients))
            exports = Path(self.configuration.dirshare_exports)
            unfinished = exports.with_suffix(".new")
            unfinished.write_text("".join(blocks))
            unfinished.rename(exports)
            try:
                os.kill(int(Path(self.configuration.dirshare_ganesha_pid).read_text()), signal.SIGHUP)
            except (OSError, ValueError):
                LOG.info("there is no Ganesha to tell")

    # -- shares
    def create_share(self, context: Any, share: Any, share_server: Any = None) -> list[dict[str, Any]]:
        """Make an empty share."""
        self._obey_rules("create", share)
        _resize(self._image(share), share["size"])
        _run("mkfs.xfs", "-q", str(self._image(share)))
        return self._be_mounted(share)

    def create_share_from_snapshot(
        self, context: Any, share: Any, snapshot: Any, share_server: Any = None, parent_share: Any = None
    ) -> list[dict[str, Any]]:
        """Make a share that holds what a snapshot holds."""
        self._obey_rules("create_from_snapshot", share)
        _copy(self._image(snapshot), self._image(share))
        _resize(self._image(share), share["size"])
        locations = self._be_mounted(share)
        _run("xfs_growfs", str(self._mount_point(share)))
        return locations

    def delete_share(self, context: Any, share: Any, share_server: Any = None) -> None:
        """Remove a share, there or not."""
        self._obey_rules("delete", share)
        self._rules(share).unlink(missing_ok=True)
        self._export()
        self._be_unmounted(share)
        self._image(share).unlink(missing_ok=True)
        if self._mount_point(share).exists():
            self._mount_point(share).rmdir()

    def ensure_share(self, context: Any, share: Any, share_server: Any = None) -> list[dict[str, Any]]:
        """Bring a share back after a start."""
        return self._be_mounted(share)

    def extend_share(self, share: Any, new_size: int, share_server: Any = None) -> None:
        """Let a share have this size in GiB, in use or not."""
        self._obey_rules("extend", share)
        _resize(self._image(share), new_size)
        for device in loops.below(self._image(share)):
            loops.grow(device)
        _run("xfs_growfs", str(self._mount_point(share)))

    def update_access(
        self,
        context: Any,
        share: Any,
        access_rules: Any,
        add_rules: Any,
        delete_rules: Any,
        update_rules: Any,
        share_server: Any = None,
    ) -> None:
        """Let exactly these clients in."""
        self._obey_rules("update_access", share)
        if any(rule["access_type"] != "ip" for rule in access_rules):
            raise exception.InvalidShareAccess(reason="only access by ip is supported")
        lines = [f"{rule['access_to']} {rule['access_level']}\n" for rule in access_rules]
        self._rules(share).write_text("".join(lines))
        self._export()

    # -- snapshots
    def create_snapshot(self, context: Any, snapshot: Any, share_server: Any = None) -> None:
        """Copy what the share holds now."""
        self._obey_rules("create_snapshot", snapshot)
        share = snapshot["share"]
        _run("xfs_freeze", "-f", str(self._mount_point(share)))
        try:
            _copy(self._image(share), self._image(snapshot))
        finally:
            _run("xfs_freeze", "-u", str(self._mount_point(share)))

    def delete_snapshot(self, context: Any, snapshot: Any, share_server: Any = None) -> None:
        """Remove a snapshot, there or not."""
        self._obey_rules("delete_snapshot", snapshot)
        self._image(snapshot).unlink(missing_ok=True)

    def revert_to_snapshot(
        self,
        context: Any,
        snapshot: Any,
        share_access_rules: Any,
        snapshot_access_rules: Any,
        share_server: Any = None,
    ) -> None:
        """Let a share hold what its snapshot holds."""
        self._obey_rules("revert_to_snapshot", snapshot)
        share = snapshot["share"]
        self._be_unmounted(share)
        _copy(self._image(snapshot), self._image(share))
        _resize(self._image(share), share["size"])
        self._be_mounted(share)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise exception.ShareBackendException(msg=f"{' '.join(command)}: {done.stderr.strip()}")


def _copy(source: Path, target: Path) -> None:
    _run("cp", "--sparse=always", "--reflink=auto", str(source), str(target))


def _resize(file: Path, gib: int) -> None:
    with file.open("ab") as stream:
        stream.truncate(gib * units.Gi)
