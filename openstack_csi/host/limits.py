"""How many volumes the node can take, for NodeGetInfo (CSI 1.12, max_volumes_per_node).

Nova plugs a volume into the bus of the server's own disks. The bus has room for so many disks, and what is plugged in
already and is no CSI volume (root, swap, config drive, an administrator's disk) takes its share. CSI volumes are told
apart by where they are mounted or bound: below the kubelet's CSI plugin directory. A volume that was attached while the
driver restarted and is not staged yet counts as foreign until the limit is asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from openstack_csi.host.mounts import Mount

_ROOM: Mapping[str, int] = {
    # vda … vdz: QEMU's PC and Q35 machines as Nova makes them run out of PCI slots there.
    "vd": 26,
    # sda …: Nova's virtio-scsi controller takes 256 disks.
    "sd": 256,
}
"""Disks that fit a bus, by the first letters of their names."""

_UNKNOWN_BUS = 26  # a bus that nobody told us of: the smallest


def max_volumes(all_disks: Iterable[str], volumes: Iterable[str]) -> int:
    """The volumes that fit a node, at least 1 (for CSI, 0 would mean "no limit").

    Args:
        all_disks: names of all disks, such as "vda".
        volumes: names of those that are CSI volumes.
    """
    names = set(all_disks)
    bus = max(_ROOM, key=lambda prefix: sum(name.startswith(prefix) for name in names))
    plugged = {name for name in names if name.startswith(bus)}
    room = _ROOM[bus] if plugged else _UNKNOWN_BUS
    return max(1, room - len(plugged - set(volumes)))


def disks(sys_root: Path = Path("/sys")) -> list[str]:
    """The names of all disks that are plugged in; loop devices, RAM disks and partitions are none."""
    return [entry.name for entry in (sys_root / "block").glob("*") if (entry / "device").exists()]


def csi_disks(table: Iterable[Mount], kubelet_dir: Path, sys_root: Path = Path("/sys")) -> list[str]:
    """The names of the disks that are CSI volumes: mounted, or bound as a raw disk, in the kubelet's CSI directory."""
    real = kubelet_dir.resolve()
    ours = [mount for mount in table if real / "plugins" / "kubernetes.io" / "csi" in mount.point.parents]
    # A bound device node shows in mountinfo as a file of devtmpfs: /vdb.
    return [_disk_of(mount.number, sys_root) or Path(mount.root).name for mount in ours]


def _disk_of(number: str, sys_root: Path) -> str:
    link = sys_root / "dev" / "block" / number
    return link.resolve().name if link.exists() else ""
