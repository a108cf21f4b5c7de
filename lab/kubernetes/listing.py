"""get and list: what a read may ask for, and which state it sees."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson

from lab.kubernetes.call import Call
from lab.kubernetes.errors import ApiError, FieldError, bad_request, expired, invalid_as, not_found
from lab.kubernetes.kinds import Kind
from lab.kubernetes.negotiation import Form
from lab.kubernetes.paging import FROM_NOW, decode_token, encode_token, gone, next_start, start_index
from lab.kubernetes.registry import Registry
from lab.kubernetes.selectors import Test, labels_of, parse_fields, parse_labels
from lab.kubernetes.store import Expired
from lab.kubernetes.tables import encode_table
from lab.kubernetes.versions import to_served

Obj = dict[str, Any]

_FUTURE_WAIT = 3.0  # real seconds that a read waits for a version that is not there yet


def selection(kind: Kind, call: Call) -> Test | None:
    """The selectors of a request as one test; None when there are none."""
    labels, fields = call.query.get("labelSelector"), call.query.get("fieldSelector")
    by_label = parse_labels(labels) if labels else None
    by_field = parse_fields(kind, fields) if fields else None
    if by_label and by_field:
        return lambda obj: by_label(labels_of(obj)) and by_field(obj)
    if by_label:
        return lambda obj: by_label(labels_of(obj))
    return by_field


def check_list_options(call: Call, watch: bool) -> None:
    """422 for options that do not go together."""
    match, version = call.query.get("resourceVersionMatch", ""), call.query.get("resourceVersion", "")
    initial = call.flag("sendInitialEvents")
    fault = _watch_fault(match, initial) if watch else _list_fault(match, version, initial)
    if match not in ("", "Exact", "NotOlderThan"):
        text = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
        fault = FieldError("FieldValueNotSupported", text, "resourceVersionMatch")
    if fault:
        raise invalid_as("ListOptions.meta.k8s.io", "meta.k8s.io", "ListOptions", "", [fault])


def _forbidden(field: str, why: str) -> FieldError:
    return FieldError("FieldValueForbidden", f"Forbidden: {why}", field)


def _watch_fault(match: str, initial: bool | None) -> FieldError | None:
    if initial is None:
        if match:
            return _forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        return None
    if match != "NotOlderThan":
        return _forbidden("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    return None


def _list_fault(match: str, version: str, initial: bool | None) -> FieldError | None:
    if initial is not None:
        return _forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")
    if match and not version:
        return _forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match == "Exact" and version == "0":
        return _forbidden("resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    return None


def parse_version(text: str) -> int:
    """A resourceVersion; ValueError with the server's words for anything but digits."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


async def _reach(registry: Registry, text: str) -> int:
    """Wait a little for a version of the future; 504 when it does not come."""
    if not text:
        return 0
    try:
        version = parse_version(text)
    except ValueError as error:
        raise bad_request(f"invalid resource version: {error}") from None
    until = time.monotonic() + _FUTURE_WAIT
    while version > registry.store.version:
        if time.monotonic() >= until:
            details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}], "retryAfterSeconds": 1}
            message = f"Timeout: Too large resource version: {version}, current: {registry.store.version}"
            raise ApiError(504, message, "Timeout", details, {"Retry-After": "1"})
        await asyncio.sleep(0.02)
    return version


async def get(registry: Registry, kind: Kind, call: Call, form: Form) -> bytes:
    """One object as JSON."""
    await _reach(registry, call.query.get("resourceVersion", ""))
    obj = registry.find(registry.kinds.stored(kind), call.target.namespace, call.target.name)
    if obj is None:
        raise not_found(kind, call.target.name)
    return encode_one(registry, kind, obj, form)


def encode_one(registry: Registry, kind: Kind, obj: Obj, form: Form) -> bytes:
    """One stored object in the shape the client takes."""
    if form.shape == "Table":
        return encode_table(registry, kind, [obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")}, form)
    if form.shape:
        return orjson.dumps(partial(obj, form.version))
    return encode_object(registry, kind, obj)


def encode_object(registry: Registry, kind: Kind, obj: Obj) -> bytes:
    """One stored object whole."""
    if kind.stored_as:
        return orjson.dumps(to_served(kind, obj))
    return b'{"kind":"%s","apiVersion":"%s",%s' % (kind.kind.encode(), kind.api_version.encode(), registry.store.encoded(obj)[1:])


def partial(obj: Obj, version: str) -> Obj:
    """An object's metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


def _encode_item(registry: Registry, kind: Kind, obj: Obj) -> bytes:
    if kind.stored_as:
        return orjson.dumps({key: value for key, value in to_served(kind, obj).items() if key not in ("kind", "apiVersion")})
    return registry.store.encoded(obj)


async def listed(registry: Registry, kind: Kind, call: Call) -> tuple[list[Obj], Obj]:
    """The items of a list and its metadata, by all rules of versions and pages."""
    limit, token = call.number("limit") or 0, call.query.get("continue", "")
    check_list_options(call, watch=False)
    text, match = call.query.get("resourceVersion", ""), call.query.get("resourceVersionMatch", "")
    if token and text not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")
    test = selection(kind, call)
    stored = registry.kinds.stored(kind)
    namespace = call.target.namespace if call.target.in_namespace else None
    wide = namespace is None and kind.namespaced
    version, start = decode_token(token) if token else (await _reach(registry, text), "")
    store = registry.store
    if token and version != FROM_NOW:
        items = _items_at(registry, stored, version, namespace, gone(version, start))
    elif match == "Exact" or (limit > 0 and text not in ("", "0") and match != "NotOlderThan"):
        items = _items_at(registry, stored, version, namespace, expired("The resourceVersion for the provided list is too old."))
    else:
        items, version = store.items(stored, namespace), store.version
    if start:
        items = items[start_index(items, start, wide) :]
    if test:
        items = [item for item in items if test(item)]
    meta: Obj = {"resourceVersion": str(version)}
    if 0 < limit < len(items) and not (text == "0" and not match):
        meta["continue"] = encode_token(version, next_start(items[limit - 1], wide))
        if test is None:
            meta["remainingItemCount"] = len(items) - limit
        items = items[:limit]
    return items, meta


def _items_at(registry: Registry, kind: Kind, version: int, namespace: str | None, error: ApiError) -> list[Obj]:
    if version == registry.store.version:
        return registry.store.items(kind, namespace)
    try:
        return registry.store.items_at(kind, version, namespace)
    except Expired:
        raise error from None


async def list_(registry: Registry, kind: Kind, call: Call, form: Form) -> bytes:
    """A list as JSON."""
    items, meta = await listed(registry, kind, call)
    return encode_list(registry, kind, items, meta, form)


def encode_list(registry: Registry, kind: Kind, items: list[Obj], meta: Obj, form: Form) -> bytes:
    """A list in the shape the client takes."""
    if form.shape == "Table":
        return encode_table(registry, kind, items, meta, form)
    if form.shape:
        value = {"kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{form.version}", "metadata": meta}
        return orjson.dumps({**value, "items": [partial(item, form.version) for item in items] or None})
    if kind.custom:
        meta = {"continue": "", **meta}
    head = orjson.dumps({"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": meta})
    if kind.custom:
        return head[:-1] + b',"items":[' + b",".join(encode_object(registry, kind, item) for item in items) + b"]}\n"
    return head[:-1] + b',"items":[' + b",".join(_encode_item(registry, kind, item) for item in items) + b"]}\n"
