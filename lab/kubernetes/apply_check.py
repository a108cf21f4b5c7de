"""Whether an applied configuration fits its schema; if not, the 500 with which the API server refuses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lab.kubernetes.errors import ApiError
from lab.kubernetes.fieldsets import text
from lab.kubernetes.kind import Kind
from lab.kubernetes.schema import ANY, KEY_DEFAULTS, Node
from lab.kubernetes.typed import item_key

Obj = dict[str, Any]


def check_applied(kind: Kind, node: Node, applied: Obj) -> None:
    """ApiError 500 for undeclared fields, wrong types, missing or double keys of list items."""
    faults = list(_faults(node, applied, ""))
    if not faults:
        return
    meta = applied.get("metadata") or {}
    where = f"{meta.get('namespace', '')}/{meta.get('name', '')}; {kind.group}/{kind.version}, Kind={kind.kind}"
    told = faults[0] if len(faults) == 1 else "errors:\n" + "\n".join(f"  {fault}" for fault in faults)
    raise ApiError(500, f"failed to create typed patch object ({where}): {told}")


def _faults(node: Node, value: Any, path: str) -> Iterator[str]:
    if value is None or node.shape == "any":
        return
    if node.shape == "struct":
        if not isinstance(value, dict):
            yield f"{path}: expected map, got {_got(value)}"
            return
        for key, entry in value.items():
            below = node.fields.get(key)
            if below is not None:
                yield from _faults(below, entry, f"{path}.{key}")
            elif not node.open:
                yield f"{path}.{key}: field not declared in schema"
    elif node.shape == "map":
        if not isinstance(value, dict):
            yield f"{path}: expected map, got {_got(value)}"
            return
        for key, entry in value.items():
            yield from _faults(node.element or ANY, entry, f"{path}.{key}")
    elif node.shape == "list":
        yield from _list_faults(node, value, path)
    else:
        yield from _scalar_faults(node, value, path)


def _list_faults(node: Node, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: expected list, got {_got(value)}"
        return
    seen: set[str] = set()
    for position, item in enumerate(value):
        if not node.atomic:
            missing = [key for key in node.keys if isinstance(item, dict) and key not in item and key not in KEY_DEFAULTS]
            if missing:
                omits = f"associative list with keys has an element that omits key field {json.dumps(missing[0])}"
                yield f"{path}: element {position}: {omits} (and doesn't have default value)"
                continue
            key = item_key(node, item)
            if key in seen:
                yield f"{path}: duplicate entries for key {text(key)}"
            seen.add(key)
            inner = list(_faults(node.element or ANY, item, ""))
            step = text(key) if inner else ""
            yield from (f"{path}{step}{fault}" for fault in inner)
        else:
            yield from _faults(node.element or ANY, item, f"{path}[{position}]")


_NUMBERS = ("int32", "int64", "double")


def _scalar_faults(node: Node, value: Any, path: str) -> Iterator[str]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if node.scalar in _NUMBERS:
        if not number:
            yield f"{path}: expected numeric (int or float), got {_got(value)}"
    elif node.scalar == "bool":
        if not isinstance(value, bool):
            yield f"{path}: expected boolean, got {_got(value)}"
    elif node.scalar in ("quantity", "intorstring"):
        if not number and not isinstance(value, str):
            yield f"{path}: expected string, got {_got(value)}"
    elif not isinstance(value, str):
        yield f"{path}: expected string, got {_got(value)}"


def _got(value: Any) -> str:
    if isinstance(value, str):
        return "string"
    if isinstance(value, dict):
        return "map"
    return "list" if isinstance(value, list) else f"&value.valueUnstructured{{Value:{json.dumps(value)}}}"
