"""What the API server itself puts into an empty cluster: the roles that everyone needs, and the priorities of system Pods."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.context import Context
from lab.kubernetes.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, PRIORITY_CLASS, SERVICE_ACCOUNT
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

_SERVER = Context("system:apiserver", ("system:masters",), manager="kube-apiserver")
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_GROUP = "rbac.authorization.k8s.io"


def _rule(verbs: list[str], groups: list[str], resources: list[str]) -> Obj:
    return {"verbs": verbs, "apiGroups": groups, "resources": resources}


def _paths(*paths: str) -> Obj:
    return {"verbs": ["get"], "nonResourceURLs": list(paths)}


_PUBLIC = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_WORKLOADS = ["daemonsets", "deployments", "deployments/scale", "replicasets", "replicasets/scale", "statefulsets", "statefulsets/scale"]
_CORE = [
    "configmaps", "endpoints", "persistentvolumeclaims", "pods", "replicationcontrollers", "replicationcontrollers/scale", "serviceaccounts",
    "services",
]  # fmt: skip
_NETWORK = ["ingresses", "networkpolicies"]
_SEEN = ["bindings", "events", "limitranges", "namespaces", "pods/log", "pods/status", "resourcequotas", "resourcequotas/status"]


def _view() -> list[Obj]:
    return [
        _rule(_READ, [""], [*_CORE, *_SEEN, "persistentvolumeclaims/status", "services/status", "replicationcontrollers/status",
                          "namespaces/status"]),
        _rule(_READ, ["apps"], [*_WORKLOADS, "controllerrevisions", "daemonsets/status", "deployments/status", "replicasets/status",
                                "statefulsets/status"]),
        _rule(_READ, ["autoscaling"], ["horizontalpodautoscalers", "horizontalpodautoscalers/status"]),
        _rule(_READ, ["batch"], ["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
        _rule(_READ, ["policy"], ["poddisruptionbudgets", "poddisruptionbudgets/status"]),
        _rule(_READ, ["networking.k8s.io"], [*_NETWORK, "ingresses/status"]),
        _rule(_READ, ["discovery.k8s.io"], ["endpointslices"]),
    ]  # fmt: skip


def _edit() -> list[Obj]:
    return [
        _rule(_READ, [""], ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"]),
        _rule(["impersonate"], [""], ["serviceaccounts"]),
        _rule(_WRITE, [""], [*_CORE, "pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy",
                            "events"]),
        _rule(["create"], [""], ["pods/eviction", "serviceaccounts/token"]),
        _rule(_WRITE, ["apps"], _WORKLOADS),
        _rule(_WRITE, ["autoscaling"], ["horizontalpodautoscalers"]),
        _rule(_WRITE, ["batch"], ["cronjobs", "jobs"]),
        _rule(_WRITE, ["policy"], ["poddisruptionbudgets"]),
        _rule(_WRITE, ["networking.k8s.io"], _NETWORK),
        _rule([*_WRITE, *_READ], ["coordination.k8s.io"], ["leases"]),
        *_view(),
    ]  # fmt: skip


def _admin() -> list[Obj]:
    return [
        _rule([*_WRITE, *_READ], [_GROUP], ["rolebindings", "roles"]),
        _rule(["create"], ["authorization.k8s.io"], ["localsubjectaccessreviews"]),
    ]


_CLUSTER_ROLES: dict[str, list[Obj]] = {
    "cluster-admin": [_rule(["*"], ["*"], ["*"]), {"verbs": ["*"], "nonResourceURLs": ["*"]}],
    "system:basic-user": [
        _rule(["create"], ["authorization.k8s.io"], ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
        _rule(["create"], ["authentication.k8s.io"], ["selfsubjectreviews"]),
    ],
    "system:discovery": [_paths("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version",
                                "/version/")],
    "system:public-info-viewer": [_paths(*_PUBLIC)],
    "system:service-account-issuer-discovery": [
        _paths("/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/"),
        _paths("/.well-known", "/.well-known/*"),
    ],
    "view": _view(),
    "edit": _edit(),
    "admin": [*_admin(), *_edit()],
    "system:aggregate-to-view": _view(),
    "system:aggregate-to-edit": _edit(),
    "system:aggregate-to-admin": _admin(),
}  # fmt: skip
# Roles made of others: of those with this label; and into which larger role each goes itself.
_AGGREGATED = {"view": "edit", "edit": "admin", "admin": ""}
_TO = "rbac.authorization.k8s.io/aggregate-to-"
_BINDINGS = {
    "cluster-admin": ("system:masters",),
    "system:basic-user": ("system:authenticated",),
    "system:discovery": ("system:authenticated",),
    "system:public-info-viewer": ("system:authenticated", "system:unauthenticated"),
    "system:service-account-issuer-discovery": ("system:serviceaccounts",),
}
_PRIORITIES = {
    "system-cluster-critical": 2_000_000_000,
    "system-node-critical": 2_000_001_000,
}
_PRIORITY_HELP = {
    "system-cluster-critical": "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    "system-node-critical": "Used for system critical pods that must not be moved from their current node.",
}


# Each controller acts under an account of its own.
_CONTROLLERS = (
    "attachdetach-controller certificate-controller clusterrole-aggregation-controller cronjob-controller daemon-set-controller "
    "deployment-controller device-taint-eviction-controller disruption-controller endpoint-controller endpointslice-controller "
    "endpointslicemirroring-controller ephemeral-volume-controller expand-controller generic-garbage-collector horizontal-pod-autoscaler "
    "job-controller legacy-service-account-token-cleaner namespace-controller node-controller persistent-volume-binder "
    "pod-garbage-collector pv-protection-controller pvc-protection-controller replicaset-controller replication-controller "
    "resource-claim-controller resourcequota-controller root-ca-cert-publisher service-account-controller service-ca-cert-publisher "
    "service-cidrs-controller statefulset-controller ttl-after-finished-controller ttl-controller "
    "validatingadmissionpolicy-status-controller volumeattributesclass-protection-controller"
)


def bootstrap(registry: Registry) -> None:
    """Make them. The system namespaces have to be there."""
    for name in _CONTROLLERS.split():
        registry.create(SERVICE_ACCOUNT, {"metadata": {"name": name}}, "kube-system", ctx=_SERVER)
    meta = {"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}, "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}}
    for name, rules in _CLUSTER_ROLES.items():
        registry.create(CLUSTER_ROLE, _cluster_role(name, rules, meta), ctx=_SERVER)
    for name, groups in _BINDINGS.items():
        subjects = [{"kind": "Group", "apiGroup": _GROUP, "name": group} for group in groups]
        ref = {"apiGroup": _GROUP, "kind": "ClusterRole", "name": name}
        registry.create(CLUSTER_ROLE_BINDING, {"metadata": {"name": name, **meta}, "roleRef": ref, "subjects": subjects}, ctx=_SERVER)
    for name, value in _PRIORITIES.items():
        registry.create(PRIORITY_CLASS, {"metadata": {"name": name}, "value": value, "description": _PRIORITY_HELP[name]}, ctx=_SERVER)


def _cluster_role(name: str, rules: list[Obj], meta: Obj) -> Obj:
    labels = dict(meta["labels"])
    role: Obj = {"metadata": {"name": name, **meta, "labels": labels}, "rules": rules}
    if name in _AGGREGATED:
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {f"{_TO}{name}": "true"}}]}
    larger = name.removeprefix("system:aggregate-to-") if name.startswith("system:aggregate-to-") else _AGGREGATED.get(name)
    if larger:
        labels[f"{_TO}{larger}"] = "true"
    return role
