"""Replica sets: numbers, adoption, what is deleted first, refusals."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.errors import forbidden
from lab.kubernetes.kinds import EVENT, POD, REPLICA_SET
from lab.kubernetes.registry import DeleteOptions
from tests.lab.controllers.world import Cluster, cluster

Obj = dict[str, Any]

TEMPLATE: Obj = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "main", "image": "busybox"}], "terminationGracePeriodSeconds": 1},
}


def make(lab: Cluster, replicas: int, **spec: Any) -> Obj:
    body = {"metadata": {"name": "web"}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE, **spec}}
    return lab.registry.create(REPLICA_SET, body, "demo")


def status(lab: Cluster) -> Obj:
    found: Obj = lab.registry.get(REPLICA_SET, "demo", "web")["status"]
    return found


def ready(lab: Cluster, number: int) -> bool:
    return bool(status(lab).get("readyReplicas", 0) == number)


async def test_a_pod_with_matching_labels_is_adopted_and_one_relabelled_is_let_go() -> None:
    async with cluster() as lab:
        lab.registry.create(
            POD, {"metadata": {"name": "loose", "labels": {"app": "web"}}, "spec": {"containers": TEMPLATE["spec"]["containers"]}}, "demo"
        )
        await lab.settle()
        owner = make(lab, 2)
        await lab.until(lambda: ready(lab, 2))
        assert {pod["metadata"]["name"] for pod in lab.pods()} > {"loose"}
        assert lab.registry.get(POD, "demo", "loose")["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]
        lab.registry.modify(POD, "demo", "loose", lambda pod: pod["metadata"]["labels"].update(app="other"))
        await lab.until(lambda: len(lab.pods()) == 3 and ready(lab, 2))
        assert "ownerReferences" not in lab.registry.get(POD, "demo", "loose")["metadata"]


async def test_a_deleted_pod_is_replaced_while_it_still_ends() -> None:
    async with cluster() as lab:
        make(lab, 1)
        await lab.until(lambda: ready(lab, 1))
        (old,) = lab.pods()
        lab.registry.delete(POD, "demo", old["metadata"]["name"])
        await lab.until(lambda: ready(lab, 1) and old["metadata"]["name"] not in str(lab.pods()))
        states = [event.object["status"] for event in lab.history(REPLICA_SET)]
        assert any(state.get("terminatingReplicas") == 1 and state["replicas"] == 0 for state in states)


async def test_pods_that_are_not_ready_go_first_and_then_the_cheap_ones() -> None:
    async with cluster() as lab:
        make(lab, 3)
        await lab.until(lambda: ready(lab, 3))
        cheap, other, _ = sorted(pod["metadata"]["name"] for pod in lab.pods())
        notes = {"controller.kubernetes.io/pod-deletion-cost": "-5"}
        lab.registry.modify(POD, "demo", cheap, lambda pod: pod["metadata"].update(annotations=notes))
        lab.registry.modify(POD, "demo", other, lambda pod: pod["status"]["conditions"][0].update(status="False"), "status")
        await lab.settle()
        for gone in (other, cheap):
            lab.registry.modify(REPLICA_SET, "demo", "web", lambda one: one["spec"].update(replicas=one["spec"]["replicas"] - 1))
            await lab.settle()
            assert lab.registry.find(POD, "demo", gone) is None
        assert len(lab.pods()) == 1


def allow_pods(lab: Cluster, limit: int | None) -> None:
    """Refuse pods beyond a number, as a quota does."""

    def check(kind: Any, obj: Obj, ctx: Any) -> None:
        if kind is POD and limit is not None and len(lab.pods()) >= limit:
            raise forbidden(POD, obj["metadata"]["name"], f"exceeded quota: q, requested: pods=1, used: pods={limit}, limited: pods={limit}")

    lab.registry.admission.check_create = check  # type: ignore[method-assign]


async def test_a_refused_pod_is_an_event_and_a_condition_and_is_tried_again() -> None:
    async with cluster(speed=1000) as lab:
        allow_pods(lab, 1)
        make(lab, 2)
        await lab.until(lambda: "ReplicaFailure" in str(status(lab)))
        (failure,) = status(lab)["conditions"]
        assert failure["reason"] == "FailedCreate"
        assert failure["message"].endswith("is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1")
        failed = [event for event in lab.registry.list(EVENT, "demo") if event["reason"] == "FailedCreate"]
        assert failed[0]["message"].startswith("Error creating: pods ")
        allow_pods(lab, None)
        await lab.until(lambda: ready(lab, 2) and "ReplicaFailure" not in str(status(lab)))


async def test_min_ready_seconds_hold_availability_back() -> None:
    async with cluster(speed=100) as lab:
        make(lab, 1, minReadySeconds=30)
        await lab.until(lambda: ready(lab, 1))
        began = lab.registry.clock.monotonic()
        assert "availableReplicas" not in status(lab)
        await lab.until(lambda: status(lab).get("availableReplicas") == 1)
        assert lab.registry.clock.monotonic() - began > 10  # what the lab's clock says, however slow the machine


async def test_deleting_with_orphan_leaves_the_pods() -> None:
    async with cluster() as lab:
        make(lab, 2)
        await lab.until(lambda: ready(lab, 2))
        lab.registry.delete(REPLICA_SET, "demo", "web", DeleteOptions(propagation="Orphan"))
        await lab.until(lambda: lab.registry.find(REPLICA_SET, "demo", "web") is None)
        await lab.settle()
        assert len(lab.pods()) == 2
        assert all("ownerReferences" not in pod["metadata"] for pod in lab.pods())
