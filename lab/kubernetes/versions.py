"""The same objects in another version: Event of events.k8s.io, HorizontalPodAutoscaler of autoscaling/v1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.kubernetes.kinds import EVENTS_K8S_IO_EVENT, HPA_V1, Kind

Obj = dict[str, Any]

# events.k8s.io name -> core name
_EVENT_FIELDS = {
    "note": "message",
    "regarding": "involvedObject",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_METRICS = "autoscaling.alpha.kubernetes.io/metrics"


def _event_to_served(obj: Obj) -> Obj:
    names = {core: new for new, core in _EVENT_FIELDS.items()}
    return {names.get(key, key): value for key, value in obj.items() if key != "reportingInstance" or value}


def _event_to_stored(obj: Obj) -> Obj:
    stored = {_EVENT_FIELDS.get(key, key): value for key, value in obj.items()}
    for key, empty in (("firstTimestamp", None), ("lastTimestamp", None), ("source", {})):
        stored.setdefault(key, empty)
    stored.setdefault("reportingInstance", "")
    return stored


def _autoscaler_to_served(obj: Obj) -> Obj:
    spec = dict(obj.get("spec") or {})
    for metric in spec.pop("metrics", None) or ():
        resource = metric.get("resource") or {}
        if resource.get("name") == "cpu" and "averageUtilization" in (resource.get("target") or {}):
            spec["targetCPUUtilizationPercentage"] = resource["target"]["averageUtilization"]
    spec.pop("behavior", None)
    status = {key: value for key, value in (obj.get("status") or {}).items() if key not in ("currentMetrics", "conditions")}
    return {**obj, "spec": spec, "status": status}


def _autoscaler_to_stored(obj: Obj) -> Obj:
    spec = dict(obj.get("spec") or {})
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}}]
    return {**obj, "spec": spec}


_CONVERSIONS: dict[Kind, tuple[Callable[[Obj], Obj], Callable[[Obj], Obj]]] = {
    EVENTS_K8S_IO_EVENT: (_event_to_served, _event_to_stored),
    HPA_V1: (_autoscaler_to_served, _autoscaler_to_stored),
}


def to_served(kind: Kind, obj: Obj) -> Obj:
    """A stored object as this kind's version shows it."""
    if kind.custom and kind.stored_as:  # conversion "None": only the version differs
        return {**obj, "kind": kind.kind, "apiVersion": kind.api_version}
    if kind not in _CONVERSIONS:
        return obj
    return {**_CONVERSIONS[kind][0](obj), "kind": kind.kind, "apiVersion": kind.api_version}


def to_stored(kind: Kind, obj: Obj) -> Obj:
    """An object of this kind's version as it is kept."""
    if kind.custom and kind.stored_as:
        return {**obj, "apiVersion": kind.stored_as}
    if kind not in _CONVERSIONS:
        return obj
    converted = _CONVERSIONS[kind][1](obj)
    if "apiVersion" in converted:
        converted["apiVersion"] = kind.stored_as
    return converted
