"""What a driver relies on, seen through openstacksdk: log in, make, attach, detach, delete, list."""

from __future__ import annotations

from typing import Any

import pytest
from keystoneauth1.exceptions import Unauthorized
from openstack import exceptions

from tests.fakecloud import Quota

from .conftest import Bed

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning:openstack.*")


def statuses(bed: Bed, volume: Any, seconds: list[float]) -> list[str]:
    """The volume's status after each of those further seconds."""
    seen = []
    for step in seconds:
        bed.clock.advance(step)
        seen.append(bed.conn.block_storage.get_volume(volume).status)
    return seen


def made(bed: Bed, **kwargs: Any) -> Any:
    """A volume that is available."""
    volume = bed.conn.block_storage.create_volume(**{"size": 1, "availability_zone": "az1", **kwargs})
    bed.clock.advance(2)
    return bed.conn.block_storage.get_volume(volume)


def attach(bed: Bed, server_id: str, volume: Any, **kwargs: Any) -> Any:
    return bed.conn.compute.create_volume_attachment(server_id, volume_id=volume.id, **kwargs)


def test_an_unchanged_sdk_finds_every_service_and_its_microversions(bed: Bed) -> None:
    assert bed.conn.block_storage.get_endpoint_data().max_microversion == (3, 71)
    assert bed.conn.compute.get_endpoint_data().max_microversion == (2, 104)
    assert [z.name for z in bed.conn.block_storage.availability_zones()] == ["az1", "az2"]
    assert bed.conn.block_storage.get_limits().absolute.total_volumes_used == 0


@pytest.mark.parametrize("name", ["demo", "demo-two", "demo-appcred", "other", "admin"])
def test_every_entry_of_the_clouds_yaml_logs_in(bed: Bed, name: str) -> None:
    with bed.connect(name) as conn:
        assert list(conn.block_storage.volumes()) == []


def test_a_wrong_secret_is_refused(bed: Bed) -> None:
    spec = bed.cloud.clouds()
    spec["clouds"]["demo-appcred"]["auth"]["application_credential_secret"] = "wrong"
    bed.cloud.clouds = lambda: spec  # type: ignore[method-assign]
    with bed.connect("demo-appcred") as conn, pytest.raises(Unauthorized):
        list(conn.block_storage.volumes())


def test_a_volume_lives_through_the_states_of_a_real_one(bed: Bed) -> None:
    server = bed.cloud.add_server("node-1")
    volume = bed.conn.block_storage.create_volume(size=3, name="pvc-1", metadata={"claim": "data"})
    assert (volume.status, volume.size, volume.metadata) == ("creating", 3, {"claim": "data"})
    assert statuses(bed, volume, [1.9, 0.1]) == ["creating", "available"]

    attachment = attach(bed, server.id, volume)
    assert attachment.device == "/dev/vdb"
    assert statuses(bed, volume, [0, 1.5, 1.5]) == ["reserved", "attaching", "in-use"]
    seen = bed.conn.block_storage.get_volume(volume).attachments
    assert [(a["server_id"], a["device"]) for a in seen] == [(server.id, "/dev/vdb")]

    bed.conn.compute.delete_volume_attachment(server.id, volume.id)
    assert statuses(bed, volume, [0, 2]) == ["detaching", "available"]
    assert list(bed.conn.compute.volume_attachments(server.id)) == []

    bed.conn.block_storage.delete_volume(volume)
    assert statuses(bed, volume, [0.5]) == ["deleting"]
    bed.clock.advance(0.5)
    with pytest.raises(exceptions.NotFoundException, match="could not be found"):
        bed.conn.block_storage.get_volume(volume)


def test_a_change_is_dated_when_it_was_due_however_late_one_looks(bed: Bed) -> None:
    volume = bed.conn.block_storage.create_volume(size=1)
    bed.clock.advance(600)
    record = bed.cloud.volume(volume.id)
    assert record.updated_at == pytest.approx(record.created_at + 2)


