"""Defaults of storage, configuration, access rights and the rest."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

from lab.kubernetes.defaults.pods import fill

Obj = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"


def secret(obj: Obj) -> None:
    """Opaque; what was written as text becomes data."""
    fill(obj, type="Opaque")
    text = obj.pop("stringData", None)
    if text:
        obj.setdefault("data", {}).update({key: b64encode(value.encode()).decode() for key, value in text.items()})


def namespace(obj: Obj) -> None:
    """Every namespace carries its name as a label."""
    name = obj["metadata"].get("name")
    if name:
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


def event(obj: Obj) -> None:
    """An event writes out what it does not know."""
    fill(obj, source={}, firstTimestamp=None, lastTimestamp=None, eventTime=None, reportingComponent="", reportingInstance="")


def rules(obj: Obj) -> None:
    """A role without rules says so."""
    fill(obj, rules=None)


def unknown_times(*names: str) -> Callable[[Obj], None]:
    """Times that are written as null when nothing is known."""

    def fill_times(obj: Obj) -> None:
        fill(obj, **dict.fromkeys(names))

    return fill_times


def container_status(obj: Obj) -> None:
    """What is always said about a container."""
    fill(obj, name="", state={}, lastState={}, ready=False, restartCount=0, image="", imageID="")


def empty_status(obj: Obj) -> None:
    """Kinds that always show their status."""
    fill(obj, status={})


def disruption_budget(obj: Obj) -> None:
    """Counts of a budget are written even when 0."""
    fill(obj, status={})
    fill(obj["status"], disruptionsAllowed=0, currentHealthy=0, desiredHealthy=0, expectedPods=0)


def custom_resource_definition(obj: Obj) -> None:
    """Names that follow from the kind, and no conversion."""
    spec = obj.setdefault("spec", {})
    fill(spec, conversion={"strategy": "None"})
    names = spec.get("names") or {}
    if names.get("kind"):
        fill(names, singular=names["kind"].lower(), listKind=names["kind"] + "List")


def webhook(obj: Obj) -> None:
    """An admission webhook."""
    fill(obj, failurePolicy="Fail", matchPolicy="Equivalent", namespaceSelector={}, objectSelector={}, timeoutSeconds=10)
    for rule in obj.get("rules") or ():
        fill(rule, scope="*")


def mutating_webhook(obj: Obj) -> None:
    """One that may change objects is asked once, unless it wants to be asked again."""
    webhook(obj)
    fill(obj, reinvocationPolicy="Never")


def claim_spec(spec: Obj) -> None:
    """A volume claim."""
    fill(spec, volumeMode="Filesystem")


def claim(obj: Obj) -> None:
    """A claim begins unbound, also one in a template."""
    fill(obj, status={})
    fill(obj["status"], phase="Pending")


def volume_spec(spec: Obj) -> None:
    """A persistent volume made by hand is kept."""
    fill(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")


def storage_class(obj: Obj) -> None:
    """A storage class."""
    fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def csi_driver_spec(spec: Obj) -> None:
    """A storage driver."""
    fill(spec, attachRequired=True, podInfoOnMount=False, storageCapacity=False, fsGroupPolicy="ReadWriteOnceWithFSType")
    fill(spec, volumeLifecycleModes=["Persistent"], requiresRepublish=False, seLinuxMount=False)


def limit_range_item(item: Obj) -> None:
    """Containers only: limits from maxima, requests from limits, then from minima."""
    if item.get("type") != "Container":
        return
    limits = {**item.get("max", {}), **item.get("default", {})}
    requests = {**item.get("min", {}), **limits, **item.get("defaultRequest", {})}
    if limits:
        item["default"] = limits
    if requests:
        item["defaultRequest"] = requests


def priority_class(obj: Obj) -> None:
    """A priority class preempts."""
    fill(obj, preemptionPolicy="PreemptLowerPriority")


def role_ref(obj: Obj) -> None:
    """A binding's role."""
    fill(obj, apiGroup=RBAC)


def subject(obj: Obj) -> None:
    """Who a role is bound to: users and groups are in RBAC's group, accounts in the core one."""
    if obj.get("kind") in ("User", "Group"):
        fill(obj, apiGroup=RBAC)


DEFAULTS = {
    "core.v1.PodCondition": unknown_times("lastProbeTime", "lastTransitionTime"),
    "core.v1.NodeCondition": unknown_times("lastHeartbeatTime", "lastTransitionTime"),
    "core.v1.NamespaceCondition": unknown_times("lastTransitionTime"),
    "core.v1.PersistentVolumeClaimCondition": unknown_times("lastProbeTime", "lastTransitionTime"),
    "apps.v1.DeploymentCondition": unknown_times("lastUpdateTime", "lastTransitionTime"),
    "apps.v1.ReplicaSetCondition": unknown_times("lastTransitionTime"),
    "apps.v1.StatefulSetCondition": unknown_times("lastTransitionTime"),
    "batch.v1.JobCondition": unknown_times("lastProbeTime", "lastTransitionTime"),
    "core.v1.ContainerStatus": container_status,
    "core.v1.Event": event,
    "rbac.v1.Role": rules,
    "rbac.v1.ClusterRole": rules,
    "core.v1.Node": empty_status,
    "core.v1.ResourceQuota": empty_status,
    "policy.v1.PodDisruptionBudget": disruption_budget,
    "flowcontrol.v1.FlowSchema": empty_status,
    "flowcontrol.v1.PriorityLevelConfiguration": empty_status,
    "apiextensions.v1.CustomResourceDefinition": custom_resource_definition,
    "admissionregistration.v1.ValidatingWebhook": webhook,
    "admissionregistration.v1.MutatingWebhook": mutating_webhook,
    "core.v1.Secret": secret,
    "core.v1.Namespace": namespace,
    "core.v1.PersistentVolumeClaimSpec": claim_spec,
    "core.v1.PersistentVolumeClaim": claim,
    "core.v1.PersistentVolumeSpec": volume_spec,
    "core.v1.LimitRangeItem": limit_range_item,
    "storage.v1.StorageClass": storage_class,
    "storage.v1.CSIDriverSpec": csi_driver_spec,
    "scheduling.v1.PriorityClass": priority_class,
    "rbac.v1.RoleRef": role_ref,
    "rbac.v1.Subject": subject,
}
