"""Defaults of storage, configuration, access rights and the rest."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.defaults.pods import fill

Obj = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"


def secret(obj: Obj) -> None:
    """Opaque."""
    fill(obj, type="Opaque")


def namespace(obj: Obj) -> None:
    """Every namespace carries its name as a label."""
    name = obj["metadata"].get("name")
    if name:
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


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
