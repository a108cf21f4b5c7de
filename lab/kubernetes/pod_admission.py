"""What admission adds to a new Pod: its service account and token volume, priority, tolerations, default resources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lab.kubernetes.errors import forbidden
from lab.kubernetes.kinds import LIMIT_RANGE, POD, PRIORITY_CLASS, SERVICE_ACCOUNT
from lab.kubernetes.metadata import random_suffix

if TYPE_CHECKING:
    from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
_PATIENCE = 300  # seconds that a Pod stays on a node that is lost


def admit(registry: Registry, pod: Obj) -> None:
    """All of it, in the server's order."""
    _default_resources(registry, pod)
    _service_account(registry, pod)
    _priority(registry, pod)
    add_tolerations(pod)


def _containers(pod: Obj) -> Iterator[Obj]:
    spec = pod["spec"]
    for key in ("initContainers", "containers"):
        yield from spec.get(key) or ()


def _service_account(registry: Registry, pod: Obj) -> None:
    spec, meta = pod["spec"], pod["metadata"]
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    account = registry.find(SERVICE_ACCOUNT, meta["namespace"], name)
    if account is None:
        why = f'error looking up service account {meta["namespace"]}/{name}: serviceaccount "{name}" not found'
        raise forbidden(POD, meta.get("name", ""), why)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(one) for one in account["imagePullSecrets"]]
    if spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True)):
        _mount_token(pod)


def _mount_token(pod: Obj) -> None:
    volume = f"kube-api-access-{random_suffix()}"
    mounted = False
    for container in _containers(pod):
        mounts = container.setdefault("volumeMounts", [])
        if all(mount.get("mountPath") != TOKEN_PATH for mount in mounts):
            mounts.append({"name": volume, "readOnly": True, "mountPath": TOKEN_PATH})
            mounted = True
    if not mounted:
        return
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]
    pod["spec"].setdefault("volumes", []).append({"name": volume, "projected": {"sources": sources, "defaultMode": 420}})


def _priority(registry: Registry, pod: Obj) -> None:
    spec = pod["spec"]
    name = spec.get("priorityClassName")
    if name:
        found = registry.find(PRIORITY_CLASS, "", name)
        if found is None:
            raise forbidden(POD, pod["metadata"].get("name", ""), f"no PriorityClass with name {name} was found")
    else:
        found = next((one for one in registry.list(PRIORITY_CLASS) if one.get("globalDefault")), None)
        if found:
            spec["priorityClassName"] = found["metadata"]["name"]
    spec["priority"] = found["value"] if found else 0
    spec.setdefault("preemptionPolicy", (found or {}).get("preemptionPolicy", "PreemptLowerPriority"))


def add_tolerations(pod: Obj) -> None:
    """Pods leave a lost node after some minutes; also after an update that took these tolerations away."""
    tolerations = pod["spec"].setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(_tolerates(one, key) for one in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _PATIENCE})


def _tolerates(toleration: Obj, key: str) -> bool:
    return toleration.get("key") in (key, None, "") and toleration.get("effect") in ("NoExecute", None, "")


def _container_limits(registry: Registry, namespace: str) -> list[Obj]:
    ranges = registry.list(LIMIT_RANGE, namespace)
    return [limit for one in ranges for limit in (one.get("spec") or {}).get("limits") or () if limit.get("type") == "Container"]


def _default_resources(registry: Registry, pod: Obj) -> None:
    """What LimitRanges give to containers that do not say it, noted in an annotation."""
    notes: list[str] = []
    for limit in _container_limits(registry, pod["metadata"]["namespace"]):
        for key, kind in (("containers", "container"), ("initContainers", "init container")):
            for container in pod["spec"].get(key) or ():
                notes += _fill_resources(container, limit, kind)
    if notes:
        pod["metadata"].setdefault("annotations", {})["kubernetes.io/limit-ranger"] = f"LimitRanger plugin set: {'; '.join(notes)}"


def _fill_resources(container: Obj, limit: Obj, kind: str) -> list[str]:
    notes = []
    resources = container.setdefault("resources", {})
    for part, source, word in (("requests", "defaultRequest", "request"), ("limits", "default", "limit")):
        given = resources.get(part) or {}
        added = {name: value for name, value in sorted((limit.get(source) or {}).items()) if name not in given}
        if added:
            resources[part] = {**given, **added}
            notes.append(f"{', '.join(added)} {word} for {kind} {container['name']}")
    return notes
