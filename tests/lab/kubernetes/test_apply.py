"""Server-side apply and field ownership, against the recorded applies and the laws they follow."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.kubernetes import fieldsets
from lab.kubernetes.apply import server_side_apply, track_update
from lab.kubernetes.decoding import read
from lab.kubernetes.defaults import apply_defaults
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kind import Kind
from lab.kubernetes.kinds import CONFIG_MAP, DEPLOYMENT, POD, SERVICE
from lab.kubernetes.values import clone

Obj = dict[str, Any]

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"


def config(**data: str) -> Obj:
    """A ConfigMap to apply."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def apply(live: Obj | None, body: Obj, manager: str, force: bool = False, kind: Kind = CONFIG_MAP, now: str = NOW) -> Obj:
    """Apply as the server does: merge, then defaults."""
    made, _ = read(kind, server_side_apply(kind, live, clone(body), manager, force, now))
    apply_defaults(kind, made)
    return made


def update(old: Obj, new: Obj, manager: str, kind: Kind = CONFIG_MAP, subresource: str | None = None) -> Obj:
    """A write that is no apply."""
    new = clone(new)
    track_update(kind, old, new, manager, subresource, LATER)
    return new


def owners(obj: Obj) -> dict[str, Any]:
    """Fields by manager and operation."""
    entries = obj["metadata"].get("managedFields", [])
    return {" ".join(filter(None, (one["manager"], one["operation"], one.get("subresource")))): one["fieldsV1"] for one in entries}


def conflict(live: Obj, body: Obj, manager: str, kind: Kind = CONFIG_MAP) -> ApiError:
    """The refusal of an apply."""
    with pytest.raises(ApiError) as refused:
        apply(live, body, manager, kind=kind)
    assert refused.value.code == 409
    return refused.value


def data(*keys: str) -> Obj:
    """A field set of data keys."""
    return {"f:data": {f"f:{key}": {} for key in keys}}


def test_a_field_left_out_goes() -> None:
    first = apply(None, config(a="1", b="2"), "alice")
    second = apply(first, config(a="1"), "alice")
    assert second["data"] == {"a": "1"}
    assert owners(second) == {"alice Apply": data("a")}


def test_the_same_again_changes_nothing() -> None:
    first = apply(None, config(a="1"), "alice")
    assert apply(first, config(a="1"), "alice", now=LATER) == first


def test_a_field_with_two_owners_stays_until_both_let_go() -> None:
    live = apply(apply(None, config(a="1"), "alice"), config(a="1", b="2"), "bob")
    live = apply(live, config(z="26"), "alice")
    assert live["data"] == {"a": "1", "b": "2", "z": "26"}
    assert owners(live) == {"alice Apply": data("z"), "bob Apply": data("a", "b")}
    live = apply(live, config(b="2"), "bob")
    assert live["data"] == {"b": "2", "z": "26"}


