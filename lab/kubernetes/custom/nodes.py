"""A structural schema as server-side apply sees it: which lists are merged by keys, which values are taken as a whole."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.schema import ANY, STRING, Node, struct_node

Obj = dict[str, Any]

_SCALARS = {"string": "string", "integer": "int64", "number": "double", "boolean": "bool"}


def root_node(name: str, schema: Obj) -> Node:
    """The type of a whole object."""
    node = node_of(schema, name)
    if node.shape != "struct":
        node = Node("struct", struct=name, open=True)
    node.fields.update(apiVersion=STRING, kind=STRING, metadata=struct_node("meta.v1.ObjectMeta"))
    return node


def node_of(schema: Obj, name: str = "") -> Node:
    """The type of a value with this schema."""
    if schema.get("x-kubernetes-int-or-string"):
        return Node("scalar", scalar="intorstring")
    kind, preserve = schema.get("type"), bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if kind == "object":
        return _object_node(schema, name, preserve)
    if kind == "array":
        return _list_node(schema)
    return Node("scalar", scalar=_SCALARS[kind]) if kind in _SCALARS else ANY


def _object_node(schema: Obj, name: str, preserve: bool) -> Node:
    atomic = schema.get("x-kubernetes-map-type") == "atomic"
    values = schema.get("additionalProperties")
    if values and not schema.get("properties"):
        return Node("map", element=node_of(values) if isinstance(values, dict) else ANY, atomic=atomic)
    if preserve and not schema.get("properties"):
        return Node("map", element=ANY, atomic=True) if atomic else ANY if not name else Node("struct", struct=name, open=True)
    node = Node("struct", struct=name, atomic=atomic, open=preserve)
    for key, below in (schema.get("properties") or {}).items():
        node.fields[key] = node_of(below)
    if schema.get("x-kubernetes-embedded-resource"):
        node.fields.update(apiVersion=STRING, kind=STRING, metadata=struct_node("meta.v1.ObjectMeta"))
    return node


def _list_node(schema: Obj) -> Node:
    kind, items = schema.get("x-kubernetes-list-type") or "atomic", schema.get("items") or {}
    keys = tuple(sorted(schema.get("x-kubernetes-list-map-keys") or ()))
    return Node("list", element=node_of(items), atomic=kind == "atomic", list_type=kind, keys=keys)
