"""Restarts under load: pods write all the time and claims are made while parts of the cluster and the driver go away.

Nobody is disturbed: no pod is restarted, writing never stops, every claim is met, and nothing doubles or leaks.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import until
from tests.cluster.driver import Driver
from tests.cluster.space import CLAIMS, Space
from tests.cluster.writers import Writers

HAND_OVER = 2.5
"""Seconds from the SIGTERM of a leader with nothing under way until the other controller holds the lease: the longest
pause between two looks of the other, 2 s, and the calls."""


def test_a_leader_that_is_asked_to_end_hands_over_in_two_seconds_and_claims_go_on(space: Space, driver: Driver) -> None:
    storage_class = space.storage_class(binding="Immediate")
    leader, held = driver.leader(), driver.holder()
    driver.signal(leader, signal.SIGTERM)
    began = time.monotonic()
    names = [f"data-{i}" for i in range(10)]
    for name in names:
        space.claim(name, storage_class)
    until("another controller leads", lambda: driver.holder() not in ("", held), every=0.02)
    seconds = time.monotonic() - began
    assert seconds < HAND_OVER, f"it took {seconds:.2f} s"
    space.bound(*names)
    driver.be_rolled_out()


def test_a_restart_of_the_kubelet_disturbs_no_pod_and_delays_no_claim(space: Space) -> None:
    storage_class = space.storage_class()
    writers = Writers(space, storage_class, 2)
    space.claim("late", storage_class)
    space.pod("late", "late", node="node-2")
    space.cluster.bed.restart_kubelet("node-2")
    space.running("late")
    writers.be_undisturbed()


def test_a_restart_of_the_node_service_disturbs_no_pod_and_delays_no_claim(space: Space, driver: Driver) -> None:
    storage_class = space.storage_class()
    writers = Writers(space, storage_class, 2)
    space.claim("late", storage_class)
    space.pod("late", "late", node="node-2")
    driver.be_deleted(driver.on("node-2"))
    space.running("late")
    writers.be_undisturbed()
    driver.be_rolled_out()


def test_a_leader_that_is_deleted_disturbs_no_pod_and_delays_no_claim(space: Space, driver: Driver) -> None:
    storage_class, at_once = space.storage_class(), space.storage_class(binding="Immediate")
    writers = Writers(space, storage_class, 2)
    names = [f"data-{i}" for i in range(20)]
    for name in names[:10]:
        space.claim(name, at_once)
    space.claim("late", storage_class)
    space.pod("late", "late")
    driver.be_deleted(driver.leader())
    for name in names[10:]:
        space.claim(name, at_once)
    space.bound(*names)
    space.running("late")
    writers.be_undisturbed()
    driver.be_rolled_out()


@pytest.fixture
def remover(driver: Driver) -> Iterator[Driver]:
    """The driver, with the policy that removes what nobody refers to, as soon as it is seen."""
    driver.be_removing(True)
    yield driver
    driver.be_removing(False)


def test_a_leader_killed_amid_twenty_claims_leaks_nothing_and_doubles_nothing(space: Space, remover: Driver) -> None:
    storage_class = space.storage_class(binding="Immediate")
    leader, held = remover.leader(), remover.holder()
    names = [f"data-{i}" for i in range(20)]
    wanted, unwanted = names[::2], names[1::2]
    with space.cinder.slow("create_volume", 2.0):
        for name in names:
            space.claim(name, storage_class)
        until("some volumes are in the making", lambda: len(space.volumes()) >= 5, every=0.02)
        space.delete(CLAIMS, *unwanted[:5])
        remover.signal(leader, signal.SIGKILL)
        space.delete(CLAIMS, *unwanted[5:])

    until("another controller leads", lambda: remover.holder() not in ("", held))
    pvs = space.bound(*wanted)
    kept = {each["metadata"]["name"] for each in pvs}
    until("only the wanted volumes are left", lambda: {each["name"] for each in space.volumes()} == kept)
    assert set(Counter(each["name"] for each in space.volumes()).values()) == {1}
    assert {each["metadata"]["name"] for each in space.cluster.pvs(space.name)} == kept

    space.delete(CLAIMS, *wanted)
    space.until_nothing_is_left()
