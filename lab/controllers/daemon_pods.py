"""Pods of a daemon set: where they belong and what they look like. Pure functions."""

from __future__ import annotations

import math
from typing import Any

from lab.controllers.histories import REVISION_LABEL
from lab.controllers.node_match import untolerated, wants_node
from lab.controllers.objects import controller_reference
from lab.kubernetes.kinds import DAEMON_SET
from lab.kubernetes.selectors import labels_of

Obj = dict[str, Any]

GENERATION = "deprecated.daemonset.template.generation"
GENERATION_LABEL = "pod-template-generation"
_PREFIX = "node.kubernetes.io/"
_TOLERATED = (
    ("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("disk-pressure", "NoSchedule"), ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"), ("unschedulable", "NoSchedule"),
)  # fmt: skip


def new_pod(daemon_set: Obj, revision: str, node: str) -> Obj:
    """The pod for one node."""
    template, name = daemon_set["spec"]["template"], daemon_set["metadata"]["name"]
    meta, generation = template.get("metadata") or {}, (daemon_set["metadata"].get("annotations") or {}).get(GENERATION)
    labels = {**(meta.get("labels") or {}), REVISION_LABEL: revision, **({GENERATION_LABEL: generation} if generation else {})}
    spec = {**_tolerant(template["spec"]), "affinity": _bound_to(template["spec"].get("affinity"), node)}
    wanted = {"annotations": meta.get("annotations"), "finalizers": meta.get("finalizers")}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{name}-",
            "labels": labels,
            **{key: value for key, value in wanted.items() if value},
            "ownerReferences": [controller_reference(DAEMON_SET, daemon_set)],
        },
        "spec": spec,
    }


def _tolerant(spec: Obj) -> Obj:
    """With the tolerations that keep a daemon where it is whatever its node's state."""
    added = [*_TOLERATED, *([("network-unavailable", "NoSchedule")] if spec.get("hostNetwork") else [])]
    own = [{"key": f"{_PREFIX}{key}", "operator": "Exists", "effect": effect} for key, effect in added]
    return {**spec, "tolerations": [*(one for one in spec.get("tolerations") or () if one not in own), *own]}


def _bound_to(affinity: Obj | None, node: str) -> Obj:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    by_node = {**((affinity or {}).get("nodeAffinity") or {}), "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {**(affinity or {}), "nodeAffinity": by_node}


def belongs_on(daemon_set: Obj, node: Obj) -> tuple[bool, bool]:
    """Whether a node should get a pod, and whether one that is there may stay."""
    spec = daemon_set["spec"]["template"]["spec"]
    pod = {"spec": _tolerant(spec)}
    if spec.get("nodeName", node["metadata"]["name"]) != node["metadata"]["name"] or not wants_node(pod, node):
        return False, False
    taints = node["spec"].get("taints") or ()
    stays = untolerated(pod, taints, ("NoExecute",)) is None
    return stays and untolerated(pod, taints, ("NoSchedule",)) is None, stays


def node_of(pod: Obj) -> str:
    """The node that a pod is on, or made for."""
    spec = pod["spec"]
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for wish in term.get("matchFields") or ():
            if wish["key"] == "metadata.name" and wish.get("values"):
                return str(wish["values"][0])
    return ""


def is_updated(pod: Obj, revision: str) -> bool:
    """Whether a pod has the present template."""
    return labels_of(pod).get(REVISION_LABEL) == revision


def allowances(daemon_set: Obj, desired: int) -> tuple[int, int]:
    """maxSurge and maxUnavailable in numbers of nodes, percentages rounded up; they cannot both be 0."""
    rolling = daemon_set["spec"]["updateStrategy"].get("rollingUpdate") or {}
    surge, unavailable = (_scaled(rolling.get(key, 0), desired) for key in ("maxSurge", "maxUnavailable"))
    return (surge, unavailable) if surge or unavailable else (0, 1)


def _scaled(value: Any, of: int) -> int:
    return math.ceil(of * int(value.rstrip("%")) / 100) if isinstance(value, str) else int(value)
