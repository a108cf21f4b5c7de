"""ResourceQuotas: what a namespace uses, and whether a new object still fits."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from lab.kubernetes.errors import forbidden
from lab.kubernetes.kinds import POD, PVC, RESOURCE_QUOTA, SERVICE, Kind
from lab.kubernetes.quantity import canonical, parse

if TYPE_CHECKING:
    from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

_PLAIN = ("pods", "services", "configmaps", "secrets", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas")


def check(registry: Registry, kind: Kind, obj: Obj) -> None:
    """403 when a new object would go over a quota of its namespace."""
    for quota in _quotas(registry, obj["metadata"].get("namespace", "")):
        name, hard = quota["metadata"]["name"], (quota.get("spec") or {}).get("hard") or {}
        wanted = {key: amount for key in sorted(hard) if (amount := _cost(registry, kind, obj, key))}
        if kind is POD:
            _must_specify(obj, name, hard)
        if not wanted:
            continue
        used = usage(registry, obj["metadata"]["namespace"], list(wanted))
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
        if not part:
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
    part, _, resource = key.rpartition(".")
    if resource in ("cpu", "memory", "ephemeral-storage") and part in ("", "requests", "limits"):
        return part or "requests", resource
    return "", ""


def _cost(registry: Registry, kind: Kind, obj: Obj, key: str) -> Decimal:
    """How much of a quota's key an object takes."""
    one, none = Decimal(1), Decimal(0)
    if kind is POD and (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed") and not key.startswith("count/"):
        return none
    if key in _PLAIN and not kind.group:
        return one if kind.plural == key else none
    if key == f"count/{kind.resource}":
        return one
    part, resource = _computing(key)
    if part and kind is POD:
        amounts = (((container.get("resources") or {}).get(part) or {}).get(resource) for container in obj["spec"].get("containers") or ())
        return sum((parse(amount) for amount in amounts if amount), none)
    if key == "requests.storage" and kind is PVC:
        return parse(((obj["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0"))
    if kind is SERVICE and key == "services.loadbalancers":
        return one if obj["spec"].get("type") == "LoadBalancer" else none
    if kind is SERVICE and key == "services.nodeports":
        return Decimal(sum(1 for port in obj["spec"].get("ports") or () if port.get("nodePort")))
    return none


def _counted_kind(registry: Registry, key: str) -> list[Kind]:
    """Which kinds a key of a quota is about."""
    if key.startswith("count/"):
        return [kind for kind in registry.kinds.all() if kind.resource == key.removeprefix("count/") and kind.stored and not kind.stored_as][:1]
    if _computing(key)[0]:
        return [POD]
    if key == "requests.storage":
        return [PVC]
    plural = "services" if key.startswith("services.") else key
    return [kind for kind in registry.kinds.all() if not kind.group and kind.plural == plural]


def usage(registry: Registry, namespace: str, keys: list[str]) -> dict[str, Decimal]:
    """What a namespace uses of each key."""
    return {
        key: sum((_cost(registry, kind, obj, key) for kind in _counted_kind(registry, key) for obj in registry.list(kind, namespace)), Decimal(0))
        for key in keys
    }


def refresh(registry: Registry, namespace: str) -> None:
    """Bring the status of a namespace's quotas up to date, as the quota controller does."""
    for quota in _quotas(registry, namespace):
        hard = (quota.get("spec") or {}).get("hard") or {}
        used = usage(registry, namespace, list(hard))
        status = {"hard": dict(hard), "used": {key: _text(used[key], hard[key]) for key in hard}}
        registry.modify(RESOURCE_QUOTA, namespace, quota["metadata"]["name"], partial(_set_status, status), "status")


def _set_status(status: Obj, quota: Obj) -> None:
    quota["status"] = status
