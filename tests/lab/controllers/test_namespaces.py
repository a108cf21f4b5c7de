"""Birth and end of namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from lab.controllers.objects import condition, is_deleting
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import CONFIG_MAP, DEPLOYMENT, NAMESPACE, POD, SERVICE, SERVICE_ACCOUNT
from tests.lab.controllers.world import Cluster, cluster

Obj = dict[str, Any]


def gone(lab: Cluster, name: str = "demo") -> bool:
    return lab.registry.find(NAMESPACE, "", name) is None


async def test_a_namespace_has_its_account_and_certificate_and_gets_them_back() -> None:
    async with cluster() as lab:
        lab.namespace("fresh")
        await lab.settle()
        first = lab.registry.get(SERVICE_ACCOUNT, "fresh", "default")
        assert lab.registry.get(CONFIG_MAP, "fresh", "kube-root-ca.crt")["data"] == {"ca.crt": "a certificate"}
        lab.registry.delete(SERVICE_ACCOUNT, "fresh", "default")
        lab.registry.delete(CONFIG_MAP, "fresh", "kube-root-ca.crt")
        await lab.settle()
        assert lab.registry.get(SERVICE_ACCOUNT, "fresh", "default")["metadata"]["uid"] != first["metadata"]["uid"]
        lab.registry.modify(CONFIG_MAP, "fresh", "kube-root-ca.crt", lambda one: one.update(data={}))
        await lab.settle()
        assert lab.registry.get(CONFIG_MAP, "fresh", "kube-root-ca.crt")["data"] == {"ca.crt": "a certificate"}


async def test_an_empty_namespace_stays_five_seconds() -> None:
    async with cluster(speed=50) as lab:
        lab.namespace("brief")
        await lab.settle()
        began = lab.registry.clock.monotonic()
        lab.registry.delete(NAMESPACE, "", "brief")
        await lab.until(lambda: gone(lab, "brief"))
        assert lab.registry.clock.monotonic() - began >= 5


async def test_content_goes_pods_first_and_nothing_new_comes() -> None:
    async with cluster() as lab:
        lab.deploy(replicas=2)
        lab.registry.create(SERVICE, {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}, "demo")
        await lab.until(lambda: lab.registry.get(DEPLOYMENT, "demo", "web")["status"].get("availableReplicas") == 2)
        lab.registry.delete(NAMESPACE, "", "demo")
        with pytest.raises(ApiError) as refusal:
            lab.registry.create(CONFIG_MAP, {"metadata": {"name": "late"}}, "demo")
        assert refusal.value.code == 403
        await lab.until(lambda: gone(lab))
        await lab.settle()
        assert [kind.kind for kind in lab.registry.kinds.all() if lab.registry.store.count(kind, "demo")] == []
        order = [event.kind for event in lab.nodes.log if event.type == "DELETED"]
        assert order.index(POD) < order.index(DEPLOYMENT)


async def test_a_finalizer_inside_holds_the_namespace_and_is_named() -> None:
    async with cluster() as lab:
        lab.registry.create(CONFIG_MAP, {"metadata": {"name": "held", "finalizers": ["example.dev/hold"]}}, "demo")
        lab.registry.delete(NAMESPACE, "", "demo")

        def told() -> Obj:
            return condition(lab.registry.get(NAMESPACE, "", "demo"), "NamespaceFinalizersRemaining") or {}

        await lab.until(lambda: told().get("status") == "True")
        assert told()["message"] == "Some content in the namespace has finalizers remaining: example.dev/hold in 1 resource instances"
        left = condition(lab.registry.get(NAMESPACE, "", "demo"), "NamespaceContentRemaining") or {}
        assert left["message"] == "Some resources are remaining: configmaps. has 1 resource instances"
        assert is_deleting(lab.registry.get(CONFIG_MAP, "demo", "held"))
        lab.registry.modify(CONFIG_MAP, "demo", "held", lambda one: one["metadata"].pop("finalizers"))
        await lab.until(lambda: gone(lab))
        last = [event.object for event in lab.history(NAMESPACE)][-1]
        assert {one["status"] for one in last["status"]["conditions"]} == {"False"}


async def test_somebody_elses_finalizer_keeps_an_empty_namespace() -> None:
    async with cluster() as lab:
        lab.namespace("kept")
        finalizers = ["kubernetes", "example.dev/x"]
        lab.registry.modify(NAMESPACE, "", "kept", lambda one: one["spec"].update(finalizers=finalizers), "finalize")
        lab.registry.delete(NAMESPACE, "", "kept")
        await lab.until(lambda: lab.registry.get(NAMESPACE, "", "kept")["spec"]["finalizers"] == ["example.dev/x"])
        lab.registry.modify(NAMESPACE, "", "kept", lambda one: one["spec"].pop("finalizers"), "finalize")
        assert gone(lab, "kept")
