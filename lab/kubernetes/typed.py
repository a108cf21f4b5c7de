"""Objects as server-side apply sees them: which fields they set, how two of them differ, how one is merged into another.

Follows the API server's structured-merge-diff library. List items are found by their keys, so an object's fields keep their owners when items move.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from lab.kubernetes.fieldsets import SELF, Tree
from lab.kubernetes.schema import ANY, KEY_DEFAULTS, Node

Obj = dict[str, Any]

_ANY_MAP = Node("map", element=ANY)
_ANY_LIST = Node("list", element=ANY, atomic=True, list_type="atomic")


def known(node: Node, value: Any) -> Node:
    """The type of a value; where the schema says nothing, what the value looks like."""
    if node.shape == "any":
        return _ANY_MAP if isinstance(value, dict) else _ANY_LIST if isinstance(value, list) else ANY
    return node


def child(node: Node, key: str) -> Node:
    """The type of a field or map entry."""
    if node.shape == "struct":
        return node.fields.get(key, ANY)
    return node.element or ANY


def item_key(node: Node, item: Any) -> str:
    """The path step of a list item: by its keys, or by its value in a set."""
    if node.list_type == "set" or not isinstance(item, dict):
        return "v:" + json.dumps(item, separators=(",", ":"))
    if len(node.keys) == 1 and isinstance(name := item.get(node.keys[0]), str) and name.isascii() and '"' not in name and "\\" not in name:
        return f'k:{{"{node.keys[0]}":"{name}"}}'
    keys = {key: item[key] if key in item else KEY_DEFAULTS[key] for key in node.keys if key in item or key in KEY_DEFAULTS}
    return "k:" + json.dumps(keys, separators=(",", ":"))


def field_set(node: Node, value: Any) -> Tree:
    """The fields that an applied object sets."""
    tree: Tree = {}
    if node.shape in ("struct", "map"):
        for key, entry in value.items():
            below = child(node, key)
            leaf = _leaf(below, entry)
            inner = {} if leaf else field_set(known(below, entry), entry)
            if not leaf and not inner and isinstance(entry, list):
                continue  # an empty list sets nothing
            if inner and key not in node.fields:
                inner[SELF] = {}
            tree["f:" + key] = inner
    else:
        for item in value:
            inner = {} if _leaf(node.element or ANY, item) else field_set(known(node.element or ANY, item), item)
            if inner:
                inner[SELF] = {}
            tree[item_key(node, item)] = inner
    return tree


def _leaf(node: Node, value: Any) -> bool:
    """Whether a value is owned as a whole: scalars, null, empty maps, everything atomic."""
    if isinstance(value, dict):
        return not value or node.atomic
    if isinstance(value, list):
        return known(node, value).atomic
    return True


@dataclass(slots=True)
class Difference:
    """How an object differs from an earlier one."""

    changed: Tree = field(default_factory=dict)  # added or modified
    removed: Tree = field(default_factory=dict)


def compare(node: Node, old: Any, new: Any) -> Difference:
    """What was added or modified, and what was removed."""
    found = Difference()
    _compare_maps(node, old, new, found)
    return found


def _compare_maps(node: Node, old: Obj, new: Obj, into: Difference) -> None:
    for key, value in new.items():
        if key not in old:
            into.changed["f:" + key] = _all_of(child(node, key), value)
        elif old[key] is not value and old[key] != value:
            _compare_values(child(node, key), old[key], value, "f:" + key, into)
    for key, value in old.items():
        if key not in new:
            into.removed["f:" + key] = _all_of(child(node, key), value)


def _compare_values(node: Node, old: Any, new: Any, step: str, into: Difference) -> None:
    """Two values that differ, at the same place."""
    old, new = _same_shape(old, new)
    if type(old) is not type(new) or not isinstance(new, dict | list) or known(node, new).atomic or (not old and not new):
        into.changed[step] = {}
        return
    inner = Difference()
    if isinstance(new, dict):
        _compare_maps(known(node, new), old, new, inner)
    else:
        _compare_lists(node, old, new, inner)
    if inner.changed:
        into.changed[step] = inner.changed
    if inner.removed:
        into.removed[step] = inner.removed


def _same_shape(old: Any, new: Any) -> tuple[Any, Any]:
    """Null where a map or list stands on the other side is an empty one that was there already."""
    if old is None and isinstance(new, dict | list):
        old = type(new)()
    if new is None and isinstance(old, dict | list):
        new = type(old)()
    return old, new


def _compare_lists(node: Node, old: list[Any], new: list[Any], into: Difference) -> None:
    before = {item_key(node, item): item for item in old}
    after = {item_key(node, item): item for item in new}
    element = node.element or ANY
    for step, item in after.items():
        if step not in before:
            into.changed[step] = _all_of(element, item)
        elif before[step] != item:
            _compare_values(element, before[step], item, step, into)
    for step, item in before.items():
        if step not in after:
            into.removed[step] = _all_of(element, item)


def _all_of(node: Node, value: Any) -> Tree:
    """Every path at and below a value that came or went as a whole."""
    if _leaf(node, value) or not value:
        return {}
    node = known(node, value)
    tree: Tree = {SELF: {}}
    if isinstance(value, dict):
        for key, entry in value.items():
            tree["f:" + key] = _all_of(child(node, key), entry)
    else:
        for item in value:
            tree[item_key(node, item)] = _all_of(node.element or ANY, item)
    return tree


def merge(node: Node, live: Any, applied: Any) -> Any:
    """The live value with the applied one worked in; neither is changed, parts of both may be shared."""
    if live is None or (_leaf(node, applied) and applied != {}):
        return applied
    node = known(node, applied)
    if isinstance(applied, dict) and isinstance(live, dict) and not node.atomic:
        result = dict(live)
        for key, value in applied.items():
            result[key] = merge(child(node, key), live.get(key), value)
        return result
    if isinstance(applied, list) and isinstance(live, list):
        return _merge_lists(node, live, applied)
    return applied


def _merge_lists(node: Node, live: list[Any], applied: list[Any]) -> list[Any]:
    """Items in the order of the applied list, with those it does not name left where they stood."""
    element = node.element or ANY
    left, right = [item_key(node, item) for item in live], [item_key(node, item) for item in applied]
    before, after = dict(zip(left, live, strict=True)), dict(zip(right, applied, strict=True))
    shared = iter([step for step in right if step in before])
    wanted = next(shared, None)
    result: list[Any] = []
    i = j = 0
    while i < len(left) or j < len(right):
        if i < len(left) and j < len(right) and left[i] != right[j] and left[i] in after and wanted is not None and left[i] != wanted:
            i += 1  # comes later, in the applied order
        elif i < len(left) and left[i] not in after:
            result.append(before[left[i]])
            i += 1
        elif j < len(right):
            step = right[j]
            result.append(merge(element, before.get(step), after[step]))
            if i < len(left) and left[i] == step:
                i += 1
            j += 1
            if step == wanted:
                wanted = next(shared, None)
        else:
            i += 1
    return result


def prune(node: Node, value: Any, gone: Tree, kept: Tree) -> Any:
    """The value without what was applied before (`gone`) and nobody owns any more (`kept`); an item or struct goes as a whole."""
    node = known(node, value)
    if isinstance(value, dict) and not node.atomic:
        result = dict(value)
        for key, entry in value.items():
            step = "f:" + key
            if step not in gone:
                continue
            if step not in kept:
                if SELF in gone[step] or not gone[step] or key in node.fields:
                    del result[key]
            elif gone[step]:
                result[key] = prune(child(node, key), entry, gone[step], kept[step])
        return result
    if isinstance(value, list) and not node.atomic:
        items = []
        for item in value:
            step = item_key(node, item)
            if step in gone and step not in kept:
                continue
            items.append(prune(node.element or ANY, item, gone[step], kept[step]) if gone.get(step) else item)
        return items
    return value
