"""Pods that want to be near or away from other pods: affinity, anti-affinity, topology spread."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.controllers.node_match import untolerated, wants_node
from lab.controllers.objects import is_deleting
from lab.controllers.scheduler_nodes import Cluster
from lab.kubernetes.kinds import NAMESPACE, NODE
from lab.kubernetes.registry import Registry
from lab.kubernetes.selectors import labels_of, match_selector

Obj = dict[str, Any]
Domain = tuple[str, str]  # topology key and value

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def _terms(pod: Obj, side: str) -> list[Obj]:
    return ((pod["spec"].get("affinity") or {}).get(side) or {}).get(_REQUIRED) or []


class Neighbours:
    """What the pods that already have nodes mean for one more."""

    def __init__(self, registry: Registry, cluster: Cluster, pod: Obj) -> None:
        self._registry = registry
        self._cluster = cluster
        self._pod = pod
        self._near = [(term, self._domains_of(pod, term)) for term in _terms(pod, "podAffinity")]
        self._away = [(term, self._domains_of(pod, term)) for term in _terms(pod, "podAntiAffinity")]
        self._shunned = self._domains_that_shun()
        self._preferred: list[tuple[int, str, dict[Domain, int]]] | None = None
        self._spread = [(wish, self._spread_counts(wish)) for wish in self._hard_spread()]

    def refusal(self, node: Obj) -> tuple[str, bool] | None:
        """Why not this node, and whether no pod's leaving would help."""
        labels = labels_of(node)
        for wish, counts in self._spread:
            domain = labels.get(wish["topologyKey"])
            if domain is None:
                return "node(s) didn't match pod topology spread constraints (missing required label)", True
            own = int(self._selector(wish)(labels_of(self._pod)))
            if counts.get(domain, 0) + own - min(counts.values(), default=0) > wish["maxSkew"]:
                return "node(s) didn't match pod topology spread constraints", False
        for term, domains in self._near:
            if not self._is_near(term, domains, labels):
                return "node(s) didn't match pod affinity rules", True
        for term, domains in self._away:
            if (term["topologyKey"], labels.get(term["topologyKey"], "")) in domains:
                return "node(s) didn't match pod anti-affinity rules", False
        if any(labels.get(key) == value for key, value in self._shunned):
            return "node(s) didn't satisfy existing pods anti-affinity rules", False
        return None

    def preference(self, node: Obj) -> int:
        """The sum of weights that preferred affinities give a node."""
        if self._preferred is None:
            self._preferred = self._preferences()
        labels = labels_of(node)
        return sum(weight * domains.get((key, labels.get(key, "")), 0) for weight, key, domains in self._preferred)

    def _preferences(self) -> list[tuple[int, str, dict[Domain, int]]]:
        found = []
        for side, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
            for wish in ((self._pod["spec"].get("affinity") or {}).get(side) or {}).get(_PREFERRED) or ():
                term = wish["podAffinityTerm"]
                found.append((sign * wish["weight"], term["topologyKey"], self._domains_of(self._pod, term)))
        return found

    def _is_near(self, term: Obj, domains: dict[Domain, int], labels: Any) -> bool:
        value = labels.get(term["topologyKey"])
        if value is None:
            return False
        if not domains and self._term_wants(self._pod, term, self._pod):
            return True  # the first of a group that wants to be together
        return (term["topologyKey"], value) in domains

    def _term_wants(self, owner: Obj, term: Obj, other: Obj) -> bool:
        """Whether a term of one pod is about another."""
        if other["metadata"]["namespace"] not in self._namespaces(owner, term) or "labelSelector" not in term:
            return False
        return match_selector(term["labelSelector"])(labels_of(other))

    def _namespaces(self, owner: Obj, term: Obj) -> set[str]:
        names = set(term.get("namespaces") or ())
        if "namespaceSelector" in term:
            names |= {one["metadata"]["name"] for one in self._registry.list(NAMESPACE, labels=term["namespaceSelector"])}
        return names or {owner["metadata"]["namespace"]}

    def _pods(self) -> Iterable[tuple[Obj, Obj]]:
        """Every pod with its node."""
        for room in self._cluster.nodes():
            if room.node is not None:
                for one in room.pods.values():
                    yield one.pod, room.node

    def _domains_of(self, owner: Obj, term: Obj) -> dict[Domain, int]:
        """Where pods that a term is about are, and how many."""
        key, found = term["topologyKey"], dict[Domain, int]()
        for pod, node in self._pods():
            if self._term_wants(owner, term, pod) and (value := labels_of(node).get(key)) is not None:
                found[(key, value)] = found.get((key, value), 0) + 1
        return found

    def _domains_that_shun(self) -> set[Domain]:
        """Where a pod sits that does not want this one near."""
        found = set()
        for uid, other in self._cluster.with_anti_affinity.items():
            node = self._registry.find(NODE, "", self._cluster.node_of(uid) or "")
            for term in _terms(other, "podAntiAffinity"):
                if node is not None and self._term_wants(other, term, self._pod) and (value := labels_of(node).get(term["topologyKey"])) is not None:
                    found.add((term["topologyKey"], value))
        return found

    # Topology spread

    def _hard_spread(self) -> list[Obj]:
        wishes = self._pod["spec"].get("topologySpreadConstraints") or ()
        return [one for one in wishes if one.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"]

    def _selector(self, wish: Obj) -> Any:
        if "labelSelector" not in wish:
            return lambda labels: False
        test = match_selector(wish["labelSelector"])
        same = {key: labels_of(self._pod)[key] for key in wish.get("matchLabelKeys") or () if key in labels_of(self._pod)}
        return lambda labels: test(labels) and same.items() <= labels.items()

    def _spread_counts(self, wish: Obj) -> dict[str, int]:
        """How many matching pods each domain has, of nodes that the pod could be on."""
        test, key, counts = self._selector(wish), wish["topologyKey"], dict[str, int]()
        for room in self._cluster.nodes():
            node = room.node
            if node is None or (value := labels_of(node).get(key)) is None:
                continue
            if wish.get("nodeAffinityPolicy", "Honor") == "Honor" and not wants_node(self._pod, node):
                continue
            taints = (node.get("spec") or {}).get("taints") or ()
            if wish.get("nodeTaintsPolicy", "Ignore") == "Honor" and untolerated(self._pod, taints, ("NoSchedule", "NoExecute")):
                continue
            namespace = self._pod["metadata"]["namespace"]
            here = (one.pod for one in room.pods.values())
            number = sum(pod["metadata"]["namespace"] == namespace and not is_deleting(pod) and test(labels_of(pod)) for pod in here)
            counts[value] = counts.get(value, 0) + number
        return counts
