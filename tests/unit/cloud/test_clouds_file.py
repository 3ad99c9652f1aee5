"""A wrong clouds.yaml is refused in one sentence that names what is wrong, and never quotes a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from openstack_csi import errors
from openstack_csi.cloud import clouds_file

GOOD = """\
clouds:
  openstack: {auth_type: v3applicationcredential, auth: {auth_url: http://127.0.0.1:9/v3, application_credential_id: a,
    application_credential_secret: s3cret}, region_name: RegionOne}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clouds.yaml"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("clouds: [unclosed\n  password: s3cret", "is not YAML in line"),
        ("openstack: {}", 'has no "clouds"'),
        ("clouds: {}", 'has no "clouds"'),
        ("just words", 'has no "clouds"'),
        ("clouds: {openstack: s3cret}", 'cloud "openstack" has no settings'),
    ],
)
def test_a_broken_file_is_refused_by_what_is_broken_and_no_secret_is_told(path: Path, text: str, why: str) -> None:
    path.write_text(text)
    with pytest.raises(errors.InvalidArgument, match=why) as refused:
        clouds_file.names(path)
    assert "s3cret" not in str(refused.value)


def test_a_missing_file_is_refused_with_where_it_belongs(path: Path) -> None:
    with pytest.raises(errors.InvalidArgument, match="Mount the Secret"):
        clouds_file.names(path)


def test_a_cloud_that_is_not_there_is_refused_with_the_nearest_that_is(path: Path) -> None:
    path.write_text(GOOD)
    with pytest.raises(errors.InvalidArgument, match='Did you mean "openstack"'):
        clouds_file.choose(path, "openstak")


def test_the_only_cloud_needs_no_name(path: Path) -> None:
    path.write_text("clouds: {mine: {auth: {auth_url: http://127.0.0.1:9}}}")
    assert clouds_file.choose(path, "") == "mine"


def test_of_several_clouds_one_must_be_named(path: Path) -> None:
    path.write_text("clouds: {one: {auth: {}}, two: {auth: {}}}")
    with pytest.raises(errors.InvalidArgument, match="OS_CLOUD"):
        clouds_file.choose(path, "")


def test_a_cloud_without_auth_url_is_refused_by_that_key(path: Path) -> None:
    path.write_text("clouds: {openstack: {auth: {username: u}}}")
    with pytest.raises(errors.InvalidArgument, match=r"auth\.auth_url"):
        clouds_file.region(path, "openstack", 1.0)


def test_an_application_credential_is_all_that_is_needed(path: Path) -> None:
    path.write_text(GOOD)
    region = clouds_file.region(path, "openstack", 7.0)
    assert (region.name, region.region_name) == ("openstack", "RegionOne")
    assert region.get_session().timeout == 7.0


def test_a_secret_that_was_updated_is_noticed_though_its_size_is_the_same(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "clouds.yaml").write_text(GOOD)
    link = tmp_path / "data"
    link.symlink_to("old")
    before = clouds_file.fingerprint(link / "clouds.yaml")
    link.unlink()
    link.symlink_to("new")
    assert clouds_file.fingerprint(link / "clouds.yaml") != before
