"""The three plain patches: JSON patch, merge patch, strategic merge patch. All give a new object and leave the old one alone."""

from __future__ import annotations

from typing import Any

import orjson

from lab.kubernetes.errors import ApiError
from lab.kubernetes.gotext import json_kind
from lab.kubernetes.kind import Kind
from lab.kubernetes.schema import is_builtin, root
from lab.kubernetes.strategic import merge_map
from lab.kubernetes.values import clone

Obj = dict[str, Any]

_MOST_OPERATIONS = 10_000
_COPY_LIMIT = 3 * 2**20  # bytes


def _refused() -> ApiError:
    """The one text for every operation that cannot be carried out."""
    return ApiError(422, "the server rejected our request due to an error in our request", "Invalid", {})


def json_patch(obj: Obj, ops: Any) -> Obj:
    """RFC 6902, as the API server's library does it: `replace` of a map key that is not there is accepted."""
    if not isinstance(ops, list):
        message = f"error decoding patch: json: cannot unmarshal {json_kind(ops)} into Go value of type []handlers.jsonPatchOp"
        raise ApiError(400, message, "BadRequest")
    if len(ops) > _MOST_OPERATIONS:
        text = f"The allowed maximum operations in a JSON patch is {_MOST_OPERATIONS}, got {len(ops)}"
        raise ApiError(413, text, "RequestEntityTooLarge")
    document: Any = clone(obj)
    for op in ops:
        if not isinstance(op, dict):
            message = f"error decoding patch: json: cannot unmarshal {json_kind(op)} into Go value of type handlers.jsonPatchOp"
            raise ApiError(400, message, "BadRequest")
        document = _operate(document, op)
    if not isinstance(document, dict):
        raise _refused()
    return document


def _operate(document: Any, op: Obj) -> Any:
    path = op.get("path")
    if not isinstance(path, str):
        raise _refused()
    match op.get("op"):
        case "add":
            return _put(document, path, clone(op.get("value")), insert=True)
        case "replace":
            return _put(document, path, clone(op.get("value")), insert=False)
        case "remove":
            _take(document, path)
            return document
        case "move":
            value = _take(document, _source(op))
            return _put(document, path, value, insert=True)
        case "copy":
            value = clone(_look(document, _source(op)))
            _check_size(value)
            return _put(document, path, value, insert=True)
        case "test":
            if not _same(_look(document, path, missing=None), op.get("value")):
                raise _refused()
            return document
    raise _refused()


def _check_size(value: Any) -> None:
    """413: copies of copies would grow without end."""
    try:
        size = len(orjson.dumps(value))
    except TypeError:
        raise _refused() from None
    if size > _COPY_LIMIT:
        text = f"Unable to complete the copy, the accumulated size increase of copy is {size}, exceeding the limit {_COPY_LIMIT}"
        raise ApiError(413, text, "RequestEntityTooLarge")


def _source(op: Obj) -> str:
    source = op.get("from")
    if not isinstance(source, str):
        raise _refused()
    return source


def _steps(path: str) -> list[str]:
    if path == "":
        return []
    if not path.startswith("/"):
        raise _refused()
    return [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]


def _index(items: list[Any], step: str, *, end: bool = False) -> int:
    """A list position; `-` and the length only where something is added."""
    if end and step == "-":
        return len(items)
    if not step.lstrip("-").isdigit() or (step != "0" and step.startswith("0")):
        raise _refused()
    position = int(step)
    if position < 0:
        position += len(items)
    if not 0 <= position < len(items) + end:
        raise _refused()
    return position


def _down(container: Any, step: str) -> Any:
    if isinstance(container, dict) and step in container:
        return container[step]
    if isinstance(container, list):
        return container[_index(container, step)]
    raise _refused()


def _parent(document: Any, path: str) -> tuple[Any, str]:
    steps = _steps(path)
    for step in steps[:-1]:
        document = _down(document, step)
    return document, steps[-1]


_RAISE = object()


def _look(document: Any, path: str, missing: Any = _RAISE) -> Any:
    if path == "":
        return document
    container, last = _parent(document, path)
    if missing is not _RAISE and isinstance(container, dict) and last not in container:
        return missing
    return _down(container, last)


def _put(document: Any, path: str, value: Any, *, insert: bool) -> Any:
    if path == "":
        return value
    container, last = _parent(document, path)
    if isinstance(container, dict):
        container[last] = value
    elif isinstance(container, list):
        position = _index(container, last, end=insert)
        if insert:
            container.insert(position, value)
        else:
            container[position] = value
    else:
        raise _refused()
    return document


def _take(document: Any, path: str) -> Any:
    if path == "":
        raise _refused()
    container, last = _parent(document, path)
    value = _down(container, last)
    if isinstance(container, dict):
        del container[last]
    else:
        del container[_index(container, last)]
    return value


def _same(left: Any, right: Any) -> bool:
    """JSON equality: true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(_same(a, b) for a, b in zip(left, right, strict=True))
    return bool(left == right)


def merge_patch(obj: Obj, patch: Any) -> Obj:
    """RFC 7386: maps are merged, null takes a key out, everything else is replaced."""
    merged: Obj = _merge(obj, _must_be_object(patch))
    return merged


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return clone(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return {key: clone(value) if key not in patch else value for key, value in merged.items()}


def _must_be_object(patch: Any) -> Obj:
    if not isinstance(patch, dict):
        message = f"error decoding patch: json: cannot unmarshal {json_kind(patch)} into Go value of type map[string]interface {{}}"
        raise ApiError(400, message, "BadRequest")
    return patch


def strategic_merge(kind: Kind, obj: Obj, patch: Any) -> Obj:
    """Kubernetes' own merge: lists of known items are merged by their keys, `$patch` and its relatives steer it."""
    if not is_builtin(kind):
        accepted = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        raise ApiError(415, message, "UnsupportedMediaType")
    return merge_map(clone(obj), clone(_must_be_object(patch)), root(kind))
