"""What writes and deletes mean."""

from __future__ import annotations

from typing import Any

import pytest

from lab.kubernetes.context import Context, DeleteOptions
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import CONFIG_MAP, DEPLOYMENT, NAMESPACE, POD, SERVICE_ACCOUNT, STORAGE_CLASS
from lab.kubernetes.metadata import random_suffix
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]
POD_SPEC = {"containers": [{"name": "a", "image": "x"}]}


def deployment(name: str = "d") -> Obj:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": POD_SPEC}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}


def events(registry: Registry, since: int) -> list[tuple[str, str]]:
    """Kinds of events and names since a version."""
    return [(event.type, event.object["metadata"]["name"]) for event in registry.store.since(since)]


def test_the_server_sets_its_fields(registry: Registry) -> None:
    sent = {"metadata": {"name": "x", "uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5, "selfLink": "/x"}}
    made = registry.create(CONFIG_MAP, sent, "demo")["metadata"]
    assert made["uid"] != "mine" and not made["creationTimestamp"].startswith("2001")
    assert made.keys() & {"deletionGracePeriodSeconds", "selfLink"} == set()
    assert sent["metadata"]["uid"] == "mine", "what was given is left alone"
    assert list(made)[:4] == ["name", "namespace", "uid", "resourceVersion"]


def test_generated_names(registry: Registry) -> None:
    names = {registry.create(CONFIG_MAP, {"metadata": {"generateName": "gen-"}}, "demo")["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20 and all(name.startswith("gen-") and len(name) == 9 for name in names)
    assert set(random_suffix(500)) <= set("bcdfghjklmnpqrstvwxz2456789")


def test_creates_that_are_refused(registry: Registry) -> None:
    registry.create(CONFIG_MAP, {"metadata": {"name": "x"}}, "demo")
    for code, obj, namespace in (
        (409, {"metadata": {"name": "x"}}, "demo"),
        (404, {"metadata": {"name": "x"}}, "nowhere"),
        (400, {"metadata": {"name": "y", "namespace": "default"}}, "demo"),
        (500, {"metadata": {"name": "y", "resourceVersion": "5"}}, "demo"),
        (422, {"metadata": {"name": "Bad_Name"}}, "demo"),
    ):
        with pytest.raises(ApiError) as refused:
            registry.create(CONFIG_MAP, obj, namespace)
        assert refused.value.code == code


def test_dry_run_stores_nothing(registry: Registry) -> None:
    version = registry.store.version
    made = registry.create(CONFIG_MAP, {"metadata": {"name": "x"}}, "demo", Context("u", dry_run=True))
    assert made["metadata"]["uid"] and "resourceVersion" not in made["metadata"]
    assert registry.find(CONFIG_MAP, "demo", "x") is None and registry.store.version == version


def test_a_change_that_changes_nothing_is_no_write(registry: Registry) -> None:
    made = registry.create(CONFIG_MAP, {"metadata": {"name": "x"}, "data": {"a": "1"}}, "demo")
    version = registry.store.version
    assert registry.replace(CONFIG_MAP, made) is made
    assert registry.modify(CONFIG_MAP, "demo", "x", lambda obj: obj["data"].update(a="1")) is made
    assert registry.patch(CONFIG_MAP, "demo", "x", {"data": {"a": "1"}}, "application/merge-patch+json")[0] is made
    assert registry.store.version == version


def test_optimistic_locking(registry: Registry) -> None:
    made = registry.create(CONFIG_MAP, {"metadata": {"name": "x"}, "data": {"a": "1"}}, "demo")
    registry.modify(CONFIG_MAP, "demo", "x", lambda obj: obj["data"].update(a="2"))
    with pytest.raises(ApiError, match="the object has been modified"):
        registry.replace(CONFIG_MAP, {**made, "data": {"a": "3"}})
    without_version = {**made, "metadata": {key: value for key, value in made["metadata"].items() if key != "resourceVersion"}}
    assert registry.replace(CONFIG_MAP, {**without_version, "data": {"a": "3"}})["data"] == {"a": "3"}


def test_generation_counts_what_the_kind_counts(registry: Registry) -> None:
    registry.create(DEPLOYMENT, deployment(), "demo")

    def after(change: Any, subresource: str | None = None) -> int:
        generation: int = registry.modify(DEPLOYMENT, "demo", "d", change, subresource)["metadata"]["generation"]
        return generation

    assert after(lambda obj: obj["metadata"].setdefault("labels", {}).update(x="y")) == 1
    assert after(lambda obj: obj["spec"].update(replicas=3)) == 2
    assert after(lambda obj: obj["metadata"].setdefault("annotations", {}).update(x="y")) == 3
    assert after(lambda obj: obj.update(status={"replicas": 3}), "status") == 3


def test_main_path_and_status_keep_apart(registry: Registry) -> None:
    registry.create(DEPLOYMENT, {**deployment(), "status": {"replicas": 9}}, "demo")
    assert registry.get(DEPLOYMENT, "demo", "d")["status"] == {}

    def both(obj: Obj) -> None:
        obj["status"], obj["spec"]["replicas"], obj["metadata"]["labels"] = {"replicas": 7}, 7, {"x": "y"}

    done = registry.modify(DEPLOYMENT, "demo", "d", both, "status")
    assert (done["status"], done["spec"]["replicas"], done["metadata"].get("labels")) == ({"replicas": 7}, 1, None)
    done = registry.modify(DEPLOYMENT, "demo", "d", both)
    assert (done["status"], done["spec"]["replicas"], done["metadata"]["labels"]) == ({"replicas": 7}, 7, {"x": "y"})


def test_delete_at_once(registry: Registry) -> None:
    registry.create(CONFIG_MAP, {"metadata": {"name": "x"}}, "demo")
    since = registry.store.version
    done = registry.delete(CONFIG_MAP, "demo", "x")
    assert done.gone and done.object["metadata"]["resourceVersion"] == str(registry.store.version)
    assert events(registry, since) == [("DELETED", "x")]
    with pytest.raises(ApiError) as refused:
        registry.delete(CONFIG_MAP, "demo", "x")
    assert refused.value.code == 404


def test_finalizers_hold_an_object(registry: Registry) -> None:
    registry.create(CONFIG_MAP, {"metadata": {"name": "x", "finalizers": ["a.dev/hold"]}}, "demo")
    held = registry.delete(CONFIG_MAP, "demo", "x")
    assert not held.gone and held.object["metadata"]["deletionTimestamp"]
    again = registry.delete(CONFIG_MAP, "demo", "x")
    assert again.object["metadata"]["resourceVersion"] == held.object["metadata"]["resourceVersion"]
    since = registry.store.version
    last = registry.modify(CONFIG_MAP, "demo", "x", lambda obj: obj["metadata"].pop("finalizers"))
    assert last["metadata"]["resourceVersion"] == held.object["metadata"]["resourceVersion"]
    assert events(registry, since) == [("DELETED", "x")] and registry.find(CONFIG_MAP, "demo", "x") is None


@pytest.mark.parametrize(("policy", "finalizers"), [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"]), ("Background", None)])
def test_propagation(registry: Registry, policy: str, finalizers: list[str] | None) -> None:
    registry.create(DEPLOYMENT, deployment(), "demo")
    done = registry.delete(DEPLOYMENT, "demo", "d", DeleteOptions(propagation=policy))
    assert done.gone is (finalizers is None) and done.object["metadata"].get("finalizers") == finalizers


def test_preconditions(registry: Registry) -> None:
    made = registry.create(CONFIG_MAP, {"metadata": {"name": "x"}}, "demo")
    for options in (DeleteOptions(uid="other"), DeleteOptions(resource_version="1")):
        with pytest.raises(ApiError, match="does not match"):
            registry.delete(CONFIG_MAP, "demo", "x", options)
    assert registry.delete(CONFIG_MAP, "demo", "x", DeleteOptions(uid=made["metadata"]["uid"])).gone


def test_pods_have_grace(registry: Registry) -> None:
    registry.create(POD, {"metadata": {"name": "p"}, "spec": {**POD_SPEC, "nodeName": "node1"}}, "demo")
    since = registry.store.version
    first = registry.delete(POD, "demo", "p").object["metadata"]
    assert (first["deletionGracePeriodSeconds"], first["generation"]) == (30, 2)
    registry.delete(POD, "demo", "p", DeleteOptions(grace=60))  # grace only ever gets shorter
    assert registry.get(POD, "demo", "p")["metadata"]["deletionGracePeriodSeconds"] == 30
    assert registry.delete(POD, "demo", "p", DeleteOptions(grace=5)).object["metadata"]["deletionGracePeriodSeconds"] == 5
    assert registry.delete(POD, "demo", "p", DeleteOptions(grace=0)).gone
    assert [kind for kind, _ in events(registry, since)] == ["MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]


def test_pods_that_nobody_runs_go_at_once(registry: Registry) -> None:
    registry.create(POD, {"metadata": {"name": "p"}, "spec": POD_SPEC}, "demo")
    since = registry.store.version
    assert registry.delete(POD, "demo", "p").gone
    assert [kind for kind, _ in events(registry, since)] == ["MODIFIED", "DELETED"]


def test_namespaces_terminate(registry: Registry) -> None:
    done = registry.delete(NAMESPACE, "", "demo")
    assert not done.gone and done.object["status"]["phase"] == "Terminating" and "deletionGracePeriodSeconds" not in done.object["metadata"]
    with pytest.raises(ApiError, match="because it is being terminated") as refused:
        registry.create(CONFIG_MAP, {"metadata": {"name": "late"}}, "demo")
    assert (refused.value.details or {})["causes"][0]["reason"] == "NamespaceTerminating"
    with pytest.raises(ApiError, match="object is being deleted"):
        registry.create(NAMESPACE, {"metadata": {"name": "demo"}})
    with pytest.raises(ApiError, match="this namespace may not be deleted"):
        registry.delete(NAMESPACE, "", "default")
    registry.modify(NAMESPACE, "", "demo", lambda obj: obj["spec"].pop("finalizers"), "finalize")
    assert registry.find(NAMESPACE, "", "demo") is None


def test_lists(registry: Registry) -> None:
    for name, namespace, app in (("b", "demo", "x"), ("a", "demo", "y"), ("c", "default", "x")):
        registry.create(CONFIG_MAP, {"metadata": {"name": name, "labels": {"app": app}}}, namespace)
    assert [one["metadata"]["name"] for one in registry.list(CONFIG_MAP)] == ["c", "a", "b"]
    assert [one["metadata"]["name"] for one in registry.list(CONFIG_MAP, "demo")] == ["a", "b"]
    assert [one["metadata"]["name"] for one in registry.list(CONFIG_MAP, labels="app=x")] == ["c", "b"]
    assert [one["metadata"]["name"] for one in registry.list(CONFIG_MAP, "demo", {"matchLabels": {"app": "x"}})] == ["b"]


def test_cluster_wide_kinds_have_no_namespace(registry: Registry) -> None:
    made = registry.create(STORAGE_CLASS, {"metadata": {"name": "s", "namespace": "demo"}, "provisioner": "x"}, "demo")
    assert "namespace" not in made["metadata"] and registry.get(STORAGE_CLASS, "anything", "s") is made
    assert registry.find(SERVICE_ACCOUNT, "", "default") is None
