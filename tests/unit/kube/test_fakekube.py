"""The fake's own promises, where other tests do not come by."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openstack_csi.kube.rest import ApiError, Rest
from tests.fakekube import FakeKube, patches
from tests.fakekube.selectors import selector
from tests.unit.kube.helpers import ALL_CLAIMS, CLAIMS, claim

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_a_merge_patch_applied_twice_is_applied_once(target: Any, patch: Any) -> None:
    once = patches.merge(target, patch)
    assert patches.merge(once, patch) == once


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/list/-", "value": 3}], {"list": [1, 2, 3], "a/b": 1}),
        ([{"op": "add", "path": "/list/0", "value": 0}], {"list": [0, 1, 2], "a/b": 1}),
        ([{"op": "remove", "path": "/list/1"}], {"list": [1], "a/b": 1}),
        ([{"op": "replace", "path": "/a~1b", "value": 2}], {"list": [1, 2], "a/b": 2}),
        ([{"op": "test", "path": "/list/0", "value": 1}, {"op": "remove", "path": "/list"}], {"a/b": 1}),
        ([{"op": "move", "from": "/a~1b", "path": "/c"}], {"list": [1, 2], "c": 1}),
        ([{"op": "copy", "from": "/list", "path": "/c"}], {"list": [1, 2], "a/b": 1, "c": [1, 2]}),
    ],
)
def test_json_patches(operations: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    target = {"list": [1, 2], "a/b": 1}
    assert patches.apply_operations(target, operations) == expected
    assert target == {"list": [1, 2], "a/b": 1}


def test_a_json_patch_whose_test_fails_changes_nothing(rest: Rest) -> None:
    rest.create(CLAIMS, claim("a", labels={"x": "1"}))
    operations = [
        {"op": "remove", "path": "/metadata/labels"},
        {"op": "test", "path": "/metadata/name", "value": "b"},
    ]
    with pytest.raises(ApiError) as caught:
        rest.patch(f"{CLAIMS}/a", operations, kind="json")
    assert caught.value.status == 422
    assert rest.get(f"{CLAIMS}/a")["metadata"]["labels"] == {"x": "1"}


def test_a_strategic_patch_adds_and_takes_off_finalizers(rest: Rest) -> None:
    rest.create(CLAIMS, claim("a", finalizers=["x/1", "x/2"]))
    patch = {"metadata": {"finalizers": ["x/3"], "annotations": {"a": "b"}}}
    assert rest.patch(f"{CLAIMS}/a", patch, "strategic")["metadata"]["finalizers"] == ["x/1", "x/2", "x/3"]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/1"]}}
    patched = rest.patch(f"{CLAIMS}/a", patch, "strategic")["metadata"]
    assert (patched["finalizers"], patched["annotations"]) == (["x/2", "x/3"], {"a": "b"})


@pytest.mark.parametrize(
    ("labels", "fields", "selected"),
    [
        ("", "", True),
        ("a=1", "", True),
        ("a==1,b", "", True),
        ("a!=1", "", False),
        ("c!=1,!c", "", True),
        ("c", "", False),
        ("", "metadata.name=x", True),
        ("", "spec.volumeName=,metadata.name!=y", True),
        ("a=1", "metadata.name=y", False),
    ],
)
def test_selectors(labels: str, fields: str, selected: bool) -> None:
    match = selector(labels, fields)
    obj = {"metadata": {"name": "x", "labels": {"a": "1", "b": ""}}, "spec": {}}
    assert (match is None or match(obj)) is selected


def test_a_write_that_changes_nothing_makes_no_version(rest: Rest) -> None:
    before = rest.create(CLAIMS, claim("a", labels={"x": "1"}))
    after = rest.patch(f"{CLAIMS}/a", {"metadata": {"labels": {"x": "1"}}})
    assert after == before


def test_no_finalizer_is_added_to_an_object_that_is_being_deleted(rest: Rest) -> None:
    rest.create(CLAIMS, claim("a", finalizers=["x"]))
    rest.delete(f"{CLAIMS}/a")
    with pytest.raises(ApiError) as caught:
        rest.patch(f"{CLAIMS}/a", {"metadata": {"finalizers": ["x", "y"]}})
    assert caught.value.status == 422


def test_items_of_lists_carry_no_kind_and_events_do(kube: FakeKube, rest: Rest) -> None:
    kube.create(CLAIMS, claim("a"))
    listed = rest.get(ALL_CLAIMS)
    assert listed["kind"] == "PersistentVolumeClaimList"
    assert "kind" not in listed["items"][0]
    for event in rest.watch(ALL_CLAIMS, timeout_seconds=5, read_timeout=5):
        assert (event["type"], event["object"]["kind"]) == ("ADDED", "PersistentVolumeClaim")
        break


def test_a_fault_ends_after_its_times(kube: FakeKube, rest: Rest) -> None:
    kube.fail(resource="persistentvolumeclaims", name="default/a", status=500, times=1)
    kube.create(CLAIMS, claim("a"))
    kube.create(CLAIMS, claim("b"))
    rest.get(f"{CLAIMS}/b")
    with pytest.raises(ApiError):
        rest.get(f"{CLAIMS}/a")
    rest.get(f"{CLAIMS}/a")
