"""The three plain patches, against the recorded ones and against the rules they follow."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.kubernetes.decoding import read
from lab.kubernetes.defaults import apply_defaults
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kind import Kind
from lab.kubernetes.kinds import CONFIG_MAP, DEPLOYMENT, POD
from lab.kubernetes.patches import json_patch, merge_patch, strategic_merge
from tests.lab.kubernetes.recorded import content, kind_of
from tests.lab.replay.transcript import Record, load

Obj = dict[str, Any]

PATCH = {
    "application/json-patch+json": lambda kind, obj, body: json_patch(obj, body),
    "application/merge-patch+json": lambda kind, obj, body: merge_patch(obj, body),
    "application/strategic-merge-patch+json": strategic_merge,
}


def without_owners(obj: Obj) -> Obj:
    """An answer without managedFields, which the recording cut out."""
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"}}


def recorded_patches() -> list[Any]:
    """Each plain patch of scenario 03 with the object as it was before."""
    before: dict[str, Obj] = {}
    found = []
    for record in load("03"):
        path = record.path.partition("?")[0]
        if path.endswith("/scale") and record.status == 200 and path.removesuffix("/scale") in before:
            scaled = before[path.removesuffix("/scale")]
            before[path.removesuffix("/scale")] = {**scaled, "spec": {**scaled["spec"], "replicas": record.answer["spec"].get("replicas", 0)}}
        if isinstance(record.body, str) or path.endswith(("/status", "/scale")):
            continue
        patch_type = record.headers.get("Content-Type", "")
        if record.method == "PATCH" and patch_type in PATCH and path in before:
            found.append(pytest.param(kind_of(record), before[path], record, id=f"{record.n} {record.step}"))
        if record.status in (200, 201) and record.method in ("POST", "PATCH", "PUT"):
            name = path if record.method != "POST" else f"{path}/{record.answer['metadata']['name']}"
            before[name] = without_owners(record.answer)
    return found


# What the server refuses only after the patch itself has gone well.
LATER = ("does not match the name", "object has been modified", "is immutable", "is invalid: [spec", "is invalid: spec", "strict decoding")


@pytest.mark.parametrize(("kind", "before", "record"), recorded_patches())
def test_recorded_patch(kind: Kind, before: Obj, record: Record) -> None:
    patch = PATCH[record.headers["Content-Type"]]
    if record.status == 200:
        after, _ = read(kind, patch(kind, before, record.body))
        apply_defaults(kind, after)
        assert spec_of(after) == spec_of(record.answer)
    elif not any(words in record.answer["message"] for words in LATER):
        with pytest.raises(ApiError) as refused:
            patch(kind, before, record.body)
        assert refused.value.body == record.answer


def spec_of(obj: Obj) -> Obj:
    """Without status and annotations, which controllers write meanwhile."""
    cut = content(obj)
    cut.pop("status", None)
    annotations = cut["metadata"].get("annotations") or {}
    annotations.pop("deployment.kubernetes.io/revision", None)
    if not annotations:
        cut["metadata"].pop("annotations", None)
    return cut


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab/~", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text("abc/~", max_size=2), JSON, max_size=4)


@given(OBJECTS, OBJECTS)
def test_json_patch_does_what_another_library_wrote(old: Obj, new: Obj) -> None:
    assert json_patch(old, jsonpatch.make_patch(old, new).patch) == new


@pytest.mark.parametrize(
    "ops",
    [
        [{"op": "test", "path": "/n", "value": True}],  # 1 is not true
        [{"op": "remove", "path": "/list/3"}],
        [{"op": "add", "path": "/list/01", "value": 0}],
        [{"op": "replace", "path": "/list/-", "value": 0}],
        [{"op": "add", "path": "n", "value": 0}],
        [{"op": "move", "path": "/m"}],
        [{"op": "add", "value": 0}],
        [{"op": "remove", "path": ""}],
        [{"op": "copy", "from": "/none", "path": "/m"}],
    ],
)
def test_json_patch_refuses(ops: list[Obj]) -> None:
    with pytest.raises(ApiError) as refused:
        json_patch({"n": 1, "list": [1, 2]}, ops)
    assert refused.value.body["message"] == "the server rejected our request due to an error in our request"


def test_json_patch_leaves_the_old_object_alone() -> None:
    old = {"list": [1], "map": {"a": {"b": 1}}}
    json_patch(old, [{"op": "add", "path": "/list/0", "value": 0}, {"op": "copy", "from": "/map", "path": "/copy"}, {"op": "remove", "path": "/map"}])
    assert old == {"list": [1], "map": {"a": {"b": 1}}}


@given(OBJECTS, OBJECTS)
def test_merge_patch_sets_what_it_names_and_keeps_the_rest(old: Obj, patch: Obj) -> None:
    new = merge_patch(old, patch)
    for key in old.keys() | patch.keys():
        if key not in patch:
            assert new[key] == old[key]
        elif patch[key] is None:
            assert key not in new
        elif not isinstance(patch[key], dict):
            assert new[key] == patch[key]


def pod(**spec: Any) -> Obj:
    """A pod with this spec."""
    return {"metadata": {"name": "p"}, "spec": spec}


def test_strategic_replaces_a_keyed_list_on_request() -> None:
    old = pod(containers=[{"name": "a", "image": "1"}, {"name": "b", "image": "1"}])
    new = strategic_merge(POD, old, {"spec": {"containers": [{"name": "c", "image": "2"}, {"$patch": "replace"}]}})
    assert new["spec"]["containers"] == [{"name": "c", "image": "2"}]
    assert [one["name"] for one in old["spec"]["containers"]] == ["a", "b"]


def test_strategic_keeps_the_order_asked_for() -> None:
    old = pod(containers=[{"name": name, "image": "1"} for name in "abc"])
    patch = {"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "d"}, {"name": "a"}], "containers": [{"name": "d", "image": "2"}]}}
    new = strategic_merge(POD, old, patch)
    assert [one["name"] for one in new["spec"]["containers"]] == ["b", "c", "d", "a"]


def test_strategic_deletes_a_map_on_request() -> None:
    old = {"metadata": {"name": "c", "annotations": {"a": "1"}}, "data": {"a": "1"}}
    assert strategic_merge(CONFIG_MAP, old, {"data": {"$patch": "delete"}})["data"] == {}


def test_strategic_drops_directives_and_nulls_of_what_is_new() -> None:
    old: Obj = {"metadata": {"name": "d"}, "spec": {}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate", "rollingUpdate": None}}}
    assert strategic_merge(DEPLOYMENT, old, patch)["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"metadata": {"labels": {"$patch": "odd"}}}, 'unknown patch type: "odd"'),
        ({"spec": {"containers": [{"name": "a", "$patch": "merge"}]}}, "merging lists cannot yet be specified in the patch"),
        ({"spec": {"containers": [{"image": "x"}]}}, "map: map[image:x] does not contain declared merge key: name"),
    ],
)
def test_strategic_refuses(patch: Obj, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        strategic_merge(POD, {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "1"}]}}, patch)
    assert (refused.value.code, refused.value.message) == (500, message)


def test_custom_resources_have_no_strategic_merge() -> None:
    with pytest.raises(ApiError) as refused:
        strategic_merge(Kind("example.dev", "v1", "Thing", "things", custom=True), {}, {})
    assert refused.value.code == 415
