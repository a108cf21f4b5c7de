"""Who goes when an owner goes."""

from __future__ import annotations

from typing import Any

import pytest

from lab.kubernetes.kinds import CONFIG_MAP, EVENT, NAMESPACE
from lab.kubernetes.registry import DeleteOptions
from tests.lab.controllers.world import Cluster, cluster

Obj = dict[str, Any]


def make(lab: Cluster, name: str, *owners: Obj, block: bool = False, namespace: str = "demo", **meta: Any) -> Obj:
    references = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": one["metadata"]["name"],
            "uid": one["metadata"]["uid"],
            **({"blockOwnerDeletion": True} if block else {}),
        }
        for one in owners
    ]
    return lab.registry.create(CONFIG_MAP, {"metadata": {"name": name, "ownerReferences": references, **meta}}, namespace)


def family(lab: Cluster, **grand: Any) -> Obj:
    """An owner, a child that blocks it with a child of its own, and one that does not block."""
    owner = make(lab, "owner")
    make(lab, "grand", make(lab, "child-b", owner, block=True), block=True, **grand)
    make(lab, "child-n", owner)
    return owner


def names(lab: Cluster) -> set[str]:
    return {one["metadata"]["name"] for one in lab.registry.list(CONFIG_MAP, "demo")} - {"kube-root-ca.crt"}


def deleted(lab: Cluster) -> list[str]:
    return [event.object["metadata"]["name"] for event in lab.history(CONFIG_MAP) if event.type == "DELETED"]


@pytest.mark.parametrize("policy", [None, "Background"])
async def test_background_takes_the_owner_first(policy: str | None) -> None:
    async with cluster() as lab:
        family(lab)
        await lab.settle()
        result = lab.registry.delete(CONFIG_MAP, "demo", "owner", DeleteOptions(propagation=policy))
        assert result.gone
        await lab.until(lambda: not names(lab))
        await lab.settle()
        assert deleted(lab)[0] == "owner"
        assert deleted(lab).index("child-b") < deleted(lab).index("grand")


async def test_foreground_takes_the_owner_last() -> None:
    async with cluster() as lab:
        family(lab)
        await lab.settle()
        result = lab.registry.delete(CONFIG_MAP, "demo", "owner", DeleteOptions(propagation="Foreground"))
        assert not result.gone
        assert result.object["metadata"]["finalizers"] == ["foregroundDeletion"]
        await lab.until(lambda: not names(lab))
        await lab.settle()
        assert deleted(lab) == ["child-n", "grand", "child-b", "owner"]


async def test_foreground_waits_for_a_grandchild_that_somebody_holds() -> None:
    async with cluster() as lab:
        family(lab, finalizers=["example.dev/hold"])
        await lab.settle()
        lab.registry.delete(CONFIG_MAP, "demo", "owner", DeleteOptions(propagation="Foreground"))
        await lab.until(lambda: names(lab) == {"owner", "child-b", "grand"})
        await lab.settle()
        assert names(lab) == {"owner", "child-b", "grand"}
        assert lab.registry.get(CONFIG_MAP, "demo", "child-b")["metadata"]["finalizers"] == ["foregroundDeletion"]
        lab.registry.modify(CONFIG_MAP, "demo", "grand", lambda one: one["metadata"].pop("finalizers"))
        await lab.until(lambda: not names(lab))
        await lab.settle()
        assert deleted(lab)[-3:] == ["grand", "child-b", "owner"]


async def test_orphan_lets_the_children_live_without_the_reference() -> None:
    async with cluster() as lab:
        family(lab)
        await lab.settle()
        lab.registry.delete(CONFIG_MAP, "demo", "owner", DeleteOptions(propagation="Orphan"))
        await lab.until(lambda: "owner" not in names(lab))
        await lab.settle()
        assert names(lab) == {"child-b", "child-n", "grand"}
        assert "ownerReferences" not in lab.registry.get(CONFIG_MAP, "demo", "child-b")["metadata"]
        assert "ownerReferences" in lab.registry.get(CONFIG_MAP, "demo", "grand")["metadata"]


async def test_children_of_owners_that_are_not_there_go() -> None:
    async with cluster() as lab:
        ghost = {"metadata": {"name": "ghost", "uid": "00000000-0000-0000-0000-000000000000"}}
        owner = make(lab, "owner")
        make(lab, "lost", ghost)
        make(lab, "wrong", {"metadata": {"name": "owner", "uid": ghost["metadata"]["uid"]}})
        make(lab, "right", owner)
        await lab.until(lambda: names(lab) == {"owner", "right"})


async def test_of_two_owners_the_dead_one_is_struck_out() -> None:
    async with cluster() as lab:
        first, second = make(lab, "first"), make(lab, "second")
        make(lab, "child", first, second)
        await lab.settle()
        lab.registry.delete(CONFIG_MAP, "demo", "first")
        await lab.settle()
        assert [one["name"] for one in lab.registry.get(CONFIG_MAP, "demo", "child")["metadata"]["ownerReferences"]] == ["second"]
        lab.registry.delete(CONFIG_MAP, "demo", "second")
        await lab.until(lambda: not names(lab))


async def test_an_owner_in_another_namespace_is_none_and_an_event_says_so() -> None:
    async with cluster() as lab:
        lab.namespace("far")
        await lab.settle()
        owner = make(lab, "owner", namespace="far")
        make(lab, "child", owner)
        await lab.until(lambda: not names(lab))
        (event,) = lab.registry.list(EVENT, "demo")
        uid = owner["metadata"]["uid"]
        assert event["reason"] == "OwnerRefInvalidNamespace"
        assert event["message"] == f'ownerRef [v1/ConfigMap, namespace: demo, name: owner, uid: {uid}] does not exist in namespace "demo"'
        assert "resourceVersion" not in event["involvedObject"]


async def test_a_cluster_wide_owner_and_one_of_an_unknown_kind_are_owners() -> None:
    async with cluster() as lab:
        space = lab.registry.get(NAMESPACE, "", "demo")
        references = [
            {"apiVersion": "v1", "kind": "Namespace", "name": "demo", "uid": space["metadata"]["uid"]},
            {"apiVersion": "example.dev/v1", "kind": "Thing", "name": "x", "uid": "0"},
        ]
        for reference in references:
            lab.registry.create(CONFIG_MAP, {"metadata": {"name": f"of-{reference['kind'].lower()}", "ownerReferences": [reference]}}, "demo")
        await lab.settle()
        assert names(lab) == {"of-namespace", "of-thing"}
