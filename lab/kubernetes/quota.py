"""ResourceQuotas: what a namespace uses, and whether a new object still fits."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from lab.kubernetes.defaults.pods import qos_class
from lab.kubernetes.errors import forbidden
from lab.kubernetes.kinds import POD, PVC, RESOURCE_QUOTA, SERVICE, Kind
from lab.kubernetes.limit_ranges import pod_total
from lab.kubernetes.quantity import canonical, parse

if TYPE_CHECKING:
    from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

_BY_CLASS = ".storageclass.storage.k8s.io/"
_PLAIN = ("pods", "services", "configmaps", "secrets", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas")


def check(registry: Registry, kind: Kind, obj: Obj) -> None:
    """403 when a new object would go over a quota of its namespace."""
    for quota in _quotas(registry, obj["metadata"].get("namespace", "")):
        name, hard = quota["metadata"]["name"], (quota.get("spec") or {}).get("hard") or {}
        if not _in_scope(quota, kind, obj):
            continue
        wanted = {key: amount for key in sorted(hard) if (amount := _cost(registry, kind, obj, key))}
        if kind is POD:
            _must_specify(obj, name, hard)
        if not wanted:
            continue
        used = usage(registry, obj["metadata"]["namespace"], list(wanted), quota)
        over = [key for key, amount in wanted.items() if used[key] + amount > parse(hard[key])]
        if over:
            requested = ",".join(f"{key}={_text(wanted[key], hard[key])}" for key in over)
            there = ",".join(f"{key}={_text(used[key], hard[key])}" for key in over)
            limited = ",".join(f"{key}={hard[key]}" for key in over)
            why = f"exceeded quota: {name}, requested: {requested}, used: {there}, limited: {limited}"
            raise forbidden(kind, obj["metadata"]["name"], why)


def _must_specify(pod: Obj, quota: str, hard: Obj) -> None:
    """With a quota on computing resources every container has to say what it takes."""
    missing: dict[str, list[str]] = {}
    for key in sorted(hard):
        part, resource = _computing(key)
        if not part or resource not in ("cpu", "memory"):
            continue
        for container in pod["spec"].get("containers") or ():
            if resource not in ((container.get("resources") or {}).get(part) or {}):
                missing.setdefault(key, []).append(container["name"])
    if missing:
        text = "; ".join(f"{key} for: {','.join(names)}" for key, names in missing.items())
        raise forbidden(POD, pod["metadata"]["name"], f"failed quota: {quota}: must specify {text}")


def _quotas(registry: Registry, namespace: str) -> list[Obj]:
    return registry.list(RESOURCE_QUOTA, namespace) if namespace else []


def _text(amount: Decimal, like: str) -> str:
    """An amount in the style of another: with binary suffixes when that has one."""
    if like.endswith("i"):
        for suffix, size in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
            if amount and amount % size == 0:
                return canonical(f"{int(amount) // size}{suffix}")
    return canonical(f"{amount.normalize():f}")


def _computing(key: str) -> tuple[str, str]:
    """`requests.cpu` -> ("requests", "cpu"); empty for a key that counts something else."""
    if key in ("cpu", "memory", "ephemeral-storage") or key.startswith("hugepages-"):
        return "requests", key
    part, _, resource = key.partition(".")
    return (part, resource) if part in ("requests", "limits") and resource != "storage" else ("", "")


def _cost(registry: Registry, kind: Kind, obj: Obj, key: str) -> Decimal:
    """How much of a quota's key an object takes."""
    one, none = Decimal(1), Decimal(0)
    if kind is POD and (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed") and not key.startswith("count/"):
        return none
    if (key in _PLAIN and not kind.group and kind.plural == key) or key == f"count/{kind.resource}":
        return one
    part, resource = _computing(key)
    if part and kind is POD:
        return parse(pod_total(obj["spec"], part).get(resource, "0"))
    if kind is PVC:
        return _claim_cost(obj, key)
    if kind is SERVICE and key == "services.loadbalancers":
        return one if obj["spec"].get("type") == "LoadBalancer" else none
    if kind is SERVICE and key == "services.nodeports":
        return Decimal(sum(1 for port in obj["spec"].get("ports") or () if port.get("nodePort")))
    return none


def _claim_cost(claim: Obj, key: str) -> Decimal:
    """How much of a quota's key on storage, of any class or of one, a claim takes."""
    storage_class, by_class, counted = key.partition(_BY_CLASS)
    if by_class and claim["spec"].get("storageClassName", "") != storage_class:
        return Decimal(0)
    if by_class and counted == "persistentvolumeclaims":
        return Decimal(1)
    if "requests.storage" in (key, counted):
        return parse(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0"))
    return Decimal(0)


def _counted_kind(registry: Registry, key: str) -> list[Kind]:
    """Which kinds a key of a quota is about."""
    if key.startswith("count/"):
        return [kind for kind in registry.kinds.all() if kind.resource == key.removeprefix("count/") and kind.stored and not kind.stored_as][:1]
    if _computing(key)[0]:
        return [POD]
    if key == "requests.storage" or _BY_CLASS in key:
        return [PVC]
    plural = "services" if key.startswith("services.") else key
    return [kind for kind in registry.kinds.all() if not kind.group and kind.plural == plural]


def usage(registry: Registry, namespace: str, keys: list[str], quota: Obj) -> dict[str, Decimal]:
    """What a namespace uses of each key, as far as the quota is about it."""

    def used(key: str) -> Decimal:
        objects = ((kind, obj) for kind in _counted_kind(registry, key) for obj in registry.list(kind, namespace))
        return sum((_cost(registry, kind, obj, key) for kind, obj in objects if _in_scope(quota, kind, obj)), Decimal(0))

    return {key: used(key) for key in keys}


def _in_scope(quota: Obj, kind: Kind, obj: Obj) -> bool:
    """Whether a quota is about an object; one with scopes is about some Pods only."""
    spec = quota.get("spec") or {}
    wishes = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    wishes += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    return not wishes or (kind is POD and all(_fits(wish, obj["spec"]) for wish in wishes))


def _fits(wish: Obj, spec: Obj) -> bool:
    scope = wish.get("scopeName")
    if scope in ("Terminating", "NotTerminating"):
        return (spec.get("activeDeadlineSeconds") is not None) is (scope == "Terminating")
    if scope in ("BestEffort", "NotBestEffort"):
        return (qos_class(spec) == "BestEffort") is (scope == "BestEffort")
    if scope == "PriorityClass":
        name, values = spec.get("priorityClassName", ""), wish.get("values") or ()
        tests = {"In": name in values, "NotIn": name not in values, "Exists": bool(name), "DoesNotExist": not name}
        return tests.get(wish.get("operator", "Exists"), False)
    return scope == "CrossNamespacePodAffinity" and _looks_elsewhere(spec)


def _looks_elsewhere(spec: Obj) -> bool:
    """Whether a Pod's affinity is about Pods of other namespaces."""
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = list((affinity.get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        terms += [one.get("podAffinityTerm") or {} for one in (affinity.get(kind) or {}).get("preferredDuringSchedulingIgnoredDuringExecution") or ()]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


def refresh(registry: Registry, namespace: str) -> None:
    """Bring the status of a namespace's quotas up to date, as the quota controller does."""
    for quota in _quotas(registry, namespace):
        hard = (quota.get("spec") or {}).get("hard") or {}
        used = usage(registry, namespace, list(hard), quota)
        status = {"hard": dict(hard), "used": {key: _text(used[key], hard[key]) for key in hard}}
        registry.modify(RESOURCE_QUOTA, namespace, quota["metadata"]["name"], partial(_set_status, status), "status")


def _set_status(status: Obj, quota: Obj) -> None:
    quota["status"] = status
