"""ClusterRoles that are made of others: whoever carries the right label adds its rules to `view`, `edit`, `admin`, and to any other such role."""

from __future__ import annotations

from typing import Any

from lab.controllers.controller import Controller, Key
from lab.kubernetes.context import Context
from lab.kubernetes.kinds import CLUSTER_ROLE
from lab.kubernetes.selectors import labels_of, match_selector
from lab.kubernetes.store import Event

Obj = dict[str, Any]

_AGGREGATOR = Context("system:serviceaccount:kube-system:clusterrole-aggregation-controller", ("system:masters",),
                      manager="clusterrole-aggregation-controller")  # fmt: skip


class ClusterRoleAggregation(Controller):
    """Keeps the rules of aggregated roles."""

    watches = (CLUSTER_ROLE,)

    def on_event(self, event: Event) -> None:
        for role in self.store.items(CLUSTER_ROLE):
            if role.get("aggregationRule"):
                self.queue.add(("", role["metadata"]["name"]))

    def sync(self, key: Key) -> None:
        role = self.registry.find(CLUSTER_ROLE, "", key[1])
        if role is None or not role.get("aggregationRule"):
            return
        rules = self._rules(role)
        if rules != (role.get("rules") or []):

            def change(target: Obj) -> None:
                target["rules"] = rules

            self.registry.modify(CLUSTER_ROLE, "", key[1], change, ctx=_AGGREGATOR)

    def _rules(self, role: Obj) -> list[Obj]:
        """The rules of all roles that are wanted, in the order of their names, each once."""
        rules: list[Obj] = []
        for selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
            wanted = match_selector(selector)
            for other in self.store.items(CLUSTER_ROLE):
                if other["metadata"]["name"] != role["metadata"]["name"] and selector and wanted(labels_of(other)):
                    rules += [rule for rule in other.get("rules") or () if rule not in rules]
        return rules
