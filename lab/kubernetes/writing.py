"""create, update, patch and delete over HTTP."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from lab.kubernetes import patching
from lab.kubernetes.answers import answer, answer_value
from lab.kubernetes.bodies import json_fault, load_json, must_be_object, parse, parse_yaml, type_missing
from lab.kubernetes.call import Call
from lab.kubernetes.context import SYSTEM, Context, DeleteOptions
from lab.kubernetes.custom.reading import decode_custom
from lab.kubernetes.decoding import decode
from lab.kubernetes.errors import bad_request
from lab.kubernetes.kinds import Kind
from lab.kubernetes.listing import encode_list, encode_one, listed
from lab.kubernetes.negotiation import Form, body_encoding, unknown_format
from lab.kubernetes.options import delete_options, unsupported_patch_type, write_context
from lab.kubernetes.registry import Registry
from lab.kubernetes.versions import to_served, to_stored

Obj = dict[str, Any]

PATCH_TYPES = (patching.JSON_PATCH, patching.MERGE_PATCH, patching.STRATEGIC_MERGE_PATCH, patching.APPLY_PATCH)


def read_object(call: Call, kind: Kind, ctx: Context) -> Obj:
    """The object in a body, in the server's own form; warnings go to the client."""
    content_type = call.content_type
    if kind.custom and body_encoding(content_type) == "protobuf":
        raise unknown_format("application/json, application/yaml")
    value, duplicates = parse(call.body, content_type, kind.kind)
    body = must_be_object(value, kind.kind, call.body)
    if kind.custom:
        for field in ("kind", "apiVersion"):
            if not body.get(field):
                raise type_missing(field, kind.kind, call.body)
        obj, warnings = decode_custom(kind, body, ctx.field_validation, duplicates)
    else:
        obj, warnings = decode(kind, body, ctx.field_validation, duplicates)
    for text in warnings:
        ctx.warn(text)
    obj.setdefault("metadata", {})
    return to_stored(kind, obj)


def create(registry: Registry, kind: Kind, call: Call, form: Form) -> web.Response:
    """POST on a collection."""
    ctx = write_context(call, "CreateOptions")
    obj = read_object(call, kind, ctx)
    made = registry.create(registry.kinds.stored(kind), obj, call.target.namespace, ctx)
    return answer(encode_one(registry, kind, made, form), form, 201, call.warnings)


def update(registry: Registry, kind: Kind, call: Call, form: Form, subresource: str | None = None) -> web.Response:
    """PUT on an item or a subresource."""
    ctx = write_context(call, "UpdateOptions")
    obj = read_object(call, kind, ctx)
    settle_name(obj["metadata"], kind, call)
    done = registry.replace(registry.kinds.stored(kind), obj, subresource, ctx)
    return answer(encode_one(registry, kind, done, form), form, 200, call.warnings)


def settle_name(meta: Obj, kind: Kind, call: Call) -> None:
    """Name and namespace of a body have to be those of the path; 400 otherwise."""
    name, namespace = call.target.name, call.target.namespace
    if not meta.get("name"):
        meta["name"] = name
    if meta["name"] != name:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")
    if kind.namespaced:
        if meta.get("namespace") and meta["namespace"] != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        meta["namespace"] = namespace


def read_patch(call: Call) -> tuple[Any, str]:
    """The body of a PATCH and its type."""
    content_type = call.content_type.partition(";")[0].strip()
    if content_type not in PATCH_TYPES:
        raise unsupported_patch_type()
    if content_type == patching.APPLY_PATCH:
        return parse_yaml(call.body), content_type
    try:
        return load_json(call.body), content_type
    except ValueError:
        raise bad_request(f"error decoding patch: {json_fault(call.body)}") from None


def patch(registry: Registry, kind: Kind, call: Call, form: Form, subresource: str | None = None) -> web.Response:
    """PATCH on an item or a subresource."""
    body, content_type = read_patch(call)
    ctx = write_context(call, "PatchOptions", content_type == patching.APPLY_PATCH)
    target, stored = call.target, registry.kinds.stored(kind)
    if kind.custom and kind.stored_as and isinstance(body, dict) and body.get("apiVersion") == kind.api_version:
        body = to_stored(kind, body)
    obj, made = registry.patch(stored, target.namespace, target.name, body, content_type, subresource, ctx, bool(call.flag("force")))
    return answer(encode_one(registry, kind, obj, form), form, 201 if made else 200, call.warnings)


def delete_body(call: Call) -> Any:
    """What a DELETE brings along."""
    if not call.body:
        return None
    value, _ = parse(call.body, call.content_type, "DeleteOptions")
    return value


def delete(registry: Registry, kind: Kind, call: Call, form: Form) -> web.Response:
    """DELETE on an item."""
    options = delete_options(call, delete_body(call))
    if options.propagation is None and "orphanDependents" not in call.query and kind.kind == "Job":
        call.warnings.append("child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or "
                             "set propagationPolicy=Orphan to suppress this warning")  # fmt: skip
    done = registry.delete(registry.kinds.stored(kind), call.target.namespace, call.target.name, options, SYSTEM)
    if done.gone and not kind.delete_answers_object:
        return answer_value(_success(kind, done.object), form, 200, call.warnings)
    if options.dry_run:
        return answer_value(to_served(kind, done.object), form, 200, call.warnings)
    return answer(encode_one(registry, kind, done.object, form), form, 200, call.warnings)


def _success(kind: Kind, obj: Obj) -> Obj:
    meta = obj["metadata"]
    details: Obj = {"name": meta["name"]}
    if kind.group:
        details["group"] = kind.group
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": {**details, "kind": kind.plural, "uid": meta["uid"]}
    }  # fmt: skip


async def delete_collection(registry: Registry, kind: Kind, call: Call, form: Form) -> web.Response:
    """DELETE on a collection: everything the selectors match; answers what it was."""
    options = delete_options(call, delete_body(call))
    items, meta = await listed(registry, kind, call)
    stored = registry.kinds.stored(kind)
    for item in items:
        name, namespace = item["metadata"]["name"], item["metadata"].get("namespace", "")
        if registry.find(stored, namespace, name):
            registry.delete(stored, namespace, name, DeleteOptions(options.grace, options.propagation, None, None, options.dry_run))
    return answer(encode_list(registry, kind, items, meta, form), form, 200, call.warnings)
