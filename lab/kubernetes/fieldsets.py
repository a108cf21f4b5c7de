"""Sets of field paths, as trees in the `fieldsV1` form itself.

`{}` under a key is a member; a member that has members below it carries `"."` besides them. So trees go into managedFields as they are.
Keys: `f:name` a field, `k:{"name":"a"}` an item of a keyed list, `v:"x"` an item of a set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Tree = dict[str, Any]

SELF = "."


def is_member(node: Tree) -> bool:
    """Whether the path that leads to this node is itself in the set."""
    return not node or SELF in node


def _fold(children: Tree, member: bool) -> Tree | None:
    """A node of these children; None when there is nothing in it."""
    if not children:
        return {} if member else None
    if member:
        return {SELF: {}, **children}
    return children


def ordered(tree: Tree) -> Tree:
    """The same set with its keys in the order in which the server writes them."""
    return {key: ordered(tree[key]) if tree[key] else {} for key in sorted(tree)}


def union(left: Tree, right: Tree) -> Tree:
    """What is in either. Roots: never members themselves."""
    if not left:
        return right
    if not right:
        return left
    result = dict(left)
    for key, node in right.items():
        result[key] = _union(result[key], node) if key in result else node
    return result


def _union(left: Tree, right: Tree) -> Tree:
    if left == right:
        return left
    children = {key: node for key, node in left.items() if key != SELF}
    for key, node in right.items():
        if key != SELF:
            children[key] = _union(children[key], node) if key in children else node
    folded = _fold(children, is_member(left) or is_member(right))
    return {} if folded is None else folded


def difference(left: Tree, right: Tree) -> Tree:
    """What is in the left one only."""
    if not left or not right:
        return left
    result: Tree = {}
    for key, node in left.items():
        if key == SELF:
            continue
        other = right.get(key)
        rest = node if other is None else _difference(node, other)
        if rest is not None:
            result[key] = rest
    return result


def _difference(left: Tree, right: Tree) -> Tree | None:
    children = {key: node for key, node in left.items() if key != SELF}
    return _fold(difference(children, right), is_member(left) and not is_member(right))


def intersection(left: Tree, right: Tree) -> Tree:
    """What is in both."""
    if not left or not right:
        return {}
    result: Tree = {}
    for key, node in left.items():
        other = right.get(key)
        if other is not None and key != SELF:
            both = _fold(intersection(node, other), is_member(node) and is_member(other))
            if both is not None:
                result[key] = both
    return result


def members(tree: Tree, path: str = "") -> Iterator[str]:
    """The paths in the set, as messages write them: `.spec.containers[name="a"].image`."""
    for key in sorted(tree):
        if key == SELF:
            continue
        node, below = tree[key], path + text(key)
        if is_member(node):
            yield below
        yield from members(node, below)


def text(key: str) -> str:
    """One step of a path, as messages write it."""
    kind, _, rest = key.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "v":
        return f"[={rest}]"
    keys = json.loads(rest)
    return "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(keys.items())) + "]"


def insert(tree: Tree, *keys: str) -> None:
    """Put one path into a set, in place."""
    for key in keys[:-1]:
        child = tree.get(key)
        if child is None:
            child = tree[key] = {}
        elif not child:
            child[SELF] = {}
        tree = child
    last = tree.get(keys[-1])
    if last is None:
        tree[keys[-1]] = {}
    elif last:
        last[SELF] = {}
