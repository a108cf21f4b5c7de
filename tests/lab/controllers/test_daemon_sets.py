"""Daemon sets: which nodes, renewal, what ended."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.kinds import DAEMON_SET, NODE, POD
from tests.lab.controllers.ending import end
from tests.lab.controllers.world import Cluster, cluster

Obj = dict[str, Any]


def make(lab: Cluster, pod: Obj | None = None, **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "main", "image": "busybox"}], **(pod or {})}}
    body = {"metadata": {"name": "agent"}, "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template, **spec}}
    return lab.registry.create(DAEMON_SET, body, "demo")


def status(lab: Cluster) -> Obj:
    found: Obj = lab.registry.get(DAEMON_SET, "demo", "agent")["status"]
    return found


def places(lab: Cluster) -> list[str]:
    return sorted(pod["spec"].get("nodeName", "") for pod in lab.pods() if "deletionTimestamp" not in pod["metadata"])


def renew(lab: Cluster) -> None:
    def change(one: Obj) -> None:
        one["spec"]["template"]["metadata"]["annotations"] = {"note": "new"}

    lab.registry.modify(DAEMON_SET, "demo", "agent", change)


def renewed(lab: Cluster, nodes: int) -> bool:
    now = status(lab)
    return bool(now["observedGeneration"] == 2 and now.get("updatedNumberScheduled") == now.get("numberAvailable") == nodes)


async def test_every_node_has_one_and_so_does_one_that_joins() -> None:
    async with cluster(nodes=3) as lab:
        make(lab)
        await lab.until(lambda: status(lab).get("numberAvailable") == 3)
        assert places(lab) == ["node1", "node2", "node3"]
        lab.add_node("node4")
        await lab.until(lambda: places(lab) == ["node1", "node2", "node3", "node4"])
        assert {one["key"] for one in lab.pods()[0]["spec"]["tolerations"]} > {"node.kubernetes.io/unschedulable"}


async def test_cordoned_nodes_keep_theirs_and_tainted_ones_do_not() -> None:
    async with cluster(nodes=2) as lab:
        make(lab)
        await lab.until(lambda: status(lab).get("numberAvailable") == 2)
        lab.registry.modify(NODE, "", "node1", lambda node: node["spec"].update(unschedulable=True))
        await lab.settle()
        assert places(lab) == ["node1", "node2"] and status(lab)["desiredNumberScheduled"] == 2
        lab.registry.modify(NODE, "", "node2", lambda node: node["spec"].update(taints=[{"key": "k", "effect": "NoExecute"}]))
        await lab.until(lambda: places(lab) == ["node1"] and status(lab)["desiredNumberScheduled"] == 1)


async def test_a_selector_decides_where() -> None:
    async with cluster(nodes=1) as lab:
        lab.add_node("big", labels={"size": "big"})
        make(lab, {"nodeSelector": {"size": "big"}})
        await lab.until(lambda: places(lab) == ["big"])
        lab.registry.modify(NODE, "", "node1", lambda node: node["metadata"]["labels"].update(size="big"))
        await lab.until(lambda: places(lab) == ["big", "node1"])


async def test_a_new_template_takes_one_node_after_the_other() -> None:
    async with cluster(nodes=3) as lab:
        make(lab)
        await lab.until(lambda: status(lab).get("numberAvailable") == 3)
        renew(lab)
        await lab.until(lambda: renewed(lab, 3))
        ready = [event.object["status"].get("numberAvailable", 0) for event in lab.history(DAEMON_SET)]
        assert min(ready[ready.index(3) :]) == 2
        assert {pod["metadata"]["labels"]["pod-template-generation"] for pod in lab.pods()} == {"2"}


async def test_with_a_surge_the_new_one_comes_first() -> None:
    async with cluster(nodes=2) as lab:
        make(lab, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
        await lab.until(lambda: status(lab).get("numberAvailable") == 2)
        renew(lab)
        await lab.until(lambda: renewed(lab, 2) and len(lab.pods()) == 2)
        types = [event.type for event in lab.history(POD) if event.type != "MODIFIED"]
        assert types[2] == "ADDED" and types.count("DELETED") == 2
        available = [event.object["status"].get("numberAvailable", 0) for event in lab.history(DAEMON_SET)]
        assert min(available[available.index(2) :]) == 2


async def test_a_pod_that_failed_is_replaced() -> None:
    async with cluster() as lab:
        make(lab)
        await lab.until(lambda: status(lab).get("numberAvailable") == 1)
        before = lab.pods()[0]
        end(lab, before, 1)
        await lab.until(lambda: status(lab).get("numberAvailable") == 1 and lab.pods()[0]["metadata"]["name"] != before["metadata"]["name"])
