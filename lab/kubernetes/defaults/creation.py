"""What a create adds to a new object after defaults and admission: the work of the kinds' own strategies. The uid is known by then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.kubernetes.defaults.pods import qos_class
from lab.kubernetes.kind import Kind

Obj = dict[str, Any]


def prepare_create(kind: Kind, obj: Obj) -> None:
    """Complete a new object, in place."""
    if prepare := PREPARE.get((kind.group, kind.kind)):
        prepare(obj)


def _pod(obj: Obj) -> None:
    obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}


def _namespace(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    spec["finalizers"] = [*spec.get("finalizers", ()), *(["kubernetes"] if "kubernetes" not in spec.get("finalizers", ()) else [])]
    obj["status"] = {"phase": "Active"}


def _protect(finalizer: str) -> Callable[[Obj], None]:
    def protect(obj: Obj) -> None:
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if finalizer not in finalizers:
            finalizers.append(finalizer)

    return protect


def _volume(obj: Obj) -> None:
    _protect("kubernetes.io/pv-protection")(obj)
    obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": obj["metadata"].get("creationTimestamp")}


def _claim(obj: Obj) -> None:
    _protect("kubernetes.io/pvc-protection")(obj)
    obj["status"] = {"phase": "Pending"}


def _daemon_set(obj: Obj) -> None:
    obj["metadata"].setdefault("annotations", {})["deprecated.daemonset.template.generation"] = "1"


def _job(obj: Obj) -> None:
    """Selector and labels by the Job's own uid, unless the client brings a selector of its own."""
    spec, meta = obj["spec"], obj["metadata"]
    if spec.get("manualSelector"):
        return
    if not isinstance(spec.get("template"), dict):
        return  # validation is going to say so
    template = spec["template"].setdefault("metadata", {})
    given = template.get("labels") or {}
    labels = dict(given)
    for prefix in ("batch.kubernetes.io/", ""):
        labels[f"{prefix}controller-uid"] = meta["uid"]
        labels[f"{prefix}job-name"] = meta.get("name", "")
    template["labels"] = labels
    if not meta.get("labels") or meta["labels"] == given:
        meta["labels"] = dict(labels)
    selector = spec.setdefault("selector", {}).setdefault("matchLabels", {})
    selector.setdefault("batch.kubernetes.io/controller-uid", meta["uid"])


_NODE_INFO = (
    "machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion", "kubeProxyVersion",
    "operatingSystem", "architecture",
)  # fmt: skip


def _node(obj: Obj) -> None:
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    taints = obj.setdefault("spec", {}).setdefault("taints", [])
    if not any(there.get("key") == taint["key"] for there in taints):
        taints.append(taint)
    status = obj.setdefault("status", {})
    status.setdefault("daemonEndpoints", {"kubeletEndpoint": {"Port": 0}})
    status.setdefault("nodeInfo", dict.fromkeys(_NODE_INFO, ""))


def _definition(obj: Obj) -> None:
    stored = [version.get("name", "") for version in obj["spec"].get("versions") or () if version.get("storage")]
    obj["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}


PREPARE: dict[tuple[str, str], Callable[[Obj], None]] = {
    ("", "Pod"): _pod,
    ("", "Namespace"): _namespace,
    ("", "PersistentVolume"): _volume,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Node"): _node,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
}
