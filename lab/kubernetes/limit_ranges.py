"""LimitRanges: how much a container, a Pod or a volume claim of a namespace may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lab.kubernetes.errors import forbidden
from lab.kubernetes.kinds import LIMIT_RANGE, POD, Kind
from lab.kubernetes.quantity import canonical, parse

if TYPE_CHECKING:
    from lab.kubernetes.registry import Registry

Obj = dict[str, Any]
Amounts = dict[str, str]


def check(registry: Registry, kind: Kind, obj: Obj) -> None:
    """403 for a Pod or claim beyond what the LimitRanges of its namespace allow."""
    faults: list[str] = []
    for one in registry.list(LIMIT_RANGE, obj["metadata"].get("namespace", "")):
        for limit in (one.get("spec") or {}).get("limits") or ():
            faults += _pod_faults(obj, limit) if kind is POD else _claim_faults(obj, limit)
    if faults:
        raise forbidden(kind, obj["metadata"]["name"], faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")


def _pod_faults(pod: Obj, limit: Obj) -> Iterator[str]:
    spec = pod["spec"]
    if limit.get("type") == "Container":
        for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
            resources = container.get("resources") or {}
            yield from _beyond(resources.get("requests") or {}, resources.get("limits") or {}, limit)
    elif limit.get("type") == "Pod":
        yield from _beyond(pod_total(spec, "requests"), pod_total(spec, "limits"), limit)


def pod_total(spec: Obj, part: str) -> Amounts:
    """What a whole Pod asks for: its containers together, or its largest init container if that is more; side-cars count all the time."""

    def amounts(container: Obj) -> Amounts:
        found: Amounts = (container.get("resources") or {}).get(part) or {}
        return found

    running: dict[str, Decimal] = {}
    most: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        for name, amount in amounts(container).items():
            if container.get("restartPolicy") == "Always":
                running[name] = running.get(name, Decimal(0)) + parse(amount)
            most[name] = max(most.get(name, Decimal(0)), parse(amount))
    for container in spec.get("containers") or ():
        for name, amount in amounts(container).items():
            running[name] = running.get(name, Decimal(0)) + parse(amount)
    return {name: _text(max(running.get(name, Decimal(0)), most.get(name, Decimal(0)))) for name in running | most}


def _text(amount: Decimal) -> str:
    for suffix, size in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if amount and amount % size == 0:
            return f"{int(amount) // size}{suffix}"
    return canonical(f"{amount.normalize():f}")


def _claim_faults(claim: Obj, limit: Obj) -> Iterator[str]:
    if limit.get("type") != "PersistentVolumeClaim":
        return
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    for name, least in sorted((limit.get("min") or {}).items()):
        text = f"minimum {name} usage per PersistentVolumeClaim is {least}"
        if name not in requests:
            yield f"{text}.  No request is specified"
        elif parse(requests[name]) < parse(least):
            yield f"{text}, but request is {requests[name]}"
    for name, most in sorted((limit.get("max") or {}).items()):
        text = f"maximum {name} usage per PersistentVolumeClaim is {most}"
        if name not in requests:
            yield f"{text}.  No request is specified"
        elif parse(requests[name]) > parse(most):
            yield f"{text}, but request is {requests[name]}"


def _beyond(requests: Amounts, limits: Amounts, limit: Obj) -> Iterator[str]:
    kind = limit.get("type")
    for name, least in sorted((limit.get("min") or {}).items()):
        text = f"minimum {name} usage per {kind} is {least}"
        if name not in requests:
            yield f"{text}.  No request is specified"
        elif parse(requests[name]) < parse(least):
            yield f"{text}, but request is {requests[name]}"
        elif name in limits and parse(limits[name]) < parse(least):
            yield f"{text}, but limit is {limits[name]}"
    for name, most in sorted((limit.get("max") or {}).items()):
        text = f"maximum {name} usage per {kind} is {most}"
        if name not in limits:
            yield f"{text}.  No limit is specified"
        elif parse(limits[name]) > parse(most):
            yield f"{text}, but limit is {limits[name]}"
        elif name in requests and parse(requests[name]) > parse(most):
            yield f"{text}, but request is {requests[name]}"
    for name, most in sorted((limit.get("maxLimitRequestRatio") or {}).items()):
        yield from _ratio_faults(name, requests, limits, f"{name} max limit to request ratio per {kind} is {most}", parse(most))


def _ratio_faults(name: str, requests: Amounts, limits: Amounts, text: str, most: Decimal) -> Iterator[str]:
    wanted, allowed = parse(requests.get(name, "0")), parse(limits.get(name, "0"))
    if not wanted:
        yield f"{text}, but no request is specified or request is 0"
    elif not allowed:
        yield f"{text}, but no limit is specified or limit is 0"
    elif allowed / wanted > most:
        yield f"{text}, but provided ratio is {float(allowed / wanted):f}"
