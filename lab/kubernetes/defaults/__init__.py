"""What the server fills in. Defaults hang on types, not on kinds: a container gets its own wherever it stands.

`apply_defaults` depends on nothing but the object. What a create adds besides (first status, generated selectors) is in `creation`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from lab.kubernetes.defaults import network, others, pods, workloads
from lab.kubernetes.defaults.creation import prepare_create
from lab.kubernetes.kind import Kind
from lab.kubernetes.schema import Node, root

__all__ = ["apply_defaults", "apply_status_defaults", "prepare_create"]

Obj = dict[str, Any]
Default = Callable[[Obj], None]

BY_STRUCT: dict[str, Default] = {**pods.DEFAULTS, **workloads.DEFAULTS, **network.DEFAULTS, **others.DEFAULTS}


def apply_defaults(kind: Kind, obj: Obj) -> None:
    """Fill in defaults, in place: outer ones first, as they may make the places that inner ones fill."""
    plan = _plan(root(kind), frozenset())
    if plan:
        _walk(plan, obj)


def apply_status_defaults(kind: Kind, obj: Obj) -> None:
    """The same for an object of which only the status is new: nothing else is looked into."""
    plan = _plan(root(kind), frozenset())
    if plan is None:
        return
    if plan.apply:
        plan.apply(obj)
    for name, _, inner in plan.fields:
        if name == "status" and "status" in obj:
            _walk(inner, obj["status"])


class _Plan:
    """Which fields of a struct lead to something with defaults, so that nothing else is looked at."""

    __slots__ = ("apply", "fields")

    def __init__(self, apply: Default | None, fields: list[tuple[str, str, _Plan]]) -> None:
        self.apply = apply
        self.fields = fields


@cache
def _plan(node: Node, above: frozenset[str]) -> _Plan | None:
    if node.shape != "struct" or node.struct in above:
        return None
    above |= {node.struct}
    fields: list[tuple[str, str, _Plan]] = []
    for name, child in node.fields.items():
        inner = child.element if child.shape in ("list", "map") else child
        plan = _plan(inner, above) if inner is not None else None
        if plan:
            fields.append((name, child.shape, plan))
    apply = BY_STRUCT.get(node.struct)
    return _Plan(apply, fields) if apply or fields else None


def _walk(plan: _Plan, obj: Obj) -> None:
    if plan.apply:
        plan.apply(obj)
    for name, shape, inner in plan.fields:
        value = obj.get(name)
        if not value and value != {}:
            continue
        if shape == "struct":
            _walk(inner, value)
        else:
            for item in value if shape == "list" else value.values():
                _walk(inner, item)
