from __future__ import annotations

from pathlib import Path

import pytest

from openstack_csi.host import limits
from openstack_csi.host.mounts import parse

CSI = "plugins/kubernetes.io/csi"


@pytest.mark.parametrize(
    ("disks", "volumes", "room"),
    [
        (["vda"], [], 25),
        (["vda", "vdb"], [], 24),
        (["vda", "vdb", "vdc"], ["vdc"], 24),
        (["sda", "sr0"], [], 255),
        (["sda", "sdb"], ["sdb"], 255),
        ([], [], 26),
        ([f"vd{i}" for i in range(40)], [], 1),
    ],
    ids=["virtio", "a second disk", "a CSI volume", "scsi", "scsi with a volume", "unknown bus", "full"],
)
def test_the_limit_is_what_the_bus_has_room_for(disks: list[str], volumes: list[str], room: int) -> None:
    assert limits.max_volumes(disks, volumes) == room


def test_only_disks_that_are_plugged_in_count(tmp_path: Path) -> None:
    for name in ("vda/device", "vdb/device", "loop0", "zram0", "dm-0"):
        (tmp_path / "block" / name).mkdir(parents=True)
    assert sorted(limits.disks(tmp_path)) == ["vda", "vdb"]


def test_csi_volumes_are_those_in_the_kubelets_csi_directory(tmp_path: Path) -> None:
    for number, name in (("252:0", "vda"), ("252:16", "vdb"), ("252:32", "vdc")):
        (tmp_path / "sys/block" / name).mkdir(parents=True)
        (tmp_path / "sys/dev/block").mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys/dev/block" / number).symlink_to(tmp_path / "sys/block" / name)
    kubelet = tmp_path / "kubelet"
    table = parse(
        f"1 0 252:0 / / rw - ext4 /dev/vda rw\n"
        f"2 1 252:16 / {kubelet}/{CSI}/cinder.csi.openstack.org/1f/globalmount rw - ext4 /dev/vdb rw\n"
        f"3 1 0:5 /vdd {kubelet}/{CSI}/volumeDevices/publish/pvc-1/pod-1 rw - devtmpfs udev rw\n"
        f"4 1 252:32 / {kubelet}/pods/p/volumes/kubernetes.io~local-volume/v rw - ext4 /dev/vdc rw"
    )
    assert sorted(limits.csi_disks(table, kubelet, tmp_path / "sys")) == ["vdb", "vdd"]