def test_conflict_names_everybody() -> None:
    live = apply(apply(None, config(a="1", b="2"), "alice"), config(c="3"), "bob")
    error = conflict(live, config(a="x"), "carol")
    assert error.message == 'Apply failed with 1 conflict: conflict with "alice": .data.a'
    assert error.details == {"causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "alice"', "field": ".data.a"}]}
    error = conflict(live, config(a="x", b="x", c="x"), "carol")
    assert error.message == 'Apply failed with 3 conflicts: conflicts with "alice":\n- .data.a\n- .data.b\nconflicts with "bob":\n- .data.c'


def test_force_takes_over() -> None:
    live = apply(apply(None, config(a="1", b="2"), "alice"), config(a="x"), "bob", force=True)
    assert live["data"] == {"a": "x", "b": "2"}
    assert owners(live) == {"alice Apply": data("b"), "bob Apply": data("a")}


def test_an_update_takes_what_it_changes() -> None:
    live = apply(None, config(a="1", b="2"), "alice")
    live = update(live, {**live, "data": {"a": "x", "b": "2"}}, "carol")
    assert owners(live) == {"alice Apply": data("b"), "carol Update": data("a")}
    assert conflict(live, config(a="1", b="2"), "alice").message.endswith('conflict with "carol" using v1: .data.a')
    assert apply(live, config(a="x", b="2"), "alice")["data"] == {"a": "x", "b": "2"}


def test_an_update_that_takes_a_field_out_ends_its_ownership() -> None:
    live = apply(None, config(a="1", b="2"), "alice")
    live = update(live, {**live, "data": {"b": "2"}}, "carol")
    assert owners(live) == {"alice Apply": data("b")}


def test_time_of_an_entry_is_when_it_last_took_something() -> None:
    live = apply(None, config(a="1"), "alice")
    live = apply(live, config(b="1"), "bob", now=LATER)
    assert [one["time"] for one in live["metadata"]["managedFields"]] == [NOW, LATER]


def deployment(*containers: Obj, **spec: Any) -> Obj:
    """A Deployment to apply."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": list(containers)}}
    whole = {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": whole}


def test_scaling_by_another_manager() -> None:
    live = apply(None, deployment({"name": "a", "image": "x"}), "alice", kind=DEPLOYMENT)
    assert live["spec"]["replicas"] == 1
    assert "f:replicas" not in owners(live)["alice Apply"]["f:spec"]
    scaled = clone(live)
    scaled["spec"]["replicas"] = 3
    live = update(live, scaled, "kubectl", DEPLOYMENT, "scale")
    assert owners(live)["kubectl Update scale"] == {"f:spec": {"f:replicas": {}}}
    assert apply(live, deployment({"name": "a", "image": "y"}), "alice", kind=DEPLOYMENT)["spec"]["replicas"] == 3
    error = conflict(live, deployment({"name": "a", "image": "x"}, replicas=2), "alice", DEPLOYMENT)
    assert error.message == 'Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas'


def test_an_item_goes_with_all_its_defaults_and_the_others_stay_where_they_are() -> None:
    first = apply(None, deployment(*({"name": name, "image": "x"} for name in "abc")), "alice", kind=DEPLOYMENT)
    second = apply(first, deployment({"name": "c", "image": "y"}, {"name": "a", "image": "x"}), "alice", kind=DEPLOYMENT)
    containers = second["spec"]["template"]["spec"]["containers"]
    assert [(one["name"], one["image"]) for one in containers] == [("c", "y"), ("a", "x")]
    assert containers[1] == first["spec"]["template"]["spec"]["containers"][0]


def test_items_of_others_stay() -> None:
    live = apply(None, deployment({"name": "a", "image": "x", "env": [{"name": "E1", "value": "1"}]}), "alice", kind=DEPLOYMENT)
    theirs = deployment({"name": "a", "env": [{"name": "E2", "value": "2"}]})
    live = apply(live, theirs, "bob", kind=DEPLOYMENT)
    live = apply(live, deployment({"name": "a", "image": "x"}), "alice", kind=DEPLOYMENT)
    assert live["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "E2", "value": "2"}]


def test_ports_are_found_by_number_and_protocol() -> None:
    def service(**port: Any) -> Obj:
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"name": "p", "port": 53, **port}]}}

    live = apply(None, service(), "alice", kind=SERVICE)
    assert list(owners(live)["alice Apply"]["f:spec"]["f:ports"]) == ['k:{"port":53,"protocol":"TCP"}']
    live = apply(live, service(protocol="UDP"), "alice", kind=SERVICE)
    assert [port["protocol"] for port in live["spec"]["ports"]] == ["UDP"]


def test_status_is_not_applied_by_the_main_path() -> None:
    body = {**deployment({"name": "a", "image": "x"}), "status": {"replicas": 5}}
    live = apply(None, body, "alice", kind=DEPLOYMENT)
    assert live["status"] == {}
    assert "f:status" not in owners(live)["alice Apply"]


def test_a_condition_has_an_owner_of_its_own() -> None:
    spec = {"containers": [{"name": "a", "image": "x"}]}
    live = {**apply(None, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}, "a", kind=POD), "status": {}}
    changed = {**live, "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]}}
    live = update(live, changed, "kubelet", POD, "status")
    condition: Obj = {'k:{"type":"Ready"}': {".": {}, "f:status": {}, "f:type": {}}}
    assert owners(live)["kubelet Update status"] == {"f:status": {"f:conditions": {".": {}, **condition}, "f:phase": {}}}


def test_null_takes_a_field_out() -> None:
    live = apply(None, config(a="1"), "alice")
    body: Obj = {**config(), "data": {"a": None, "b": "2"}}
    assert apply(live, body, "alice")["data"] == {"b": "2"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dta": {}}, ".dta: field not declared in schema"),
        ({"data": {"a": 1}}, ".data.a: expected string, got &value.valueUnstructured{Value:1}"),
        ({"data": []}, ".data: expected map, got list"),
    ],
)
def test_configurations_that_do_not_fit(change: Obj, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        apply(None, {**config(), **change}, "alice")
    assert refused.value.body == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 500,
        "message": f"failed to create typed patch object (/c; /v1, Kind=ConfigMap): {message}",
    }  # fmt: skip


def test_items_need_their_keys_once() -> None:
    twice = deployment({"name": "a", "env": [{"name": "D"}, {"name": "D"}]}, {"image": "x"})
    with pytest.raises(ApiError) as refused:
        apply(None, twice, "alice", kind=DEPLOYMENT)
    place = ".spec.template.spec.containers"
    assert f'{place}[name="a"].env: duplicate entries for key [name="D"]' in refused.value.message
    assert f'{place}: element 1: associative list with keys has an element that omits key field "name"' in refused.value.message


DATA = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xyz"), max_size=4)


@given(st.lists(st.tuples(st.sampled_from(("alice", "bob", "carol")), DATA), max_size=6))
def test_what_is_there_is_what_the_managers_last_applied(applies: list[tuple[str, dict[str, str]]]) -> None:
    """By force, so without conflicts: a key is there exactly if some manager owns it, with the value of whoever wrote last."""
    live: Obj | None = None
    for manager, wanted in applies:
        live = apply(live, config(**wanted), manager, force=True)
        found = owners(live)
        owned = {key[2:] for tree in found.values() for key in tree.get("f:data", {})}
        assert set(live.get("data", {})) == owned
        assert wanted.items() <= live.get("data", {}).items()
        assert set(found.get(f"{manager} Apply", {}).get("f:data", {})) == {f"f:{key}" for key in wanted}


PATHS = st.frozensets(st.lists(st.sampled_from(("f:a", "f:b", 'k:{"name":"x"}')), min_size=1, max_size=3).map(tuple), max_size=6)


def tree_of(paths: frozenset[tuple[str, ...]]) -> Obj:
    """A field set of these paths."""
    tree: Obj = {}
    for path in sorted(paths, key=len, reverse=True):
        fieldsets.insert(tree, *path)
    return tree


def named(paths: frozenset[tuple[str, ...]]) -> list[str]:
    """Paths as messages write them."""
    return sorted("".join(fieldsets.text(step) for step in path) for path in paths)


@given(PATHS, PATHS)
def test_field_sets_are_sets(left: frozenset[tuple[str, ...]], right: frozenset[tuple[str, ...]]) -> None:
    one, other = tree_of(left), tree_of(right)
    before = json.dumps([one, other])
    assert sorted(fieldsets.members(one)) == named(left)
    assert sorted(fieldsets.members(fieldsets.union(one, other))) == named(left | right)
    assert sorted(fieldsets.members(fieldsets.difference(one, other))) == named(left - right)
    assert sorted(fieldsets.members(fieldsets.intersection(one, other))) == named(left & right)
    assert json.dumps([one, other]) == before
