"""Whether an object makes sense by itself: every fault at once, with the API server's paths, reasons and words.

What depends on other objects (quota, taken addresses, accounts that are not there) is admission's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.kubernetes.custom.crd_check import check_definition, check_definition_change
from lab.kubernetes.errors import FieldError
from lab.kubernetes.kind import Kind
from lab.kubernetes.validation import jobs, others, workloads
from lab.kubernetes.validation.faults import Faults
from lab.kubernetes.validation.metadata import check_metadata, check_metadata_update
from lab.kubernetes.validation.pods import check_pod_spec, check_pod_update, check_resize

Obj = dict[str, Any]
Check = Callable[[Obj, Faults], None]
Change = Callable[[Obj, Obj, Faults], None]

RBAC = "rbac.authorization.k8s.io"


def check_create(kind: Kind, obj: Obj) -> list[FieldError]:
    """What is wrong with a new object (after defaults)."""
    faults = Faults()
    check_metadata(kind, obj, faults)
    if check := CHECKS.get((kind.group, kind.kind)):
        check(obj, faults)
    return faults.found


def check_update(kind: Kind, old: Obj, new: Obj, subresource: str | None) -> list[FieldError]:
    """What is wrong with a change (after defaults); a status is only looked at where the server does."""
    faults = Faults()
    check_metadata_update(kind, old, new, faults)
    key = (kind.group, kind.kind)
    if subresource == "status":
        if check := STATUS_CHECKS.get(key):
            check(new, faults)
        return faults.found
    if subresource == "resize" and key == ("", "Pod"):
        check_resize(old, new, faults)
        return faults.found
    if subresource not in (None, "scale") or _same_content(old, new):
        return faults.found
    change, check = CHANGES.get(key), CHECKS.get(key)
    if key in CHANGES_FIRST:
        if change:
            change(old, new, faults)
        if check and not faults:
            check(new, faults)
        return faults.found
    if check:
        check(new, faults)
    if change:
        change(old, new, faults)
    return faults.found


def check_replicas(replicas: Any) -> list[FieldError]:
    """What is wrong with a Scale."""
    faults = Faults()
    faults.not_negative("spec.replicas", replicas)
    return faults.found


def _same_content(old: Obj, new: Obj) -> bool:
    return all(old.get(key) == new.get(key) for key in (old.keys() | new.keys()) - {"metadata", "status"})


def _pod(obj: Obj, faults: Faults) -> None:
    check_pod_spec(obj.get("spec") or {}, "spec", faults)


def _pod_change(old: Obj, new: Obj, faults: Faults) -> None:
    check_pod_update(old.get("spec") or {}, new.get("spec") or {}, "spec", faults)


def _secret(obj: Obj, faults: Faults) -> None:
    others.check_account_token(obj, faults)
    others.check_secret(obj, faults)


CHECKS: dict[tuple[str, str], Check] = {
    ("", "Pod"): _pod,
    ("", "ReplicationController"): workloads.check_replication_controller,
    ("", "Service"): others.check_service,
    ("", "ConfigMap"): others.check_config_map,
    ("", "Secret"): _secret,
    ("", "PersistentVolumeClaim"): others.check_claim,
    ("", "PersistentVolume"): others.check_volume,
    ("", "Event"): others.check_event,
    ("apps", "Deployment"): workloads.check_deployment,
    ("apps", "ReplicaSet"): workloads.check_replica_set,
    ("apps", "StatefulSet"): workloads.check_stateful_set,
    ("apps", "DaemonSet"): workloads.check_daemon_set,
    ("batch", "Job"): jobs.check_job,
    ("batch", "CronJob"): jobs.check_cron_job,
    ("policy", "PodDisruptionBudget"): others.check_budget,
    ("networking.k8s.io", "Ingress"): others.check_ingress,
    ("storage.k8s.io", "StorageClass"): others.check_storage_class,
    ("coordination.k8s.io", "Lease"): others.check_lease,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): check_definition,
    (RBAC, "RoleBinding"): others.check_binding,
    (RBAC, "ClusterRoleBinding"): others.check_binding,
}
CHANGES: dict[tuple[str, str], Change] = {
    ("", "Pod"): _pod_change,
    ("", "Service"): others.service_unchanged,
    ("", "ConfigMap"): others.immutable_data,
    ("", "Secret"): others.secret_unchanged,
    ("", "PersistentVolumeClaim"): others.claim_unchanged,
    ("apps", "Deployment"): workloads.selector_unchanged,
    ("apps", "ReplicaSet"): workloads.selector_unchanged,
    ("apps", "DaemonSet"): workloads.selector_unchanged,
    ("apps", "StatefulSet"): workloads.stateful_set_unchanged,
    ("batch", "Job"): jobs.job_unchanged,
    (RBAC, "RoleBinding"): others.role_unchanged,
    (RBAC, "ClusterRoleBinding"): others.role_unchanged,
    ("storage.k8s.io", "StorageClass"): others.storage_class_unchanged,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): check_definition_change,
}
# Kinds whose forbidden changes the server names before, and instead of, faults in the new object.
CHANGES_FIRST = {
    ("", "Pod"), ("", "ConfigMap"), ("", "Secret"), ("", "Service"), ("apiextensions.k8s.io", "CustomResourceDefinition"),
}  # fmt: skip
STATUS_CHECKS: dict[tuple[str, str], Check] = {("", "Service"): others.check_service_status}
