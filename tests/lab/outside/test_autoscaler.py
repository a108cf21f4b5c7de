"""How many nodes the autoscaler thinks that pods need."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lab.kubelet.nodes import NodeSpec, make_node
from lab.outside.autoscaler import nodes_needed

Obj = dict[str, Any]
NODE = make_node(NodeSpec("n", "127.0.0.1", "", cpu="4", memory="16Gi", labels={"role": "miner"}), 0, datetime(2026, 1, 1, tzinfo=UTC))


def pod(name: str, cpu: str, **spec: Any) -> Obj:
    ports = [{"containerPort": 1, "hostPort": spec.pop("host_port")}] if "host_port" in spec else []
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}, "ports": ports}
    return {"metadata": {"name": name, "namespace": "x"}, "spec": {"containers": [container], **spec}}


def test_pods_share_nodes() -> None:
    count, placed = nodes_needed([pod("a", "1"), pod("b", "2500m"), pod("c", "1"), pod("d", "2500m")], NODE)
    assert (count, [one["metadata"]["name"] for one in placed]) == (2, ["b", "d", "a", "c"])


def test_host_ports_keep_pods_apart() -> None:
    assert nodes_needed([pod(str(n), "100m", host_port=7513) for n in range(3)], NODE)[0] == 3


def test_pods_that_no_such_node_helps() -> None:
    assert nodes_needed([pod("big", "5"), pod("elsewhere", "1", nodeSelector={"role": "poet"})], NODE) == (0, [])
    tainted = {**NODE, "spec": {"taints": [{"key": "big", "effect": "NoSchedule"}]}}
    assert nodes_needed([pod("a", "1")], tainted) == (0, [])
