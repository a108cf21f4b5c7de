"""Strategic merge patch, the way the API server's library does it, down to the order in which new list items come out."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.gotext import plain
from lab.kubernetes.schema import ANY, Node

Obj = dict[str, Any]
ORDER = "$setElementOrder/"
DELETE = "$deleteFromPrimitiveList/"
RETAIN = "$retainKeys"


def _failed(message: str) -> ApiError:
    return ApiError(500, message)


def merge_map(original: Obj, patch: Obj, node: Node) -> Obj:
    """Merge a patch into an object; both are used up."""
    directive = patch.pop("$patch", None)
    if directive == "replace":
        return patch
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise _failed(f'unknown patch type: "{plain(directive)}"')
    _retain_keys(original, patch)
    _set_orders(original, patch, node)
    for key, value in patch.items():
        if key.startswith(DELETE):
            field = key[len(DELETE) :]
            if not isinstance(value, list):
                raise bad_request("invalid patch format of primitive list")
            if isinstance(original.get(field), list):
                original[field] = [item for item in original[field] if item not in value]
        elif value is None:
            original.pop(key, None)
        elif key not in original or type(original[key]) is not type(value):
            original[key] = _clean(value)
        elif isinstance(value, dict):
            original[key] = _merge_struct(original[key], value, _child(node, key))
        elif isinstance(value, list):
            original[key] = _merge_list(original[key], value, _child(node, key))
        else:
            original[key] = value
    return original


_NOT_JSON = "invalid JSON document"  # so the server calls lists of which the items do not fit together


def _child(node: Node, key: str) -> Node:
    if node.shape == "struct":
        return node.fields.get(key, ANY)
    return node.element or ANY if node.shape == "map" else ANY


def _merge_struct(original: Obj, patch: Obj, node: Node) -> Obj:
    if "replace" in node.strategy:
        return _cleaned_map(patch)
    return merge_map(original, patch, node)


def _retain_keys(original: Obj, patch: Obj) -> None:
    """`$retainKeys`: of what is there, keep only these."""
    retain = patch.pop(RETAIN, None)
    if retain is None:
        return
    if not isinstance(retain, list):
        raise bad_request("invalid patch format of retainKeys")
    extra = [key for key in patch if key not in retain and not key.startswith("$")]
    if extra:
        raise bad_request("invalid patch format of retainKeys")
    for key in [key for key in original if key not in retain]:
        del original[key]


def _set_orders(original: Obj, patch: Obj, node: Node) -> None:
    """`$setElementOrder/list`: merge that list now and bring it into the order asked for."""
    for key in [key for key in patch if key.startswith(ORDER)]:
        field = key[len(ORDER) :]
        order = patch.pop(key)
        if not isinstance(order, list):
            raise bad_request("invalid patch format of setElementOrder list")
        child = _child(node, field)
        changes = patch.pop(field, None)
        if changes is not None and not isinstance(changes, list):
            raise bad_request(_NOT_JSON)
        if changes is None and field not in original:
            continue
        if "merge" not in child.strategy:
            if changes is not None:
                original[field] = changes
            continue
        before = list(original.get(field) or [])
        merged = _merge_list(original.get(field) or [], changes, child) if changes is not None else before
        named = [item for item in merged if _position(order, item, child.merge_key) >= 0]
        others = [item for item in merged if _position(order, item, child.merge_key) < 0]
        original[field] = _ordered(named, others, order, before, child.merge_key)


def _merge_list(original: list[Any], patch: list[Any], node: Node) -> list[Any]:
    if "merge" not in node.strategy:
        return [_clean(item) for item in patch]
    if not original and not patch:
        return original
    first = (patch or original)[0]
    if any(isinstance(item, dict) is not isinstance(first, dict) or isinstance(item, list) for item in (*original, *patch)):
        raise bad_request(_NOT_JSON)
    if not isinstance(first, dict):
        merged = list(dict.fromkeys([*original, *patch]))
        return _by_presence(merged, patch, original, "")
    key = node.merge_key
    if not key:
        raise _failed(f"cannot merge lists without merge key for type {node.go_type}")
    before = list(original)
    original, patch = _special_items(original, patch, key)
    merged = list(original)
    for item in patch:
        value = _key_of(item, key)
        position = next((i for i, there in enumerate(merged) if there.get(key) == value), None)
        if position is None:
            merged.append(_clean(item))
        else:
            merged[position] = merge_map(merged[position], dict(item), node.element or ANY)
    return _by_presence(merged, patch, before, key)


def _special_items(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Carry out items with `$patch`; give what is left of both lists."""
    plain_items: list[Any] = []
    replace = False
    for item in patch:
        directive = item.get("$patch")
        if directive is None:
            plain_items.append(item)
        elif directive == "delete":
            value = _key_of(item, key)
            original = [there for there in original if there.get(key) != value]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise _failed("merging lists cannot yet be specified in the patch")
        else:
            raise _failed(f'unknown patch type: "{directive}"')
    return (plain_items, []) if replace else (original, plain_items)


def _key_of(item: Obj, key: str) -> Any:
    if key not in item:
        raise _failed(f"map: {plain(item)} does not contain declared merge key: {key}")
    return item[key]


def _position(items: list[Any], item: Any, key: str) -> int:
    for position, other in enumerate(items):
        if (other == item) if not key else (isinstance(other, dict) and isinstance(item, dict) and other.get(key) == item.get(key)):
            return position
    return -1


def _by_presence(merged: list[Any], patch: list[Any], original: list[Any], key: str) -> list[Any]:
    named = [item for item in merged if _position(patch, item, key) >= 0]
    others = [item for item in merged if _position(patch, item, key) < 0]
    return _ordered(named, others, patch, original, key)


def _ordered(named: list[Any], others: list[Any], order: list[Any], original: list[Any], key: str) -> list[Any]:
    """Merge what the patch names, in its order, with what only the server has, in its own; when in doubt the patch's come first."""
    named = sorted(named, key=lambda item: _position(order, item, key))
    others = sorted(others, key=lambda item: _position(original, item, key))
    result: list[Any] = []
    while named and others:
        left, right = _position(original, others[0], key), _position(original, named[0], key)
        result.append(others.pop(0) if 0 <= left < right else named.pop(0))
    return result + others + named


def _clean(value: Any) -> Any:
    """A new value as it is put in: without nulls and directives."""
    if isinstance(value, dict):
        return _cleaned_map(value)
    if isinstance(value, list):
        items = [item for item in value if not (isinstance(item, dict) and "$patch" in item)]
        return [_clean(item) for item in items]
    return value


def _cleaned_map(value: Obj) -> Obj:
    return {key: _clean(item) for key, item in value.items() if item is not None and not key.startswith("$")}
