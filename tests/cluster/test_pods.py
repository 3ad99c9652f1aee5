"""Pods use their volumes in every way that is offered."""

from __future__ import annotations

import pytest
import yaml

from tests.cluster.cluster import Json, until
from tests.cluster.objects import IDLE, of_image
from tests.cluster.space import CLAIMS, PODS, SETS, Space
from tests.demo.site import CHECKOUT


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
def test_a_pods_data_moves_with_it_to_another_node(space: Space, fs_type: str) -> None:
    space.claim("data", space.storage_class(parameters={"csi.storage.k8s.io/fstype": fs_type}))
    space.pod("first", "data")
    [first] = space.running("first")
    assert f"/data {fs_type} " in space.exec("first", "cat /proc/mounts")
    space.exec("first", "echo note > /data/note")

    space.until_gone(PODS, "first")
    space.pod("second", "data", not_on=first["spec"]["nodeName"])
    space.running("second")
    assert space.exec("second", "cat /data/note") == "note"


def test_a_file_system_is_as_large_as_its_claim(space: Space) -> None:
    space.claim("data", space.storage_class(), size="3Gi")
    space.pod("user", "data")
    space.running("user")
    mib = int(space.exec("user", "df -m /data | tail -n 1").split()[1])
    assert 2800 < mib <= 3072


def test_a_raw_block_volume_keeps_what_was_written_to_its_disk(space: Space) -> None:
    space.claim("data", space.storage_class(), mode="Block")
    space.pod("writer", "data", block=True, script=IDLE)
    [writer] = space.running("writer")
    space.exec("writer", "echo note | dd of=/dev/data bs=512 seek=2048 conv=fsync,notrunc 2>&1")

    space.until_gone(PODS, "writer")
    space.pod("reader", "data", block=True, script=IDLE, not_on=writer["spec"]["nodeName"])
    space.running("reader")
    assert space.exec("reader", "dd if=/dev/data bs=512 skip=2048 count=1 2>/dev/null | head -n 1") == "note"
    assert int(space.exec("reader", "dd if=/dev/data bs=1M 2>/dev/null | wc -c")) == 1 << 30


def test_a_read_only_pod_reads_and_cannot_write(space: Space) -> None:
    space.claim("data", space.storage_class())
    space.pod("writer", "data")
    [writer] = space.running("writer")
    space.pod("reader", "data", read_only=True, script=IDLE, node=writer["spec"]["nodeName"])
    space.running("reader")
    assert space.exec("reader", "touch /data/mine 2>&1 || true").endswith("Read-only file system")
    assert space.exec("reader", "cat /data/log")
    before = len(space.exec("writer", "cat /data/log").splitlines())
    until("the writer writes on", lambda: len(space.exec("reader", "cat /data/log").splitlines()) > before)


def test_files_belong_to_the_pods_group(space: Space) -> None:
    space.claim("data", space.storage_class())
    space.pod("user", "data", script=IDLE, security={"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000})
    space.running("user")
    space.exec("user", "touch /data/mine")
    assert space.exec("user", "stat -c %g /data /data/mine").split() == ["2000", "2000"]
    assert space.exec("user", "stat -c %u /data/mine") == "1000"


def test_a_classs_mount_options_are_those_of_the_mount(space: Space) -> None:
    space.claim("data", space.storage_class(mount_options=["noatime", "commit=17"]))
    space.pod("user", "data")
    space.running("user")
    [mount] = [line for line in space.exec("user", "cat /proc/mounts").splitlines() if " /data " in line]
    assert {"noatime", "commit=17"} <= set(mount.split()[3].split(","))


def test_a_stateful_set_gives_each_pod_a_volume_of_its_own_and_back_again(space: Space) -> None:
    example = yaml.safe_load((CHECKOUT / "manifests/examples/statefulset.yaml").read_text())
    storage_class = space.storage_class()
    space.create(SETS, of_image(example, storage_class))
    names = [f"writers-{i}" for i in range(3)]
    space.running(*names)
    for name in names:
        space.exec(name, f"echo {name} > /data/name")
    volumes = {each["id"] for each in space.volumes()}
    assert len(volumes) == 3

    first = space.running(*names)
    space.delete(PODS, *names)
    until("every pod is another one", lambda: not {uid_of(each) for each in first} & pods_of(space))
    space.running(*names)
    assert [space.exec(name, "cat /data/name") for name in names] == names
    assert {each["id"] for each in space.volumes()} == volumes

    space.until_gone(SETS, "writers")
    until("its pods are gone", lambda: not space.cluster.items(space.path(PODS)))
    space.delete(CLAIMS, *(f"data-{name}" for name in names))
    space.until_nothing_is_left()


def uid_of(pod: Json) -> str:
    return str(pod["metadata"]["uid"])


def pods_of(space: Space) -> set[str]:
    """The UIDs of the pods that there are."""
    return {uid_of(each) for each in space.cluster.items(space.path(PODS))}
