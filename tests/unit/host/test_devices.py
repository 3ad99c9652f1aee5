"""Disks are found by what sysfs and the links say: here both are directories of the test's own."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openstack_csi.errors import DeadlineExceeded, InvalidArgument
from openstack_csi.host.devices import Devices, link_names, serial_is_of

VOLUME = "5b1e7c3a-9f10-4d8e-8d41-0f6ad1c2e3f4"
OTHER = "5b1e7c3a-9f10-4d8e-9d41-0f6ad1c2e3f4"
GIB = 1024**3


class Node:
    """A node's /dev and /sys. Disks are plain files that are looked at as if they were block devices."""

    def __init__(self, root: Path) -> None:
        self.dev, self.sys = root / "dev", root / "sys"
        self.links = self.dev / "disk" / "by-id"
        self.links.mkdir(parents=True)
        (self.sys / "block").mkdir(parents=True)
        (self.sys / "dev" / "block").mkdir(parents=True)
        self.now = 0.0
        self.on_wait: list[Callable[[], None]] = []
        self.waits: list[float] = []
        self._minors: dict[Path, int] = {}

    def plug(self, name: str, *, size: int = GIB, link: str = "", **attributes: str | bytes) -> None:
        entry = self.sys / "block" / name
        (entry / "device").mkdir(parents=True)
        (entry / "size").write_text(f"{size // 512}\n")
        for attribute, value in attributes.items():
            data = value.encode() if isinstance(value, str) else value
            (entry / attribute.replace("__", "/")).write_bytes(data)
        (self.dev / name).touch()
        self._minors[self.dev / name] = minor = 16 * len(self._minors)
        (self.sys / "dev" / "block" / f"252:{minor}").symlink_to(entry)
        if link:
            self.link(link, name)

    def link(self, link: str, name: str) -> None:
        (self.links / link).symlink_to(self.dev / name)

    def stat(self, path: Path) -> os.stat_result:
        if path not in self._minors:
            return path.stat()
        return os.stat_result(
            (stat.S_IFBLK, 0, 0, 1, 0, 0, 0, 0, 0, 0), {"st_rdev": os.makedev(252, self._minors[path])}
        )

    def devices(self) -> Devices:
        return Devices(
            self.dev, self.sys, clock=lambda: self.now, watch=lambda directory: Waits(self), inspect=self.stat
        )


class Waits:
    """Time passes, and whatever the test has prepared happens."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def __enter__(self) -> Waits:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self, seconds: float) -> None:
        self._node.waits.append(seconds)
        self._node.now += seconds
        if self._node.on_wait:
            self._node.on_wait.pop(0)()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.mark.parametrize("name", link_names(VOLUME))
def test_a_disk_without_serial_is_known_by_each_of_the_usual_links(node: Node, name: str) -> None:
    node.plug("loop3", link=name)
    found = node.devices().find(VOLUME)
    assert found is not None
    assert (found.path, found.number, found.size_bytes) == (node.dev / "loop3", "252:0", GIB)


@pytest.mark.parametrize(
    "attributes",
    [
        {"serial": VOLUME[:20]},
        {"device__serial": f"{VOLUME[:20]}  "},
        {"device__vpd_pg80": b"\0\x80\0\x24" + VOLUME.encode()},
        {"device__wwid": f"t10.QEMU    QEMU HARDDISK   {VOLUME[:20]}\0\0"},
        {"device__wwid": f"naa.{VOLUME.replace('-', '')}"},
    ],
    ids=["virtio", "nvme", "scsi unit serial", "scsi wwid", "wwn"],
)
def test_a_disk_without_links_is_known_by_its_serial(node: Node, attributes: dict[str, str | bytes]) -> None:
    node.plug("vda", serial="root-disk")
    node.plug("vdb", **attributes)
    found = node.devices().find(VOLUME)
    assert found is not None
    assert found.path.name == "vdb"


def test_a_link_left_from_an_unplugged_disk_is_not_believed(node: Node) -> None:
    node.plug("vdb", serial=OTHER[:20], link=f"virtio-{VOLUME[:20]}")
    assert node.devices().find(VOLUME) is None
    node.plug("vdc", serial=VOLUME[:20])
    found = node.devices().find(VOLUME)
    assert found is not None
    assert found.path.name == "vdc"


def test_a_link_to_nothing_and_a_disk_without_size_are_not_there_yet(node: Node) -> None:
    (node.links / f"virtio-{VOLUME[:20]}").symlink_to(node.dev / "vdz")
    node.plug("vdb", serial=VOLUME[:20], size=0)
    assert node.devices().find(VOLUME) is None


def test_a_plain_file_is_no_disk(node: Node) -> None:
    (node.dev / "file").touch()
    node.link(f"virtio-{VOLUME[:20]}", "file")
    assert node.devices().find(VOLUME) is None


def test_a_short_id_finds_only_its_own_disk(node: Node) -> None:
    node.plug("vdb", serial="vol-10")
    assert node.devices().find("vol-1") is None
    assert node.devices().find("vol-10") is not None


@pytest.mark.parametrize("volume_id", ["", "../../etc/passwd", "a/b", "x" * 129, "-", "a b"])
def test_what_cannot_be_a_volume_id_is_refused(node: Node, volume_id: str) -> None:
    with pytest.raises(InvalidArgument):
        node.devices().find(volume_id)


def test_a_disk_that_is_there_needs_no_wait_and_no_rescan(node: Node) -> None:
    scan = node.sys / "class" / "scsi_host" / "host0" / "scan"
    scan.parent.mkdir(parents=True)
    scan.touch()
    node.plug("vdb", serial=VOLUME[:20])
    node.devices().await_found(VOLUME, 10)
    assert node.waits == []
    assert scan.read_text() == ""


def test_scsi_hosts_are_rescanned_after_the_first_miss_only(node: Node) -> None:
    scans = [node.sys / "class" / "scsi_host" / host / "scan" for host in ("host0", "host1")]
    for scan in scans:
        scan.parent.mkdir(parents=True)
        scan.touch()
    node.on_wait = [
        lambda: [scan.write_text("seen") for scan in scans if scan.read_text() == "- - -"] and None,
        lambda: node.plug("sdb", device__vpd_pg80=b"\0\x80\0\x14" + VOLUME[:20].encode()),
    ]
    assert node.devices().await_found(VOLUME, 10).path.name == "sdb"
    assert [scan.read_text() for scan in scans] == ["seen", "seen"]


def test_a_wait_ends_at_the_deadline_and_says_what_was_looked_for(node: Node) -> None:
    with pytest.raises(DeadlineExceeded, match=rf"{VOLUME}.*for 4 s"):
        node.devices().await_found(VOLUME, 3.5)
    assert sum(node.waits) == pytest.approx(3.5)


@given(st.uuids(), st.uuids())
def test_serials_of_two_volumes_are_never_confused(one: object, two: object) -> None:
    first, second = str(one), str(two)
    for serial in (first, first[:20], f"t10.QEMU    QEMU HARDDISK   {first[:20]}", f"naa.{first.replace('-', '')}"):
        assert serial_is_of(serial, first)
        if first[:20] != second[:20]:
            assert not serial_is_of(serial, second)


@given(st.text("abc-0123", min_size=1, max_size=40))
def test_link_names_fit_ids_of_any_length(volume_id: str) -> None:
    names = link_names(volume_id)
    assert len(names) == len(set(names))
    assert names[0] == f"virtio-{volume_id[:20]}"
