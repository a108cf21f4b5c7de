"""What fields the kinds have: types, list keys and merge strategies, compiled lazily from schema.json.

schema.json is made by tools/make_kubernetes_schema.py from Kubernetes' own published definitions. Custom resources, which have no entry
there, have what their definitions say.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from lab.kubernetes.kind import Kind

Shape = Literal["scalar", "struct", "list", "map", "any"]


@dataclass(eq=False, slots=True)
class Node:
    """The type of one place in an object."""

    shape: Shape
    scalar: str = ""  # string int32 int64 bool double bytes time microtime quantity intorstring
    struct: str = ""  # `core.v1.Container`
    fields: dict[str, Node] = field(default_factory=dict)
    element: Node | None = None  # of a list or a map
    atomic: bool = False  # changes as a whole: one owner, no merging
    list_type: str = ""  # atomic set map
    keys: tuple[str, ...] = ()  # of a list of type map: what makes an item that item
    merge_key: str = ""  # strategic merge's (single) key; may be there without `keys`
    strategy: frozenset[str] = frozenset()  # strategic merge: merge, retainKeys, replace
    open: bool = False  # a struct that may have any further field

    @property
    def go_type(self) -> str:
        """How Go's decoder names it in its errors."""
        if self.shape == "struct":
            parts = self.struct.split(".")
            return ".".join(parts[-2:])
        if self.shape == "list":
            return f"[]{self.element.go_type}" if self.element else "[]interface {}"
        if self.shape == "map":
            return f"map[string]{self.element.go_type}" if self.element else "map[string]interface {}"
        return {"bytes": "[]uint8", "double": "float64"}.get(self.scalar, self.scalar or "interface {}")


ANY = Node("any")
STRING = Node("scalar", scalar="string")
# The API server's schema has defaults for these keys of lists, which the published definitions leave out.
KEY_DEFAULTS: dict[str, Any] = {"protocol": "TCP"}


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads((Path(__file__).parent / "schema.json").read_text())
    return table


@cache
def struct_node(name: str) -> Node:
    """A struct by its short name, `meta.v1.ObjectMeta`."""
    return _struct(name)


_structs: dict[str, Node] = {}


def _struct(name: str) -> Node:
    node = _structs.get(name)
    if node is None:
        entry = _table()["structs"][name]
        node = _structs[name] = Node("struct", struct=name, atomic=entry.get("atomic", False))
        for key, code in entry["fields"].items():
            node.fields[key] = _compile(code)
        if name in OPEN_STRUCTS:
            node.open = True
    return node


# JSON Schema inside a CustomResourceDefinition refers to itself and carries free values; the server keeps it as it comes.
OPEN_STRUCTS = {"apiextensions.v1.JSONSchemaProps"}


def _compile(code: str | dict[str, Any]) -> Node:
    if isinstance(code, str):
        if code.startswith("@"):
            return _struct(code[1:])
        return ANY if code == "any" else Node("scalar", scalar=code)
    strategy = frozenset(code.get("strategy", "").split(",")) - {""}
    atomic = code.get("type") == "atomic"
    if "struct" in code:
        base = _struct(code["struct"])
        return Node("struct", struct=base.struct, fields=base.fields, atomic=atomic or base.atomic, strategy=strategy, open=base.open)
    if "map" in code:
        return Node("map", element=_compile(code["map"]), atomic=atomic, strategy=strategy)
    kind = code.get("type", "atomic")
    keys = tuple(sorted(code.get("keys", ())))
    return Node(
        "list", element=_compile(code["list"]), atomic=kind == "atomic", list_type=kind, keys=keys, merge_key=code.get("merge", ""), strategy=strategy
    )


def root(kind: Kind) -> Node:
    """The schema of a kind's objects."""
    if kind.definition is not None:
        return kind.definition.node
    name = _table()["kinds"].get(f"{kind.api_version}/{kind.kind}")
    return _struct(name) if name else open_root(kind)


@cache
def open_root(kind: Kind) -> Node:
    """The schema of an object of which only the metadata is known."""
    fields = {"apiVersion": STRING, "kind": STRING, "metadata": struct_node("meta.v1.ObjectMeta")}
    return Node("struct", struct=f"{kind.group}.{kind.version}.{kind.kind}", fields=fields, open=True)


def is_builtin(kind: Kind) -> bool:
    """Whether the kind's fields are known here; custom resources' are not."""
    return f"{kind.api_version}/{kind.kind}" in _table()["kinds"]
