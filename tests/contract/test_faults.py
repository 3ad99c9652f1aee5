"""What becomes of the driver's work when the cloud falters. On the fake alone: nobody breaks a real cloud so neatly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
import yaml

from openstack_csi import errors
from openstack_csi.cloud import connection
from tests.contract.driver import Driver, ShiftedClock
from tests.contract.site import FakeSite, fake_site
from tests.contract.world import World
from tests.fakecloud import CallFault

T = TypeVar("T")

CREATE = "POST volumes"
LIST = "GET volumes/detail"
LOOK = "GET volumes/{id}"
ATTACH = "POST os-volume_attachments"
DETACH = "DELETE os-volume_attachments/{id}"
DELETE = "DELETE volumes/{id}"
LOGIN = "POST auth/tokens"


class Frail:
    """A fake cloud of this test's own, and drivers on it."""

    def __init__(self, site: FakeSite) -> None:
        self.site = site
        self.world = World(site)
        self.clock = ShiftedClock()

    def driver(self, *, alone: bool = True, cloud: str = "demo") -> Driver:
        return Driver(self.world, "contract", alone=alone, cloud=cloud, clock=self.clock)

    def fault(self, action: str, kind: str, times: int = 1, **settings: object) -> None:
        self.site.cloud.faults.add(CallFault(action=action, kind=kind, times=times, **settings))  # type: ignore[arg-type]

    def count(self, kind: str) -> int:
        return self.site.cloud.calls.counts.get(kind, 0)

    @property
    def server(self) -> str:
        return self.site.server("contract-1")

    @property
    def volumes(self) -> int:
        return len(self.site.cloud.volumes())

    def write_clouds(self, text: str) -> None:
        """Replace clouds.yaml as the kubelet replaces a Secret's files, and let the driver's next look be due."""
        new = self.site.clouds_file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.site.clouds_file)
        self.clock.shift(connection.LOOK_EVERY)


@pytest.fixture
def frail(tmp_path: Path) -> Iterator[Frail]:
    with fake_site(tmp_path) as site:
        yield Frail(site)


def persist(call: Callable[[], T]) -> T:
    """Repeat a call as a sidecar does: after an error that passes, and not before the wait that it names."""
    for _ in range(20):
        try:
            return call()
        except errors.DriverError as error:
            if error.retry is not errors.Retry.SOON:
                raise
            time.sleep(error.retry_after or 0.01)
    raise AssertionError("it does not pass")


# Answers that do not come


@pytest.mark.parametrize("alone", [True, False])
def test_a_create_whose_answer_was_lost_is_found_again(frail: Frail, alone: bool) -> None:
    driver = frail.driver(alone=alone)
    frail.fault("lose", CREATE)
    with pytest.raises(errors.Unavailable):
        driver.create("pvc-a")
    assert driver.create("pvc-a").name == "pvc-a"
    assert (frail.volumes, frail.count(CREATE)) == (1, 1)


def test_a_create_that_never_arrived_is_made(frail: Frail) -> None:
    driver = frail.driver()
    frail.fault("drop", CREATE)
    with pytest.raises(errors.Unavailable):
        driver.create("pvc-a")
    driver.create("pvc-a")
    assert (frail.volumes, frail.count(CREATE)) == (1, 2)


@pytest.mark.parametrize("action", ["lose", "drop"])
def test_attach_detach_and_delete_reach_their_end_without_an_answer(frail: Frail, action: str) -> None:
    driver = frail.driver()
    volume = driver.create("pvc-a")
    for kind in (ATTACH, DETACH, DELETE):
        frail.fault(action, kind)
    persist(lambda: driver.publish(volume.id, frail.server))
    assert frail.world.servers_of(volume.id) == [frail.server]
    persist(lambda: driver.unpublish(volume.id, frail.server))
    assert frail.world.servers_of(volume.id) == []
    persist(lambda: driver.delete(volume.id))
    assert frail.volumes == 0


