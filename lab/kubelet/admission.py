"""Whether a node takes a pod that was bound to it: the scheduler asked the same before, but a pod may also be bound by hand."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from lab.controllers.node_match import untolerated, wants_node
from lab.kubernetes.quantity import parse

Obj = dict[str, Any]


def refusal(pod: Obj, node: Obj, others: Iterable[Obj]) -> tuple[str, str] | None:
    """Reason and message of a refusal; None when the pod may run. `others` are the pods that run there already."""
    others = list(others)
    return _resources(pod, node, others) or _affinity(pod, node) or _ports(pod, others) or _taints(pod, node)


def requests(pod: Obj) -> dict[str, Decimal]:
    """What a pod asks for: the sum of its containers, or the largest init container if that is more."""
    spec = pod["spec"]
    total: dict[str, Decimal] = {}
    for container in (*spec["containers"], *(one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always")):
        for name, amount in ((container.get("resources") or {}).get("requests") or {}).items():
            total[name] = total.get(name, Decimal(0)) + parse(amount)
    for container in spec.get("initContainers") or ():
        for name, amount in ((container.get("resources") or {}).get("requests") or {}).items():
            total[name] = max(total.get(name, Decimal(0)), parse(amount))
    return total


def _resources(pod: Obj, node: Obj, others: list[Obj]) -> tuple[str, str] | None:
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    if len(others) + 1 > int(parse(allocatable.get("pods", "110"))):
        count = allocatable.get("pods", "110")
        return "OutOfpods", f"Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: {len(others)}, capacity: {count}"
    wanted = requests(pod)
    if not wanted:
        return None
    used: dict[str, Decimal] = {}
    for other in others:
        for name, amount in requests(other).items():
            used[name] = used.get(name, Decimal(0)) + amount
    for name, amount in wanted.items():
        capacity = parse(allocatable.get(name, "0"))
        if amount and used.get(name, Decimal(0)) + amount > capacity:
            unit = 1000 if name == "cpu" else 1
            numbers = f"requested: {int(amount * unit)}, used: {int(used.get(name, Decimal(0)) * unit)}, capacity: {int(capacity * unit)}"
            return f"OutOf{name}", f"Pod was rejected: Node didn't have enough resource: {name}, {numbers}"
    return None


def _affinity(pod: Obj, node: Obj) -> tuple[str, str] | None:
    if wants_node(pod, node):
        return None
    return "NodeAffinity", "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"


def host_ports(pod: Obj) -> set[tuple[str, str, int]]:
    """Protocol, address ("" for all) and port of everything a pod wants on its node."""
    found = set()
    for container in (*pod["spec"]["containers"], *(one for one in pod["spec"].get("initContainers") or () if one.get("restartPolicy") == "Always")):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                address = port.get("hostIP") or ""
                found.add((port.get("protocol", "TCP"), "" if address == "0.0.0.0" else address, port["hostPort"]))
    return found


def _ports(pod: Obj, others: list[Obj]) -> tuple[str, str] | None:
    wanted = host_ports(pod)
    if not wanted:
        return None
    taken = set().union(*(host_ports(other) for other in others)) if others else set()
    for protocol, address, port in wanted:
        if any(one[0] == protocol and one[2] == port and (not address or not one[1] or address == one[1]) for one in taken):
            return "NodePorts", "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
    return None


def _taints(pod: Obj, node: Obj) -> tuple[str, str] | None:
    taint = untolerated(pod, node["spec"].get("taints") or (), ("NoExecute",))
    if taint is None:
        return None
    text = f"{taint['key']}: {taint.get('value', '')}"
    return "TaintToleration", f"Pod was rejected: Predicate TaintToleration failed: node(s) had untolerated taint {{{text}}}"
