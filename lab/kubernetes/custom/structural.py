"""What a structural schema does to an object before it is judged: unknown fields go, defaults come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lab.kubernetes.values import clone

Obj = dict[str, Any]

_ALWAYS_THERE = ("apiVersion", "kind", "metadata")


def prune(schema: Obj, obj: Obj) -> list[str]:
    """Take out, in place, what the schema does not know; gives the paths: `spec.nosuch`."""
    gone: list[str] = []
    _prune(schema, obj, "", True, gone)
    return gone


def _prune(schema: Obj, value: Any, path: str, resource: bool, gone: list[str]) -> None:
    if isinstance(value, dict):
        _prune_object(schema, value, path, resource or bool(schema.get("x-kubernetes-embedded-resource")), gone)
    elif isinstance(value, list):
        items = schema.get("items")
        for position, item in enumerate(value):
            _prune(items or {"x-kubernetes-preserve-unknown-fields": True}, item, f"{path}[{position}]", False, gone)


def _prune_object(schema: Obj, value: Obj, path: str, resource: bool, gone: list[str]) -> None:
    known, others = schema.get("properties") or {}, schema.get("additionalProperties")
    preserve = schema.get("x-kubernetes-preserve-unknown-fields") or others is True
    for key in list(value):
        if resource and key in _ALWAYS_THERE:
            continue
        where = f"{path}.{key}" if path else key
        if key in known:
            _prune(known[key], value[key], where, False, gone)
        elif isinstance(others, dict):
            _prune(others, value[key], where, False, gone)
        elif not preserve:
            del value[key]
            gone.append(where)


def apply_defaults(schema: Obj, value: Any) -> None:
    """Fill in defaults, in place: for what is missing, and for null where the schema knows no null; nulls that stay so are taken out."""
    if isinstance(value, dict):
        known, others = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, below in known.items():
            if "default" in below and (key not in value or _stray_null(below, value[key])):
                value[key] = clone(below["default"])
        for key in list(value):
            below = known.get(key) or (others if isinstance(others, dict) else None)
            if below is None:
                continue
            if _stray_null(below, value[key]):
                if "default" not in below:
                    if key in known:
                        del value[key]
                    continue
                value[key] = clone(below["default"])
            apply_defaults(below, value[key])
    elif isinstance(value, list) and schema.get("items"):
        for position, item in enumerate(value):
            if _stray_null(schema["items"], item) and "default" in schema["items"]:
                value[position] = clone(schema["items"]["default"])
            apply_defaults(schema["items"], value[position])


def _stray_null(schema: Obj, value: Any) -> bool:
    return value is None and not schema.get("nullable")


def walk(schema: Obj, path: str) -> Iterator[tuple[Obj, str]]:
    """Every schema below one, with the path at which messages about the definition name it."""
    yield schema, path
    for key in sorted(schema.get("properties") or {}):
        yield from walk(schema["properties"][key], f"{path}.properties[{key}]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from walk(schema["additionalProperties"], f"{path}.additionalProperties")
    if isinstance(schema.get("items"), dict):
        yield from walk(schema["items"], f"{path}.items")
