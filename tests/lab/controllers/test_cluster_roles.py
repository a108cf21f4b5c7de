"""Roles made of others."""

from __future__ import annotations

import asyncio
from typing import Any

from lab.clock import Clock
from lab.controllers.cluster_roles import ClusterRoleAggregation
from lab.kubernetes.auth import User
from lab.kubernetes.bootstrap import bootstrap
from lab.kubernetes.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, NAMESPACE
from lab.kubernetes.rbac import Attributes, allowed
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

SHIPS = {"apiGroups": ["demo.example.dev"], "resources": ["ships"], "verbs": ["get"]}


async def settled(registry: Registry) -> None:
    """Let the controller do what there is to do."""
    version = -1
    while version != registry.store.version:
        version = registry.store.version
        await asyncio.sleep(0.02)


async def test_a_label_adds_rules_to_the_roles_that_everybody_has() -> None:
    registry = Registry(Clock(1000))
    registry.create(NAMESPACE, {"metadata": {"name": "kube-system"}})
    bootstrap(registry)
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}
    registry.create(CLUSTER_ROLE_BINDING, {"metadata": {"name": "jane"}, "roleRef": ref, "subjects": [{"kind": "User", "name": "jane"}]})
    jane, ships = User("jane"), Attributes("get", "demo.example.dev", "ships")
    task = asyncio.create_task(ClusterRoleAggregation(registry).run())
    await settled(registry)
    assert allowed(registry, jane, Attributes("delete", "", "pods"))
    assert not allowed(registry, jane, ships)
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    registry.create(CLUSTER_ROLE, {"metadata": {"name": "ships", "labels": labels}, "rules": [SHIPS]})
    await settled(registry)
    assert allowed(registry, jane, ships)  # by way of view, edit and admin
    registry.delete(CLUSTER_ROLE, "", "ships")
    await settled(registry)
    assert not allowed(registry, jane, ships)
    task.cancel()


async def test_a_role_without_a_rule_of_aggregation_keeps_its_own() -> None:
    registry = Registry(Clock(1000))
    role: Obj = {"metadata": {"name": "mine", "labels": {"a": "b"}}, "rules": [SHIPS]}
    registry.create(CLUSTER_ROLE, role)
    selectors = [{"matchLabels": {"a": "b"}}]
    registry.create(CLUSTER_ROLE, {"metadata": {"name": "sum"}, "rules": [], "aggregationRule": {"clusterRoleSelectors": selectors}})
    task = asyncio.create_task(ClusterRoleAggregation(registry).run())
    await settled(registry)
    assert registry.get(CLUSTER_ROLE, "", "sum")["rules"] == [SHIPS]
    assert registry.get(CLUSTER_ROLE, "", "mine")["rules"] == [SHIPS]
    task.cancel()
