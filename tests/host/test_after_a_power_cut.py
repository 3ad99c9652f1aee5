"""What a power cut, a killed driver or somebody's hand leave behind, on the real kernel."""

from __future__ import annotations

import pytest

from openstack_csi.errors import AlreadyExists, FailedPrecondition
from openstack_csi.model import Capability
from tests.host.machine import BLOCK, EXT4, Machine, tool


def test_directories_without_their_mounts_are_used_again(machine: Machine) -> None:
    volume = machine.formatted()
    machine.target(volume).mkdir()
    machine.stage(volume)
    assert (machine.publish(volume) / "kept").read_text() == "data"


def test_directories_without_their_mounts_are_put_away(machine: Machine) -> None:
    volume = machine.formatted()
    machine.target(volume).mkdir()
    machine.unpublish(volume)
    machine.unstage(volume)
    assert not machine.target(volume).exists()


def test_a_pod_never_gets_the_empty_directory_of_a_volume_that_is_not_staged(machine: Machine) -> None:
    volume = machine.formatted()
    machine.staging(volume)
    with pytest.raises(FailedPrecondition, match="not staged"):
        machine.publish(volume)
    assert machine.mounted_here() == []


def test_a_pod_never_gets_another_volume_that_is_mounted_at_the_staging_path(machine: Machine) -> None:
    volume, other = machine.formatted(), machine.formatted()
    tool("mount", str(machine.disk(other)), str(machine.staging(volume)))
    for call in (machine.stage, machine.publish):
        with pytest.raises(FailedPrecondition, match=str(machine.disk(other))):
            call(volume)


def test_something_else_at_the_pods_path_is_refused(machine: Machine) -> None:
    volume = machine.formatted()
    machine.stage(volume)
    machine.target(volume).mkdir()
    tool("mount", "-t", "tmpfs", "other", str(machine.target(volume)))
    with pytest.raises(FailedPrecondition, match="tmpfs"):
        machine.publish(volume)


def test_a_file_system_that_turned_read_only_is_told_not_hidden(machine: Machine) -> None:
    volume = machine.formatted()
    staging = machine.stage(volume)
    tool("mount", "-o", "remount,ro", str(staging))
    with pytest.raises(AlreadyExists, match="mounted read-only") as refusal:
        machine.stage(volume)
    assert "kernel log" in refusal.value.hint


def test_mounts_that_were_stacked_are_all_taken_away(machine: Machine) -> None:
    volume = machine.formatted()
    staging = machine.stage(volume)
    target = machine.publish(volume)
    for point in (staging, target):
        for layer in ("one", "two"):
            tool("mount", "-t", "tmpfs", layer, str(point))
    machine.unpublish(volume)
    machine.unstage(volume)
    assert machine.mounted_here() == []


def test_the_journal_of_a_disk_that_lost_its_power_is_replayed(machine: Machine) -> None:
    running = machine.attach()
    (machine.stage(running) / "synced").write_text("data")
    tool("sync", "--file-system", str(machine.staging(running)))
    cut = machine.attach(image=machine.image(running))
    assert (machine.stage(cut) / "synced").read_text() == "data"


def test_a_disk_that_is_still_mounted_elsewhere_is_staged_without_a_check(machine: Machine) -> None:
    volume = machine.formatted()
    left = machine.kubelet / "left"
    left.mkdir()
    tool("mount", str(machine.disk(volume)), str(left))
    (left / "open").write_text("alive")
    assert (machine.stage(volume) / "open").read_text() == "alive"


def test_errors_that_need_a_person_are_told_in_the_words_of_the_check(machine: Machine) -> None:
    volume = machine.formatted()
    for request in ("clri <2>", "set_super_value state 2"):
        tool("debugfs", "-w", "-R", request, str(machine.disk(volume)))
    with pytest.raises(FailedPrecondition, match="UNEXPECTED INCONSISTENCY"):
        machine.stage(volume)
    assert machine.mounts.at(machine.staging(volume)) is None


def test_files_below_a_lost_mount_are_left_for_a_person(machine: Machine) -> None:
    volume = machine.formatted()
    target = machine.target(volume)
    target.mkdir()
    (target / "stray").write_text("written while nothing was mounted")
    with pytest.raises(FailedPrecondition, match="not on the volume"):
        machine.unpublish(volume)
    assert (target / "stray").exists()


def test_a_raw_disk_bound_to_another_path_is_refused(machine: Machine) -> None:
    volume, other = machine.attach(64), machine.attach(64)
    target = machine.target(volume)
    target.touch()
    tool("mount", "--bind", str(machine.disk(other)), str(target))
    with pytest.raises(FailedPrecondition, match="already holds"):
        machine.publish(volume, BLOCK)


def test_a_disk_that_is_not_attached_cannot_be_published(machine: Machine) -> None:
    with pytest.raises(FailedPrecondition, match="not attached"):
        machine.publish("0" * 36, EXT4)


def test_a_volume_whose_mount_flags_are_refused_by_the_kernel_says_so(machine: Machine) -> None:
    volume = machine.formatted()
    with pytest.raises(FailedPrecondition, match="nonsense"):
        machine.stage(volume, Capability(fs_type="ext4", mount_flags=("nonsense",)))
