"""PATCH: the four patch types, and what each does when the object is not there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lab.kubernetes.context import Context
from lab.kubernetes.custom.reading import settle
from lab.kubernetes.decoding import decode_patched, read
from lab.kubernetes.errors import ApiError, FieldError, bad_request, conflict, invalid, not_found
from lab.kubernetes.gotext import plain, quoted
from lab.kubernetes.kinds import Kind
from lab.kubernetes.values import clone

if TYPE_CHECKING:
    from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def patch(
    registry: Registry, kind: Kind, namespace: str, name: str, body: Any, content_type: str, subresource: str | None, ctx: Context, force: bool
) -> tuple[Obj, bool]:
    """Carry out a patch; gives the object and whether it was made by it."""
    live = registry.find(kind, namespace, name)
    if content_type == APPLY_PATCH:
        return _apply(registry, kind, namespace, name, live, body, subresource, ctx, force)
    if live is None:
        raise not_found(kind, name)
    new = patched(kind, live, body, content_type)
    new, warnings = decode_patched(kind, new, lambda: _shown(new, body, content_type), ctx.field_validation)
    for warning in warnings:
        ctx.warn(warning)
    _check_identity(kind, new, live)
    return registry.update(kind, live, new, subresource, ctx), False


def patched(kind: Kind, live: Obj, body: Any, content_type: str) -> Obj:
    """A new object: the live one with a JSON, merge or strategic-merge patch worked in."""
    from lab.kubernetes import patches

    if content_type == JSON_PATCH:
        new = patches.json_patch(live, body)
    elif content_type == MERGE_PATCH:
        new = patches.merge_patch(live, body)
    elif content_type == STRATEGIC_MERGE_PATCH:
        new = patches.strategic_merge(kind, live, body)
    else:
        raise ApiError(415, "415: Unsupported Media Type", "UnsupportedMediaType", {})
    from lab.kubernetes.registry import copy

    try:
        result: Obj = copy(new)  # nothing of the live object may be shared with what is going to be changed
    except TypeError as error:  # nested too deeply, by copies
        raise bad_request(f"error decoding patch: {error}") from None
    return result


def _check_identity(kind: Kind, new: Obj, live: Obj) -> None:
    meta, before = new.setdefault("metadata", {}), live["metadata"]
    name, wanted = before["name"], meta.get("name")
    if wanted != name:
        raise bad_request(f"the name of the object ({wanted}) does not match the name on the URL ({name})")
    if meta.get("uid", before["uid"]) != before["uid"]:
        error = FieldError("FieldValueInvalid", f"Invalid value: {quoted(meta['uid'])}: field is immutable", "metadata.uid")
        raise invalid(kind, name, [error, error])  # the server checks metadata twice


def _shown(new: Obj, body: Any, content_type: str) -> str:
    """What stands for the patch when the server refuses what it makes: the patch itself, or the object after it."""
    if content_type == STRATEGIC_MERGE_PATCH:
        return plain(body)
    return json.dumps({key: new[key] for key in sorted(new)}, separators=(",", ":"), ensure_ascii=False)


def _apply(
    registry: Registry, kind: Kind, namespace: str, name: str, live: Obj | None, body: Any, subresource: str | None, ctx: Context, force: bool
) -> tuple[Obj, bool]:
    from lab.kubernetes.apply import server_side_apply
    from lab.kubernetes.registry import copy

    if not isinstance(body, dict):
        raise bad_request("error decoding YAML: the configuration is no object")
    applied: Obj = copy(body)
    meta = applied["metadata"] = applied.get("metadata") or {}
    if not isinstance(meta, dict):
        raise bad_request("error decoding YAML: metadata is no object")
    meta.setdefault("name", name)
    if kind.namespaced and meta.get("namespace", namespace) != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if meta.get("name") != name:
        raise bad_request(f"the name of the object ({meta.get('name')}) does not match the name on the URL ({name})")
    if live is None:
        if subresource is not None:
            raise not_found(kind, name)
        if meta.get("uid"):
            raise conflict(
                kind, name, f"uid mismatch: the provided object specified uid {meta['uid']}, and no existing object was found"
            )
        made = _settled(kind, server_side_apply(kind, None, applied, ctx.manager, force, registry.now(), subresource or ""))
        return registry.insert(kind, made, namespace, ctx, track=False), True
    new = _settled(kind, server_side_apply(kind, live, applied, ctx.manager, force, registry.now(), subresource or ""))
    return registry.update(kind, live, new, subresource, ctx, track=False), False


def _settled(kind: Kind, obj: Obj) -> Obj:
    """What an apply has made, in the server's form and sharing nothing with the live object."""
    try:
        return settle(kind, clone(obj))[0] if kind.custom else read(kind, obj)[0]
    except ValueError as error:
        raise ApiError(500, f"failed to convert new object ({obj['metadata'].get('name', '')}): {error}") from None
