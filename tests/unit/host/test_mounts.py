from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openstack_csi.errors import FailedPrecondition, InvalidArgument
from openstack_csi.host.devices import Device, Devices
from openstack_csi.host.mounts import Mounts, parse
from openstack_csi.host.run import Completed

LINE = "36 35 98:0 /sub /mnt/pa\\040th rw,noatime master:1 shared:2 - ext4 /dev/vd\\134b rw,errors=continue"


class Kernel:
    """Answers `mount` and `umount` by changing its table, as the kernel would."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ran: list[str] = []

    def mount(self, number: str, point: Path, source: str, *, options: str = "rw", fs_type: str = "ext4") -> None:
        self.lines.append(f"1 0 {number} / {point} {options} - {fs_type} {source} rw")

    def run(self, argv: Sequence[str], timeout: float, ok_codes: Collection[int] = (0,)) -> Completed:
        self.ran.append(" ".join(argv))
        if argv[0] == "umount":
            last = max(i for i, line in enumerate(self.lines) if f" {argv[-1]} " in line)
            del self.lines[last]
        else:
            self.mount("7:1", Path(argv[-1]), argv[-2])
        return Completed("", "", 0)

    def table(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def mounts(kernel: Kernel, tmp_path: Path) -> Mounts:
    """Mounts of a node whose only disk has the number 7:1."""
    (tmp_path / "sys/dev/block/7:1").mkdir(parents=True)
    (tmp_path / "kubelet").mkdir()
    devices = Devices(tmp_path / "dev", tmp_path / "sys")
    return Mounts(kernel.run, devices, tmp_path / "kubelet", kernel.table)


def test_a_line_is_read_as_the_kernel_means_it() -> None:
    (mount,) = parse(LINE)
    assert (mount.number, mount.root, mount.point) == ("98:0", "/sub", Path("/mnt/pa th"))
    assert (mount.fs_type, mount.source) == ("ext4", "/dev/vd\\b")
    assert mount.options == {"rw", "noatime"}
    assert mount.super_options == {"rw", "errors=continue"}
    assert not mount.read_only


@pytest.mark.parametrize("line", [LINE.replace("rw,noatime", "ro"), LINE.replace("rw,errors", "ro,errors")])
def test_read_only_is_what_the_mount_or_its_file_system_say(line: str) -> None:
    assert parse(line)[0].read_only


def test_lines_with_an_empty_source_or_without_optional_fields_are_read() -> None:
    (mount,) = parse("22 27 0:21 / /proc rw - proc  rw")
    assert (mount.fs_type, mount.source) == ("proc", "")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).map(lambda name: f"/{name}"))
def test_every_path_that_the_kernel_can_escape_is_read_back(path: str) -> None:
    escaped = "".join(f"\\{ord(c):03o}" if c in " \t\n\\" else c for c in path)
    assert parse(f"1 0 7:1 / {escaped} rw - ext4 /dev/vdb rw\n")[0].point == Path(path)


@pytest.mark.parametrize("path", ["", "relative", "/etc", "{kubelet}", "{kubelet}/../etc/x", "{kubelet}x/y", "/"])
def test_paths_outside_of_the_kubelets_directory_are_refused(mounts: Mounts, tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidArgument):
        mounts.checked(path.format(kubelet=tmp_path / "kubelet"))


def test_symbolic_links_do_not_lead_out_of_the_kubelets_directory(mounts: Mounts, tmp_path: Path) -> None:
    (tmp_path / "kubelet" / "away").symlink_to(tmp_path)
    for path in ("kubelet/away/x", "kubelet/away"):
        with pytest.raises(InvalidArgument):
            mounts.checked(str(tmp_path / path))


def test_a_kubelets_directory_that_is_a_link_itself_is_followed(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "real" / "pods").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    mounts = Mounts(kernel.run, Devices(), tmp_path / "link", kernel.table)
    assert mounts.checked(str(tmp_path / "link" / "pods" / "x")) == tmp_path / "real" / "pods" / "x"


def test_a_mount_that_lost_its_disk_makes_room_for_the_disk_that_came_back(
    mounts: Mounts, kernel: Kernel, tmp_path: Path
) -> None:
    target = tmp_path / "kubelet" / "globalmount"
    target.mkdir()
    kernel.mount("7:99", target, "/dev/vdb")
    mounts.be_mounted(Device(Path("/dev/vdc"), "7:1", 1), target, "ext4", [])
    assert kernel.ran == [f"umount --no-canonicalize {target}", f"mount -t ext4 /dev/vdc {target}"]


def test_a_mount_of_another_living_disk_is_left_alone(mounts: Mounts, kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "sys/dev/block/7:2").mkdir()
    target = tmp_path / "kubelet" / "globalmount"
    kernel.mount("7:2", target, "/dev/vdb")
    with pytest.raises(FailedPrecondition, match="already holds /dev/vdb"):
        mounts.be_mounted(Device(Path("/dev/vdc"), "7:1", 1), target, "ext4", [])
    assert kernel.ran == []


def test_the_parent_of_a_target_is_never_made(mounts: Mounts, tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="cannot be made"):
        mounts.be_mounted(Device(Path("/dev/vdc"), "7:1", 1), tmp_path / "kubelet" / "a" / "b", "ext4", [])


def test_an_empty_directory_or_file_is_removed_and_its_absence_is_fine(mounts: Mounts, tmp_path: Path) -> None:
    directory, file = tmp_path / "kubelet" / "directory", tmp_path / "kubelet" / "file"
    directory.mkdir()
    file.touch()
    for _ in range(2):
        mounts.be_absent(directory)
        mounts.be_absent(file)
    assert list((tmp_path / "kubelet").iterdir()) == []


def test_nothing_that_holds_something_is_removed(mounts: Mounts, kernel: Kernel, tmp_path: Path) -> None:
    here = tmp_path / "kubelet"
    (here / "full" / "sub").mkdir(parents=True)
    (here / "file").write_text("data")
    (here / "link").symlink_to(here / "file")
    (here / "mounted").mkdir()
    kernel.mount("7:1", here / "mounted", "/dev/vdb")
    before = sorted(here.rglob("*"))
    for name in ("full", "file", "link", "mounted"):
        with pytest.raises(FailedPrecondition, match="not removed"):
            mounts.be_absent(here / name)
    assert sorted(here.rglob("*")) == before
