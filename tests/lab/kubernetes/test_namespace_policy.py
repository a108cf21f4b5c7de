"""What a namespace forbids: Pod Security levels, quotas with scopes and by class, LimitRanges of Pods and claims."""

from __future__ import annotations

from typing import Any

import pytest

from lab.kubernetes.context import Context
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import DEPLOYMENT, LIMIT_RANGE, NAMESPACE, POD, PVC, RESOURCE_QUOTA, SERVICE
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

QUIET = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(registry: Registry, name: str = "p", container: Obj | None = None, **spec: Any) -> Obj:
    """Make a Pod of one container."""
    containers = [{"name": "m", "image": "x", **(container or {})}]
    return registry.create(POD, {"metadata": {"name": name}, "spec": {"containers": containers, **spec}}, "demo")


def label(registry: Registry, **levels: str) -> None:
    """Give the namespace Pod Security levels."""

    def change(namespace: Obj) -> None:
        namespace["metadata"].setdefault("labels", {}).update({f"pod-security.kubernetes.io/{mode}": level for mode, level in levels.items()})

    registry.modify(NAMESPACE, "", "demo", change)


def quota(registry: Registry, hard: Obj, **spec: Any) -> None:
    """A quota named q."""
    registry.create(RESOURCE_QUOTA, {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}}, "demo")


def test_restricted_names_everything_that_is_wrong(registry: Registry) -> None:
    label(registry, enforce="restricted")
    with pytest.raises(ApiError) as refused:
        pod(registry)
    assert refused.value.message == (
        'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "m" must set '
        'securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "m" must set '
        'securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "m" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "m" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
    )
    pod(registry, container={"securityContext": QUIET})


BASELINE = [
    ({"hostNetwork": True}, {}, "host namespaces (hostNetwork=true)"),
    ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, {}, 'hostPath volumes (volume "v")'),
    ({}, {"ports": [{"containerPort": 80, "hostPort": 80}]}, 'hostPort (container "m" uses hostPort 80)'),
    ({}, {"securityContext": {"privileged": True}}, 'privileged (container "m" must not set securityContext.privileged=true)'),
    ({}, {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}, 'must not include "NET_ADMIN" in securityContext.capabilities.add'),
    ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, {}, "seccompProfile (pod must not set"),
    ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, {}, "forbidden sysctls (kernel.msgmax)"),
]


@pytest.mark.parametrize(("spec", "container", "message"), BASELINE)
def test_baseline(registry: Registry, spec: Obj, container: Obj, message: str) -> None:
    label(registry, enforce="baseline")
    with pytest.raises(ApiError) as refused:
        pod(registry, container=container, **spec)
    assert message in refused.value.message
    pod(registry)


def test_a_deployment_is_only_warned_of(registry: Registry) -> None:
    label(registry, enforce="restricted", warn="restricted")
    warnings: list[str] = []
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "m", "image": "x"}]}}
    body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    registry.create(DEPLOYMENT, body, "demo", Context("jane", warnings=warnings))
    assert len(warnings) == 1
    assert warnings[0].startswith('would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false')


def test_a_quota_with_scopes_is_about_some_pods(registry: Registry) -> None:
    quota(registry, {"pods": "0"}, scopes=["BestEffort"])
    with pytest.raises(ApiError, match="exceeded quota: q"):
        pod(registry)
    pod(registry, container={"resources": {"requests": {"cpu": "1"}}})
    assert registry.get(RESOURCE_QUOTA, "demo", "q")["status"]["used"] == {"pods": "0"}


def test_a_quota_by_priority(registry: Registry) -> None:
    wish = {"scopeName": "PriorityClass", "operator": "DoesNotExist"}
    quota(registry, {"pods": "1"}, scopeSelector={"matchExpressions": [wish]})
    pod(registry)
    with pytest.raises(ApiError, match="exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"):
        pod(registry, "q")


def test_a_quota_by_storage_class(registry: Registry) -> None:
    quota(registry, {"fast.storageclass.storage.k8s.io/requests.storage": "5Gi", "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "2"})

    def claim(name: str, storage_class: str, size: str) -> None:
        spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class, "resources": {"requests": {"storage": size}}}
        registry.create(PVC, {"metadata": {"name": name}, "spec": spec}, "demo")

    claim("a", "fast", "4Gi")
    claim("b", "slow", "400Gi")
    with pytest.raises(ApiError, match="exceeded quota: q"):
        claim("c", "fast", "2Gi")
    used = registry.get(RESOURCE_QUOTA, "demo", "q")["status"]["used"]
    assert used["fast.storageclass.storage.k8s.io/persistentvolumeclaims"] == "1"


def test_node_ports_and_gpus_are_counted(registry: Registry) -> None:
    quota(registry, {"services.nodeports": "1", "requests.nvidia.com/gpu": "1"})
    registry.create(SERVICE, {"metadata": {"name": "a"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}, "demo")
    with pytest.raises(ApiError, match=r"requested: services\.nodeports=1, used: services\.nodeports=1"):
        registry.create(SERVICE, {"metadata": {"name": "b"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}, "demo")
    with pytest.raises(ApiError, match=r"requested: requests\.nvidia\.com/gpu=2"):
        pod(registry, container={"resources": {"limits": {"nvidia.com/gpu": "2"}, "requests": {"nvidia.com/gpu": "2"}}})


LIMITS = [
    ({"type": "Pod", "max": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, "maximum cpu usage per Pod is 1, but limit is 2"),
    ({"type": "Pod", "min": {"cpu": "1"}}, {"requests": {"cpu": "500m"}}, "minimum cpu usage per Pod is 1, but request is 500m"),
    (
        {"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}},
        {"limits": {"cpu": "2"}, "requests": {"cpu": "500m"}},
        "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000",
    ),
]


@pytest.mark.parametrize(("limit", "resources", "message"), LIMITS)
def test_limits(registry: Registry, limit: Obj, resources: Obj, message: str) -> None:
    registry.create(LIMIT_RANGE, {"metadata": {"name": "l"}, "spec": {"limits": [limit]}}, "demo")
    with pytest.raises(ApiError) as refused:
        pod(registry, container={"resources": resources})
    assert message in refused.value.message


def test_limits_of_claims(registry: Registry) -> None:
    limit = {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}
    registry.create(LIMIT_RANGE, {"metadata": {"name": "l"}, "spec": {"limits": [limit]}}, "demo")
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
    with pytest.raises(ApiError, match="maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"):
        registry.create(PVC, {"metadata": {"name": "a"}, "spec": spec}, "demo")