def test_a_create_that_arrives_after_its_time_is_not_used_and_is_shown(
    frail: Frail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CALL_TIMEOUT", 0.3)
    driver = frail.driver()
    frail.fault("delay", CREATE, seconds=2.0)
    with pytest.raises(errors.Unavailable):
        driver.create("pvc-a")
    made = driver.create("pvc-a")
    frail.world.until("the late create to arrive", lambda: frail.volumes == 2)
    assert driver.create("pvc-a") == made
    assert frail.driver().create("pvc-a") == made
    assert len(driver.service.orphans()) == 2


@pytest.mark.parametrize("action", ["status", "drop", "lose"])
def test_looks_that_fail_are_taken_again(frail: Frail, action: str) -> None:
    frail.fault(action, LIST, status=500)
    frail.fault(action, LOOK, times=2, status=502)
    driver = frail.driver()
    driver.delete(driver.create("pvc-a").id)
    assert frail.volumes == 0


def test_a_cloud_that_is_down_is_named_in_what_is_waited_for(frail: Frail) -> None:
    driver = frail.driver()
    frail.site.cloud.stop()
    with pytest.raises(errors.Unavailable, match="cannot log in"):
        driver.clouds.get().be_reachable()
    with pytest.raises(errors.DeadlineExceeded, match=r"looking for a Cinder volume named pvc-a: cannot log in"):
        driver.wait(lambda wake: driver.service.create(driver.request("pvc-a"), wake), seconds=0.5)


# A cloud that is busy


def test_a_cloud_that_asks_for_a_pause_is_left_alone_by_all(frail: Frail) -> None:
    driver = frail.driver()
    driver.create("pvc-first")
    frail.fault("status", CREATE, status=429, retry_after=5)
    with pytest.raises(errors.Throttled) as told:
        driver.create("pvc-a")
    assert told.value.retry_after == 5
    before = frail.site.cloud.calls.total()
    for name in ("pvc-a", "pvc-b"):
        with pytest.raises(errors.Throttled, match="asked for a pause"):
            driver.create(name)
    assert frail.site.cloud.calls.total() == before
    frail.clock.shift(5)
    driver.create("pvc-a")
    driver.create("pvc-b")


def test_ten_at_once_get_over_a_rate_limit_with_few_more_calls(frail: Frail) -> None:
    driver = frail.driver()
    driver.create("pvc-first")
    frail.site.cloud.calls.reset()
    frail.fault("status", CREATE, status=429, retry_after=1)
    everybody = threading.Barrier(10)

    def make(i: int) -> None:
        everybody.wait()
        persist(lambda: driver.create(f"pvc-{i}"))

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(make, range(10)))
    assert frail.volumes == 11
    assert frail.count(CREATE) == 11
    assert frail.site.cloud.calls.total() <= 11 + 40


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_cloud_that_is_broken_for_a_while_is_asked_once_an_attempt(frail: Frail, status: int) -> None:
    driver = frail.driver()
    frail.fault("status", CREATE, times=2, status=status)
    for attempt in (1, 2):
        with pytest.raises(errors.Unavailable):
            driver.create("pvc-a")
        assert frail.count(CREATE) == attempt
    driver.create("pvc-a")
    assert (frail.volumes, frail.count(CREATE)) == (1, 3)


# Credentials


def test_a_token_that_expired_is_renewed_unseen(frail: Frail) -> None:
    driver = frail.driver()
    volume = driver.create("pvc-a")
    frail.site.cloud.keystone.revoke_all()
    before = frail.count(LOGIN)
    driver.publish(volume.id, frail.server)
    assert frail.count(LOGIN) == before + 1


def test_a_changed_file_is_taken_up(frail: Frail) -> None:
    driver = frail.driver()
    driver.create("pvc-a")
    before = frail.count(LOGIN)
    frail.write_clouds(frail.site.clouds_file.read_text() + "\n# changed\n")
    driver.create("pvc-b")
    frail.world.until("the new session", lambda: frail.count(LOGIN) == before + 1)


@pytest.mark.parametrize("text", ["clouds: [", "clouds: {}", "clouds: {demo: {auth: {}}}", ""])
def test_a_broken_file_leaves_the_old_session_until_it_is_mended(frail: Frail, text: str) -> None:
    driver = frail.driver()
    driver.create("pvc-a")
    right = frail.site.clouds_file.read_text()
    frail.write_clouds(text)
    driver.create("pvc-b")
    before = frail.count(LOGIN)
    frail.write_clouds(right)
    driver.create("pvc-c")
    frail.world.until("the new session", lambda: frail.count(LOGIN) == before + 1)


def test_a_wrong_password_in_the_file_leaves_the_old_session(frail: Frail) -> None:
    driver = frail.driver()
    driver.create("pvc-a")
    before = frail.count(LOGIN)
    frail.write_clouds(frail.site.clouds_file.read_text().replace("password: fakecloud", "password: wrong"))
    driver.create("pvc-b")
    frail.world.until("the new session to be tried", lambda: frail.count(LOGIN) > before)
    driver.create("pvc-c")


def test_new_credentials_are_taken_up_as_soon_as_the_old_ones_are_refused(frail: Frail) -> None:
    driver = frail.driver()
    driver.create("pvc-a")
    cloud = frail.site.cloud
    cloud.state.config = replace(cloud.state.config, password="new")
    cloud.keystone.revoke_all()
    with pytest.raises(errors.Unauthenticated, match="does not accept the credentials"):
        driver.create("pvc-b")
    assert isinstance(driver.clouds.get().fault, errors.Unauthenticated)
    frail.write_clouds(frail.site.clouds_file.read_text().replace("password: fakecloud", "password: new"))

    def made() -> bool:
        try:
            return driver.create("pvc-b").name == "pvc-b"
        except errors.Unauthenticated:
            return False

    frail.world.until("the new credentials to be used", made)
    assert driver.clouds.get().fault is None


def test_an_application_credential_that_is_gone_is_no_missing_volume(frail: Frail) -> None:
    driver = frail.driver(cloud="demo-appcred")
    volume = driver.create("pvc-a")
    clouds = yaml.safe_load(frail.site.clouds_file.read_text())
    clouds["clouds"]["demo-appcred"]["auth"]["application_credential_id"] = "0" * 32
    frail.write_clouds(yaml.safe_dump(clouds))
    with pytest.raises(errors.Unauthenticated, match="Could not find Application Credential"):
        frail.driver(cloud="demo-appcred").delete(volume.id)
    assert frail.volumes == 1


def test_a_missing_file_is_named_and_waited_for(frail: Frail) -> None:
    right = frail.site.clouds_file.read_text()
    frail.site.clouds_file.unlink()
    driver = frail.driver()
    with pytest.raises(errors.InvalidArgument, match=r"clouds\.yaml: No such file"):
        driver.clouds.get().be_reachable()
    frail.write_clouds(right)
    driver.create("pvc-a")
