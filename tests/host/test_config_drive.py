from __future__ import annotations

import json
from pathlib import Path

from openstack_csi.host import metadata
from tests.host.machine import Machine, tool


def test_the_node_knows_itself_from_the_disk_with_the_config_drives_label(machine: Machine, tmp_path: Path) -> None:
    volume = machine.attach(64)
    tool("mkfs.ext4", "-q", "-L", "config-2", str(machine.disk(volume)))
    filled = tmp_path / "filled"
    filled.mkdir()
    tool("mount", str(machine.disk(volume)), str(filled))
    (filled / "openstack/latest").mkdir(parents=True)
    said = {"uuid": "0c0ffee0-0000-4000-8000-000000000001", "availability_zone": "nova"}
    (filled / "openstack/latest/meta_data.json").write_text(json.dumps(said))
    tool("umount", str(filled))
    labels = tmp_path / "dev" / "disk" / "by-label"
    labels.mkdir(parents=True)
    (labels / "config-2").symlink_to(machine.disk(volume))

    found = metadata.from_disk(machine.run, tmp_path / "dev")
    assert found == metadata.Identity(said["uuid"], "nova")
    assert not any(mount.source == str(machine.disk(volume)) for mount in machine.mounts.table())
