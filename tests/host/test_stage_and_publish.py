"""The life of a volume on a node, on the real kernel."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path
from time import monotonic

import pytest

from openstack_csi.errors import AlreadyExists, DeadlineExceeded, FailedPrecondition
from openstack_csi.host.run import ToolFailed
from openstack_csi.model import Capability
from tests.host.machine import BLOCK, EXT4, MIB, XFS, Machine, reader, tool

CAP_SYS_RESOURCE = 24


@pytest.mark.parametrize("fs_type", ["ext2", "ext3", "ext4", "xfs"])
def test_a_pod_finds_its_data_again_after_the_volume_was_moved_away_and_back(machine: Machine, fs_type: str) -> None:
    wanted = Capability(fs_type=fs_type)
    volume = machine.attach()
    machine.stage(volume, wanted)
    (machine.publish(volume, wanted) / "file").write_text("written")
    machine.unpublish(volume)
    machine.unstage(volume)
    assert not machine.target(volume).exists()
    assert machine.mounted_here() == []

    machine.stage(volume, wanted)
    assert (machine.publish(volume, wanted) / "file").read_text() == "written"


@pytest.mark.parametrize("wanted", [EXT4, XFS, BLOCK], ids=["ext4", "xfs", "block"])
def test_every_call_can_be_repeated(machine: Machine, wanted: Capability) -> None:
    volume = machine.attach()
    for step in (
        lambda: machine.stage(volume, wanted),
        lambda: machine.publish(volume, wanted),
        lambda: machine.volumes.usage(str(machine.target(volume))),
        lambda: machine.unpublish(volume),
        lambda: machine.unstage(volume),
    ):
        for _ in range(10):
            step()
            assert len(machine.mounted_here()) == len(set(machine.mounted_here()))
    assert machine.mounted_here() == []


def test_a_volume_without_a_wanted_file_system_gets_ext4_and_keeps_what_it_has(machine: Machine) -> None:
    fresh, used = machine.attach(), machine.formatted(XFS)
    machine.stage(fresh, Capability())
    machine.stage(used, Capability())
    kinds = {mount.point: mount.fs_type for mount in machine.mounts.table()}
    assert (kinds[machine.staging(fresh)], kinds[machine.staging(used)]) == ("ext4", "xfs")


def test_mount_flags_of_the_claim_reach_the_kernel_and_survive_a_read_only_pod(machine: Machine) -> None:
    volume = machine.attach()
    wanted = Capability(fs_type="ext4", mount_flags=("noatime", "nosuid"))
    machine.stage(volume, wanted)
    mount = machine.mounts.at(machine.publish(volume, wanted, read_only=True))
    assert mount is not None
    assert {"noatime", "nosuid", "ro"} <= mount.options


def test_two_pods_of_a_node_share_a_volume_and_leave_one_by_one(machine: Machine) -> None:
    volume = machine.attach()
    machine.stage(volume)
    first, second = machine.publish(volume, pod="one"), machine.publish(volume, pod="two")
    (first / "file").write_text("shared")
    machine.unpublish(volume, pod="one")
    assert (second / "file").read_text() == "shared"


def test_a_raw_disk_is_a_device_in_the_pod(machine: Machine) -> None:
    volume = machine.attach(64)
    machine.stage(volume, BLOCK)
    path = machine.publish(volume, BLOCK)
    assert stat.S_ISBLK(path.stat().st_mode)
    with path.open("r+b") as disk:
        disk.write(b"raw")
    machine.unpublish(volume)
    machine.unstage(volume)
    assert not path.exists()
    tool("sync", str(machine.disk(volume)))
    assert machine.image(volume).read_bytes()[:3] == b"raw"


def test_a_read_only_pod_cannot_write_and_others_still_can(machine: Machine) -> None:
    volume = machine.attach()
    machine.stage(volume)
    locked, free = machine.publish(volume, read_only=True, pod="one"), machine.publish(volume, pod="two")
    (free / "file").write_text("x")
    with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
        (locked / "file").write_text("y")


def test_a_publish_that_was_killed_before_it_became_read_only_is_finished(machine: Machine) -> None:
    volume = machine.attach()
    source, target = machine.stage(volume), machine.target(volume)
    target.mkdir()
    tool("mount", "--bind", str(source), str(target))
    machine.publish(volume, read_only=True)
    mount = machine.mounts.at(target)
    assert mount is not None
    assert mount.read_only


def test_a_path_that_is_published_read_only_does_not_become_writable(machine: Machine) -> None:
    volume = machine.attach()
    machine.stage(volume)
    machine.publish(volume, read_only=True)
    with pytest.raises(AlreadyExists, match="read-only"):
        machine.publish(volume, read_only=False)


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
def test_a_volume_of_readers_is_not_changed_by_a_single_byte(machine: Machine, fs_type: str) -> None:
    before_the_cut = machine.attach()
    (machine.stage(before_the_cut, Capability(fs_type=fs_type)) / "kept").write_text("data")
    tool("sync", "--file-system", str(machine.staging(before_the_cut)))
    # The copy is that of a disk whose node lost its power: its journal waits to be replayed.
    volume = machine.attach(image=machine.image(before_the_cut))
    content = machine.content(volume)

    machine.stage(volume, reader(fs_type))
    machine.publish(volume, reader(fs_type))
    with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
        (machine.target(volume) / "file").write_text("x")
    with pytest.raises(PermissionError), machine.disk(volume).open("r+b", buffering=0) as disk:
        disk.write(b"x")
    machine.unpublish(volume)
    machine.unstage(volume)
    assert machine.content(volume) == content

    assert (machine.stage(volume, Capability(fs_type=fs_type)) / "kept").read_text() == "data"


def test_a_raw_disk_of_readers_cannot_be_written(machine: Machine) -> None:
    volume = machine.attach(64)
    readers = reader("")
    wanted = Capability(BLOCK.access_type, readers.access_mode)
    machine.stage(volume, wanted)
    with pytest.raises(PermissionError), machine.publish(volume, wanted).open("r+b", buffering=0) as disk:
        disk.write(b"x")


def test_an_empty_volume_of_readers_stays_empty(machine: Machine) -> None:
    volume = machine.attach()
    with pytest.raises(FailedPrecondition, match="may only be read"):
        machine.stage(volume, reader("ext4"))
    assert machine.mounts.at(machine.staging(volume)) is None
    assert not machine.image(volume).read_bytes().strip(b"\0")


def test_staging_waits_for_a_disk_that_comes_late(machine: Machine) -> None:
    volume = machine.attach()
    link = machine.links / f"virtio-{volume[:20]}"
    away = link.rename(machine.links.parent / "away")
    plug = threading.Timer(0.2, lambda: away.rename(link))
    plug.start()
    machine.stage(volume)
    plug.join()
    assert machine.mounts.at(machine.staging(volume)) is not None


def test_staging_says_what_it_looked_for_when_no_disk_comes(machine: Machine) -> None:
    with pytest.raises(DeadlineExceeded, match="this node does not see it"):
        machine.volumes.be_staged("0" * 36, str(machine.staging("0" * 36)), EXT4, monotonic() + 0.1, 0)


def test_a_disk_smaller_than_the_volume_is_not_used(machine: Machine) -> None:
    volume = machine.attach(64)
    with pytest.raises(FailedPrecondition, match="bytes"):
        machine.stage(volume, least_bytes=65 * MIB)
    assert not machine.image(volume).read_bytes().strip(b"\0")


def test_a_clone_of_an_xfs_volume_is_mounted_beside_its_source(machine: Machine) -> None:
    source = machine.formatted(XFS)
    clone = machine.attach(image=machine.image(source))
    machine.stage(source, XFS)
    machine.stage(clone, XFS)
    first, second = machine.mounts.at(machine.staging(source)), machine.mounts.at(machine.staging(clone))
    assert first is not None
    assert second is not None
    assert "nouuid" not in first.super_options
    assert "nouuid" in second.super_options
    assert (machine.staging(clone) / "kept").read_text() == "data"


def test_an_xfs_on_a_larger_disk_grows_when_it_is_staged(machine: Machine) -> None:
    volume = machine.formatted(XFS)
    machine.grow(volume, 640)
    machine.stage(volume, XFS)
    assert machine.volumes.usage(str(machine.staging(volume))).bytes.total > 500 * MIB


def test_an_ext4_on_a_larger_disk_grows_when_it_is_staged(machine: Machine) -> None:
    effective = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    if not int(effective.split()[1], 16) >> CAP_SYS_RESOURCE & 1:
        pytest.skip("needs CAP_SYS_RESOURCE, without which the kernel refuses to grow a mounted ext4")
    volume = machine.formatted(EXT4)
    machine.grow(volume, 640)
    machine.stage(volume, EXT4)
    assert machine.volumes.usage(str(machine.staging(volume))).bytes.total > 500 * MIB


def test_the_statistics_are_those_of_the_volume(machine: Machine) -> None:
    mounted, raw = machine.attach(), machine.attach(64)
    machine.stage(mounted)
    machine.stage(raw, BLOCK)
    seen = machine.volumes.usage(str(machine.publish(mounted)))
    assert 250 * MIB < seen.bytes.total < 320 * MIB
    assert seen.bytes.used + seen.bytes.available <= seen.bytes.total
    assert seen.inodes is not None
    assert seen.inodes.total == seen.inodes.used + seen.inodes.available
    disk = machine.volumes.usage(str(machine.publish(raw, BLOCK)))
    assert (disk.bytes.total, disk.inodes) == (64 * MIB, None)


def test_a_busy_volume_is_not_taken_away_under_its_user(machine: Machine) -> None:
    volume = machine.attach()
    machine.stage(volume)
    with (machine.publish(volume) / "open").open("w"), pytest.raises(ToolFailed, match="busy"):
        machine.unpublish(volume)
    machine.unpublish(volume)
    assert not machine.target(volume).exists()
