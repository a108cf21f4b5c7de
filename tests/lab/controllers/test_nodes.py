"""Lost nodes, taints, and budgets for evictions."""

from __future__ import annotations

from typing import Any

from lab.controllers.objects import condition
from lab.faults import Fault
from lab.kubernetes.kinds import DEPLOYMENT, EVENT, NODE, PDB, POD
from tests.lab.controllers.world import Cluster, cluster

Obj = dict[str, Any]


def taints(lab: Cluster, name: str = "node1") -> list[tuple[str, str]]:
    return [(one["key"], one["effect"]) for one in lab.registry.get(NODE, "", name)["spec"].get("taints") or ()]


def set_taints(lab: Cluster, *wanted: Obj) -> None:
    lab.registry.modify(NODE, "", "node1", lambda node: node["spec"].update(taints=list(wanted)))


def reasons(lab: Cluster, namespace: str = "demo") -> set[str]:
    return {event["reason"] for event in lab.registry.list(EVENT, namespace)}


async def test_a_lost_node_is_unknown_and_loses_its_pods_when_their_patience_ends() -> None:
    async with cluster(speed=500, nodes=2) as lab:
        lab.namespace("default")
        lab.deploy(replicas=2)
        await lab.until(lambda: lab.registry.get(DEPLOYMENT, "demo", "web")["status"].get("availableReplicas") == 2)
        fault = lab.faults.add(Fault("node", "^node1$", "lost"))
        await lab.until(lambda: ("node.kubernetes.io/unreachable", "NoExecute") in taints(lab))
        assert ("node.kubernetes.io/unreachable", "NoSchedule") in taints(lab)
        ready = condition(lab.registry.get(NODE, "", "node1"), "Ready") or {}
        assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
        (there,) = [pod for pod in lab.pods() if pod["spec"].get("nodeName") == "node1"]
        assert (condition(there, "Ready") or {})["status"] == "False"
        await lab.until(lambda: {pod["spec"].get("nodeName") for pod in lab.pods()} == {"node2"} and len(lab.pods()) == 2)
        assert {"NodeNotReady", "TaintManagerEviction"} <= reasons(lab)
        lab.faults.remove(fault.id)
        lab.registry.modify(NODE, "", "node1", lambda node: node["status"]["conditions"][0].update(status="True"), "status")
        await lab.until(lambda: not taints(lab))


async def test_a_no_execute_taint_deletes_at_once_what_does_not_tolerate_it() -> None:
    async with cluster() as lab:
        tolerations = {
            "calm": [{"key": "k", "operator": "Exists"}],
            "brief": [{"key": "k", "operator": "Exists", "tolerationSeconds": 40}],
            "none": [],
        }
        for name, some in tolerations.items():
            lab.registry.create(POD, {"metadata": {"name": name}, "spec": {"containers": [{"name": "m", "image": "x"}], "tolerations": some}}, "demo")
        await lab.until(lambda: all(pod["status"]["phase"] == "Running" for pod in lab.pods()))
        set_taints(lab, {"key": "k", "effect": "NoExecute"})
        await lab.until(lambda: len(lab.pods()) == 2)
        last = [event.object for event in lab.history(POD) if event.object["metadata"]["name"] == "none"][-1]
        assert (condition(last, "DisruptionTarget") or {})["reason"] == "DeletionByTaintManager"
        (event,) = [event for event in lab.registry.list(EVENT, "demo") if event["reason"] == "TaintManagerEviction"]
        assert event["message"] == "Marking for deletion Pod demo/none"
        await lab.until(lambda: [pod["metadata"]["name"] for pod in lab.pods()] == ["calm"])


async def test_a_taint_that_goes_in_time_takes_nothing() -> None:
    async with cluster(speed=20) as lab:
        some = [{"key": "k", "operator": "Exists", "tolerationSeconds": 3600}]
        lab.registry.create(POD, {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "m", "image": "x"}], "tolerations": some}}, "demo")
        await lab.settle()
        set_taints(lab, {"key": "k", "effect": "NoExecute"})
        await lab.settle()
        set_taints(lab)
        await lab.settle()
        (event,) = [event for event in lab.registry.list(EVENT, "demo") if event["reason"] == "TaintManagerEviction"]
        assert event["message"] == "Cancelling deletion of Pod demo/a"
        assert [pod["metadata"]["name"] for pod in lab.pods()] == ["a"]


async def test_a_budget_follows_its_pods() -> None:
    async with cluster() as lab:
        budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}}
        lab.registry.create(PDB, budget, "demo")
        share = {"metadata": {"name": "share"}, "spec": {"maxUnavailable": "50%", "selector": {"matchLabels": {"app": "web"}}}}
        lab.registry.create(PDB, share, "demo")
        lab.deploy(replicas=3)
        await lab.until(lambda: lab.registry.get(DEPLOYMENT, "demo", "web")["status"].get("availableReplicas") == 3)
        await lab.settle()
        status = lab.registry.get(PDB, "demo", "b")["status"]
        assert {key: value for key, value in status.items() if key != "conditions"} == {
            "observedGeneration": 1, "disruptionsAllowed": 2, "currentHealthy": 3, "desiredHealthy": 1, "expectedPods": 3,
        }  # fmt: skip
        assert (condition({"status": status}, "DisruptionAllowed") or {})["reason"] == "SufficientPods"
        status = lab.registry.get(PDB, "demo", "share")["status"]
        assert (status["expectedPods"], status["desiredHealthy"], status["disruptionsAllowed"]) == (3, 1, 2)
        for pod in lab.pods():
            lab.registry.modify(POD, "demo", pod["metadata"]["name"], lambda one: one["status"]["conditions"][0].update(status="False"), "status")
        await lab.settle()
        status = lab.registry.get(PDB, "demo", "b")["status"]
        assert (status["disruptionsAllowed"], status["currentHealthy"]) == (0, 0)
        assert (condition({"status": status}, "DisruptionAllowed") or {})["reason"] == "InsufficientPods"
