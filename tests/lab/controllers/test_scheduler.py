"""Where pods go, and what is said when they can go nowhere."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from lab.controllers.scheduler_nodes import pod_requests
from lab.kubernetes.kinds import EVENT, NODE, POD
from tests.lab.controllers.world import Cluster, cluster

Obj = dict[str, Any]

UNHELPFUL = "no new claims to deallocate, preemption: 0/{n} nodes are available: {n} Preemption is not helpful for scheduling."
NO_VICTIMS = "no new claims to deallocate, preemption: 0/{n} nodes are available: {n} No preemption victims found for incoming pod."


def pod(lab: Cluster, name: str, labels: Obj | None = None, container: Obj | None = None, **spec: Any) -> Obj:
    body = {"metadata": {"name": name, "labels": labels or {}}, "spec": {"containers": [{"name": "main", "image": "x", **(container or {})}], **spec}}
    return lab.registry.create(POD, body, "demo")


def node_of(lab: Cluster, name: str) -> Any:
    return lab.registry.get(POD, "demo", name)["spec"].get("nodeName")


def message(lab: Cluster, name: str) -> str:
    (condition,) = lab.registry.get(POD, "demo", name)["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")
    return str(condition["message"])


def requests(**amounts: str) -> Obj:
    return {"resources": {"requests": {key.replace("_", "-"): value for key, value in amounts.items()}}}


def away_from(labels: Obj, kind: str = "podAntiAffinity") -> Obj:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


async def test_a_scheduled_pod_has_node_condition_and_event_in_the_new_form() -> None:
    async with cluster() as lab:
        lab.nodes.stuck = lambda one: True
        made = pod(lab, "a")
        await lab.settle()
        found = lab.registry.get(POD, "demo", "a")
        assert found["metadata"]["generation"] == 1
        (condition,) = found["status"]["conditions"]
        assert {key: condition[key] for key in ("type", "status", "lastProbeTime")} == {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
        }
        (event,) = lab.registry.list(EVENT, "demo")
        assert event["message"] == "Successfully assigned demo/a to node1"
        assert (event["action"], event["reason"], event["type"], event["source"]) == ("Binding", "Scheduled", "Normal", {})
        assert (event["firstTimestamp"], event["lastTimestamp"]) == (None, None)
        assert "count" not in event
        assert event["involvedObject"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        assert event["reportingComponent"] == "default-scheduler"


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"container": requests(cpu="1000", memory="1Ti")}, "2 Insufficient cpu, 2 Insufficient memory. " + UNHELPFUL),
        ({"container": requests(ephemeral_storage="1Ti")}, "2 Insufficient ephemeral-storage. " + UNHELPFUL),
        ({"nodeSelector": {"disk": "fast"}}, "2 node(s) didn't match Pod's node affinity/selector. " + UNHELPFUL),
        ({"affinity": away_from({"app": "nobody"}, "podAffinity")}, "2 node(s) didn't match pod affinity rules. " + UNHELPFUL),
    ],
)
async def test_what_is_said_when_no_node_will_ever_do(wish: Obj, why: str) -> None:
    async with cluster(nodes=2) as lab:
        pod(lab, "a", **wish)
        await lab.settle()
        expected = f"0/2 nodes are available: {why.format(n=2)}"
        assert message(lab, "a") == expected
        (event,) = lab.registry.list(EVENT, "demo")
        assert (event["reason"], event["type"], event["action"], event["message"]) == ("FailedScheduling", "Warning", "Scheduling", expected)


async def test_a_full_node_may_get_room_and_then_takes_the_pod() -> None:
    async with cluster() as lab:
        pod(lab, "big", container=requests(cpu="10"))
        await lab.settle()
        pod(lab, "next", container=requests(cpu="10"))
        await lab.settle()
        assert message(lab, "next") == f"0/1 nodes are available: 1 Insufficient cpu. {NO_VICTIMS.format(n=1)}"
        lab.registry.delete(POD, "demo", "big")
        await lab.until(lambda: node_of(lab, "next") == "node1")


async def test_cordon_and_taints_are_named_and_tried_again_when_they_go() -> None:
    async with cluster() as lab:
        lab.registry.modify(NODE, "", "node1", lambda node: node["spec"].update(unschedulable=True))
        pod(lab, "a")
        await lab.settle()
        assert message(lab, "a") == f"0/1 nodes are available: 1 node(s) were unschedulable. {UNHELPFUL.format(n=1)}"
        (taint,) = lab.registry.get(NODE, "", "node1")["spec"]["taints"]
        assert (taint["key"], taint["effect"]) == ("node.kubernetes.io/unschedulable", "NoSchedule")
        taints = [{"key": "k", "value": "v", "effect": "NoSchedule"}]
        lab.registry.modify(NODE, "", "node1", lambda node: node.update(spec={"taints": taints}))
        await lab.settle()
        assert message(lab, "a") == f"0/1 nodes are available: 1 node(s) had untolerated taint(s). {UNHELPFUL.format(n=1)}"
        pod(lab, "b", tolerations=[{"key": "k", "operator": "Equal", "value": "v"}])
        await lab.until(lambda: node_of(lab, "b") == "node1")
        lab.registry.modify(NODE, "", "node1", lambda node: node.update(spec={}))
        await lab.until(lambda: node_of(lab, "a") == "node1")


async def test_without_nodes_a_pod_waits_for_the_first() -> None:
    async with cluster(nodes=0) as lab:
        pod(lab, "a")
        await lab.settle()
        assert message(lab, "a") == "no nodes available to schedule pods"
        lab.add_node("late")
        await lab.until(lambda: node_of(lab, "a") == "late")


async def test_host_ports_are_taken_once_per_node() -> None:
    async with cluster(nodes=2) as lab:
        port = {"ports": [{"containerPort": 7513, "hostPort": 7513}]}
        for name in ("a", "b", "c"):
            pod(lab, name, container=port)
        pod(lab, "udp", container={"ports": [{"containerPort": 7513, "hostPort": 7513, "protocol": "UDP"}]})
        await lab.settle()
        assert {node_of(lab, "a"), node_of(lab, "b")} == {"node1", "node2"}
        expected = "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports. "
        assert message(lab, "c") == expected + NO_VICTIMS.format(n=2)
        assert node_of(lab, "udp")


async def test_pods_spread_over_nodes_by_what_is_left() -> None:
    async with cluster(nodes=4) as lab:
        for number in range(12):
            pod(lab, f"p{number}", container=requests(cpu="1", memory="1Gi"))
        await lab.settle()
        assert Counter(one["spec"]["nodeName"] for one in lab.pods()) == {f"node{number}": 3 for number in (1, 2, 3, 4)}


async def test_node_affinity_by_label_and_by_name() -> None:
    async with cluster(nodes=3) as lab:

        def required(**term: Any) -> Obj:
            return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}

        pod(lab, "field", affinity=required(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["node3"]}]))
        wish = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["node1", "node3"]}
        pod(lab, "label", affinity=required(matchExpressions=[wish]))
        preference = {"weight": 10, "preference": {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node3"]}]}}
        pod(lab, "soft", affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preference]}})
        await lab.settle()
        assert [node_of(lab, name) for name in ("field", "label", "soft")] == ["node3", "node2", "node3"]


async def test_anti_affinity_keeps_pods_apart_from_both_sides() -> None:
    async with cluster(nodes=2) as lab:
        miner = {"app": "miner"}
        for name in ("a", "b", "c"):
            pod(lab, name, miner, affinity=away_from(miner))
        await lab.settle()
        assert {node_of(lab, "a"), node_of(lab, "b")} == {"node1", "node2"}
        assert message(lab, "c") == f"0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules. {NO_VICTIMS.format(n=2)}"
        pod(lab, "plain", miner)
        await lab.settle()
        assert (
            message(lab, "plain") == f"0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules. {NO_VICTIMS.format(n=2)}"
        )
        lab.registry.delete(POD, "demo", "a")
        await lab.until(lambda: node_of(lab, "c") or node_of(lab, "plain"))


async def test_affinity_brings_a_group_together_on_the_node_of_its_first() -> None:
    async with cluster(nodes=3) as lab:
        for name in ("a", "b", "c"):
            pod(lab, name, {"group": "g"}, affinity=away_from({"group": "g"}, "podAffinity"))
        await lab.settle()
        assert len({node_of(lab, name) for name in ("a", "b", "c")}) == 1


async def test_hard_topology_spread_is_kept_and_soft_is_no_reason_to_wait() -> None:
    async with cluster(nodes=2) as lab:
        wish = {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"s": "1"}},
        }
        for number in range(4):
            pod(lab, f"p{number}", {"s": "1"}, topologySpreadConstraints=[wish])
        await lab.settle()
        assert sorted(Counter(one["spec"]["nodeName"] for one in lab.pods()).values()) == [2, 2]
        lab.add_node("odd", labels={"kubernetes.io/hostname": "odd"}, spec={"taints": [{"key": "k", "effect": "NoSchedule"}]})
        for name, when in (("hard", "DoNotSchedule"), ("soft", "ScheduleAnyway")):
            pod(lab, name, {"s": "1"}, topologySpreadConstraints=[{**wish, "whenUnsatisfiable": when}])
        await lab.settle()
        assert "2 node(s) didn't match pod topology spread constraints" in message(lab, "hard")
        assert "1 node(s) had untolerated taint(s)" in message(lab, "hard")
        assert node_of(lab, "soft")


async def test_pods_of_other_schedulers_and_gated_ones_are_left_alone() -> None:
    async with cluster() as lab:
        pod(lab, "other", schedulerName="mine")
        pod(lab, "gated", schedulingGates=[{"name": "example.dev/wait"}])
        await lab.settle()
        assert [node_of(lab, name) for name in ("other", "gated")] == [None, None]


def test_requests_of_a_pod_are_its_containers_or_a_larger_init_container_plus_sidecars() -> None:
    def wants(cpu: str, **more: Any) -> Obj:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {"containers": [wants("1"), wants("500m")], "initContainers": [wants("200m", restartPolicy="Always"), wants("2")]}
    assert pod_requests({"spec": spec}) == {"cpu": 2200}
    assert pod_requests({"spec": {**spec, "overhead": {"cpu": "100m"}}}) == {"cpu": 2300}
    assert pod_requests({"spec": {**spec, "initContainers": []}}) == {"cpu": 1500}