def test_an_attach_is_refused_as_nova_refuses_it(bed: Bed) -> None:
    one, two, far = (bed.cloud.add_server(n, z) for n, z in (("n1", "az1"), ("n2", "az1"), ("n3", "az2")))
    creating = bed.conn.block_storage.create_volume(size=1, availability_zone="az1")
    with pytest.raises(exceptions.BadRequestException, match="reserve, but the current status is creating"):
        attach(bed, one.id, creating)
    bed.clock.advance(2)
    with pytest.raises(exceptions.BadRequestException, match="not in the same availability_zone"):
        attach(bed, far.id, creating)
    attach(bed, one.id, creating)
    for server in (one, two):
        with pytest.raises(exceptions.BadRequestException, match=f"already attached to instances: {one.id}"):
            attach(bed, server.id, creating)
    with pytest.raises(exceptions.BadRequestException, match="Unable to detach volume"):
        bed.conn.compute.delete_volume_attachment(one.id, creating.id, ignore_missing=False)
    with pytest.raises(exceptions.NotFoundException):
        bed.conn.compute.delete_volume_attachment(two.id, creating.id, ignore_missing=False)


def test_a_server_takes_no_more_disks_than_its_limit(bed: Bed) -> None:
    server = bed.cloud.add_server("node-1")
    volumes = [made(bed, name=f"v{i}") for i in range(27)]
    for volume in volumes[:26]:
        attach(bed, server.id, volume)
    with pytest.raises(exceptions.ForbiddenException, match="maximum allowed number of disk devices"):
        attach(bed, server.id, volumes[26])


def test_from_2_101_on_a_refused_attach_looks_accepted(bed: Bed) -> None:
    server = bed.cloud.add_server("node-1")
    volume = bed.conn.block_storage.create_volume(size=1)
    path = f"/servers/{server.id}/os-volume_attachments"
    body = {"volumeAttachment": {"volumeId": volume.id}}
    assert bed.conn.compute.post(path, json=body, microversion="2.101").status_code == 202
    assert bed.conn.compute.get(path).json() == {"volumeAttachments": []}


def test_a_multiattach_volume_goes_to_two_servers_and_leaves_them_one_by_one(bed: Bed) -> None:
    one, two = bed.cloud.add_server("node-1"), bed.cloud.add_server("node-2")
    volume = made(bed, volume_type="shared")
    assert volume.is_multiattach
    body = {"volumeAttachment": {"volumeId": volume.id}}
    path = f"/servers/{one.id}/os-volume_attachments"
    assert bed.conn.compute.post(path, json=body, microversion="2.59").status_code == 400
    for server in (one, two):
        attach(bed, server.id, volume)
        bed.clock.advance(3)
    assert len(bed.conn.block_storage.get_volume(volume).attachments) == 2
    bed.conn.compute.delete_volume_attachment(one.id, volume.id)
    with pytest.raises(exceptions.BadRequestException):
        bed.conn.compute.delete_volume_attachment(two.id, volume.id, ignore_missing=False)
    assert statuses(bed, volume, [2]) == ["in-use"]
    bed.conn.compute.delete_volume_attachment(two.id, volume.id)
    assert statuses(bed, volume, [2]) == ["available"]


def test_a_deleted_server_frees_its_volumes(bed: Bed) -> None:
    server = bed.cloud.add_server("node-1")
    volume = made(bed)
    attach(bed, server.id, volume)
    bed.clock.advance(3)
    bed.conn.compute.delete_server(server.id)
    with pytest.raises(exceptions.ConflictException, match="task_state deleting"):
        bed.conn.compute.delete_volume_attachment(server.id, volume.id, ignore_missing=False)
    assert statuses(bed, volume, [1]) == ["available"]
    assert list(bed.conn.compute.servers()) == []


def test_a_full_quota_says_how_full_in_cinders_words(bed: Bed) -> None:
    made(bed, size=4)
    bed.cloud.state.quotas[bed.conn.current_project_id] = Quota(gigabytes=6)
    with pytest.raises(exceptions.HttpException, match="Requested 3G, quota is 6G and 4G has been consumed") as error:
        bed.conn.block_storage.create_volume(size=3)
    assert error.value.status_code == 413


def test_a_type_without_back_end_ends_in_error_with_a_user_message(bed: Bed) -> None:
    volume = bed.conn.block_storage.create_volume(size=1, volume_type="nowhere")
    assert statuses(bed, volume, [2]) == ["error"]
    (message,) = bed.conn.block_storage.get(f"/messages?resource_uuid={volume.id}").json()["messages"]
    assert message["user_message"].endswith("Could not find any available weighted backend.")
    bed.conn.block_storage.delete_volume(volume)
    with pytest.raises(exceptions.NotFoundException):
        bed.conn.block_storage.get_volume(volume)


