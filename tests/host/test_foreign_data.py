"""Nothing that could be somebody's data is ever formatted: proven on the real kernel, byte by byte."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from openstack_csi.errors import FailedPrecondition, InvalidArgument
from openstack_csi.model import Capability
from tests.host.machine import EXT4, MIB, XFS, Machine, tool


def write(machine: Machine, volume: str, offset: int, data: bytes) -> None:
    with machine.disk(volume).open("r+b") as disk:
        disk.seek(offset)
        disk.write(data)


def swap(machine: Machine, volume: str) -> None:
    tool("mkswap", str(machine.disk(volume)))


def partitioned(machine: Machine, volume: str) -> None:
    """A DOS partition table with one Linux partition that starts at 1 MiB."""
    entry = bytes([0, 0, 0, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") + (4096).to_bytes(4, "little")
    write(machine, volume, 446, entry)
    write(machine, volume, 510, b"\x55\xaa")


def ambivalent(machine: Machine, volume: str) -> None:
    """The marks of two file systems at one time."""
    tool("mkfs.ext4", "-q", str(machine.disk(volume)))
    other = machine.attach()
    tool("mkfs.xfs", "-q", str(machine.disk(other)))
    with machine.disk(other).open("rb") as disk:
        write(machine, volume, 0, disk.read(512))


def at_the_start(machine: Machine, volume: str) -> None:
    write(machine, volume, 700_000, b"somebody's bytes")


def at_the_end(machine: Machine, volume: str) -> None:
    write(machine, volume, 320 * MIB - 20, b"somebody's bytes")


def another_file_system(machine: Machine, volume: str) -> None:
    tool("mkfs.ext3", "-q", str(machine.disk(volume)))


@pytest.mark.parametrize("wanted", [EXT4, XFS], ids=["ext4", "xfs"])
@pytest.mark.parametrize(
    ("foreign", "told"),
    [
        (swap, "holds swap"),
        (partitioned, "partition table"),
        (ambivalent, "contradict each other"),
        (at_the_start, "unknown kind"),
        (at_the_end, "unknown kind"),
        (another_file_system, "holds ext3"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_not_ours_is_refused_by_name_and_stays(
    machine: Machine, foreign: Callable[[Machine, str], None], told: str, wanted: Capability
) -> None:
    volume = machine.attach()
    foreign(machine, volume)
    content = machine.content(volume)
    with pytest.raises(FailedPrecondition, match=told):
        machine.stage(volume, wanted)
    assert machine.content(volume) == content
    assert machine.mounts.at(machine.staging(volume)) is None


def test_a_file_system_that_is_not_offered_is_refused_before_anything_is_touched(machine: Machine) -> None:
    volume = machine.attach()
    with pytest.raises(InvalidArgument, match='Did you mean "ext4"'):
        machine.stage(volume, Capability(fs_type="exf4"))
    assert not machine.image(volume).read_bytes().strip(b"\0")


def test_a_disk_that_the_kernel_uses_is_not_formatted(machine: Machine) -> None:
    volume = machine.formatted()
    machine.stage(volume)
    write(machine, volume, 0, bytes(2 * MIB))
    with pytest.raises(FailedPrecondition, match="used by the kernel"):
        machine.volumes.filesystems.be_formatted(machine.devices.await_found(volume, 0), volume, "ext4")
    assert machine.volumes.filesystems.probe(machine.disk(volume)) is None
