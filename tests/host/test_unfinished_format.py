"""A format that was cut off is finished without a person, and never at the cost of data."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from openstack_csi.errors import DeadlineExceeded, FailedPrecondition
from openstack_csi.host import blank
from openstack_csi.host.filesystems import Filesystems
from openstack_csi.host.run import Completed
from openstack_csi.host.volumes import Volumes
from openstack_csi.model import Capability
from tests.host.machine import EXT4, MIB, XFS, Machine, tool


def cut_off(machine: Machine, seconds: float) -> Volumes:
    """The same volumes by a driver whose mkfs is killed after some seconds."""

    def run(argv: Sequence[str], timeout: float, ok_codes: Collection[int] = (0,)) -> Completed:
        return machine.run(argv, seconds if argv[0].startswith("mkfs") else timeout, ok_codes)

    return Volumes(machine.devices, Filesystems(run), machine.mounts)


@pytest.mark.parametrize("wanted", [EXT4, XFS], ids=["ext4", "xfs"])
@pytest.mark.parametrize("milliseconds", [2, 6, 10, 14, 20])
def test_a_format_that_is_killed_at_any_moment_is_finished_by_the_next_call(
    machine: Machine, wanted: Capability, milliseconds: int
) -> None:
    volume, whole = machine.attach(), machine.volumes
    machine.volumes = cut_off(machine, milliseconds / 1000)
    try:
        machine.stage(volume, wanted)
    except DeadlineExceeded:
        machine.volumes = whole
        machine.stage(volume, wanted)
    (machine.publish(volume, wanted) / "file").write_text("x")


@pytest.mark.parametrize("wanted", [EXT4, XFS], ids=["ext4", "xfs"])
def test_a_file_system_that_was_used_stays_whatever_the_mark_says(machine: Machine, wanted: Capability) -> None:
    volume = machine.formatted(wanted)
    device = machine.devices.find(volume)
    assert device is not None
    with machine.disk(volume).open("r+b") as disk:
        disk.seek(device.size_bytes - 512 * 1024)
        disk.write(blank.mark(volume))
    assert (machine.stage(volume, wanted) / "kept").read_text() == "data"


def test_the_mark_of_another_volume_is_none(machine: Machine) -> None:
    begun = machine.attach()
    device = machine.devices.find(begun)
    assert device is not None
    blank.be_marked(device, begun)
    tool("sync", str(device.path))
    clone = machine.attach(image=machine.image(begun))
    with pytest.raises(FailedPrecondition, match="unknown kind"):
        machine.stage(clone)


def test_nothing_of_the_mark_is_left_on_a_finished_volume(machine: Machine) -> None:
    volume = machine.formatted()
    tail = Path(machine.image(volume)).read_bytes()[-MIB:]
    assert b"is formatting" not in tail