def test_a_volume_in_use_grows_from_3_42_on(bed: Bed) -> None:
    server, volume = bed.cloud.add_server("node-1"), made(bed)
    attach(bed, server.id, volume)
    bed.clock.advance(3)
    path, body = f"/volumes/{volume.id}/action", {"os-extend": {"new_size": 2}}
    assert bed.conn.block_storage.post(path, json=body, microversion="3.41").status_code == 400
    assert bed.conn.block_storage.post(path, json=body, microversion="3.42").status_code == 202
    assert statuses(bed, volume, [0, 1]) == ["extending", "in-use"]
    assert bed.conn.block_storage.get_volume(volume).size == 2


@pytest.mark.parametrize(("version", "code"), [("3.70", 200), ("3.72", 406), ("4.0", 406), ("x", 400)])
def test_a_microversion_is_taken_or_refused(bed: Bed, version: str, code: int) -> None:
    headers = {"OpenStack-API-Version": f"volume {version}"}
    assert bed.conn.block_storage.get("/volumes", headers=headers, microversion="").status_code == code


def test_pages_lead_through_a_long_list(bed: Bed) -> None:
    for i in range(7):
        bed.conn.block_storage.create_volume(size=1, name=f"v{i}")
    assert [v.name for v in bed.conn.block_storage.volumes(limit=3)] == [f"v{i}" for i in reversed(range(7))]
    page, pages = bed.conn.block_storage.get("/volumes/detail?limit=3").json(), 1
    while "volumes_links" in page:
        page, pages = bed.conn.block_storage.get(page["volumes_links"][0]["href"]).json(), pages + 1
    assert (pages, len(page["volumes"])) == (3, 1)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name=v1", ["v1"]),
        ("metadata={'cluster':'a'}", ["v2", "v0"]),
        ("metadata={'cluster':'a','n':'2'}", ["v2"]),
        ("status=available&sort=name:asc", ["v0", "v1", "v2"]),
        ("status=creating", []),
        ("updated_at=gt:2099-01-01T00:00:00", []),
        ("created_at=gt:2020-01-01T00:00:00,lt:2099-01-01T00:00:00", ["v2", "v1", "v0"]),
    ],
)
def test_filters_pick_as_cinders_do(bed: Bed, query: str, names: list[str]) -> None:
    for i in range(3):
        bed.conn.block_storage.create_volume(size=1, name=f"v{i}", metadata={"cluster": "ab"[i % 2], "n": str(i)})
    bed.clock.advance(2)
    listed = bed.conn.block_storage.get(f"/volumes/detail?{query}").json()["volumes"]
    assert [v["name"] for v in listed] == names


def test_an_unknown_filter_is_refused_and_before_3_31_ignored(bed: Bed) -> None:
    bed.conn.block_storage.create_volume(size=1)
    assert bed.conn.block_storage.get("/volumes/detail?id=x").status_code == 400
    listed = bed.conn.block_storage.get("/volumes/detail?id=x", microversion="3.30").json()
    assert len(listed["volumes"]) == 1


def test_a_project_sees_only_its_own(bed: Bed) -> None:
    volume = made(bed)
    with bed.connect("other") as conn, pytest.raises(exceptions.NotFoundException):
        conn.block_storage.get_volume(volume.id)
    with bed.connect("admin") as conn:
        assert conn.block_storage.get_volume(volume.id).host == "fakecloud@az1#az1"


def test_a_token_that_ended_or_was_revoked_is_renewed_by_the_sdk(bed: Bed) -> None:
    bed.conn.block_storage.create_volume(size=1)
    bed.cloud.calls.reset()
    bed.clock.advance(86_401)
    list(bed.conn.block_storage.volumes())
    bed.cloud.keystone.revoke_all()
    list(bed.conn.block_storage.volumes())
    assert bed.cloud.calls.counts == {"GET volumes/detail": 4, "POST auth/tokens": 2}


def test_every_reply_names_its_request(bed: Bed) -> None:
    reply = bed.conn.block_storage.get("/volumes/none")
    assert reply.headers["x-openstack-request-id"].startswith("req-")
