"""Webhooks around writes over HTTP: what a write would come to is shown to them first; what they change goes into its body."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from lab.kubernetes import patching
from lab.kubernetes.call import Call
from lab.kubernetes.context import Context
from lab.kubernetes.kinds import Kind
from lab.kubernetes.options import delete_options, write_context
from lab.kubernetes.registry import Registry
from lab.kubernetes.versions import to_served
from lab.kubernetes.webhooks import OPERATIONS, Webhooks
from lab.kubernetes.writing import delete_body, read_object, read_patch, settle_name

Obj = dict[str, Any]

_SUBRESOURCES = ("", "status")  # others do not come to an object of this kind
_OPTIONS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}


async def admit(registry: Registry, webhooks: Webhooks, kind: Kind, call: Call) -> None:
    """Ask the webhooks about a write that is going to be done; ApiError when one refuses."""
    operation = OPERATIONS.get(call.verb)
    if operation is None or not kind.stored or call.target.subresource not in _SUBRESOURCES or not webhooks.any():
        return
    stored = registry.kinds.stored(kind)
    old = registry.find(stored, call.target.namespace, call.target.name) if call.target.name else None
    if call.verb == "delete":
        if old is not None:
            options = delete_options(call, delete_body(call))
            await webhooks.mutate(kind, call, operation, None, old, options.dry_run)
            await webhooks.validate(kind, call, operation, None, old, options.dry_run)
        return
    new, ctx = _outcome(registry, kind, call)
    if call.verb == "patch" and old is None:
        operation = "CREATE"
    mutated = await webhooks.mutate(kind, call, operation, new, old, ctx.dry_run)
    if mutated is not None and (mutated != new or (call.verb == "create" and new["metadata"].get("generateName"))):
        _put_into_body(call, mutated, made=operation == "CREATE")
        mutated, _ = _outcome(registry, kind, call)
    await webhooks.validate(kind, call, operation, mutated, old, ctx.dry_run)


def _outcome(registry: Registry, kind: Kind, call: Call) -> tuple[Obj, Context]:
    """What the write would come to, nothing done."""
    stored, target = registry.kinds.stored(kind), call.target
    if call.verb == "patch":
        body, content_type = read_patch(call)
        ctx = write_context(call, _OPTIONS["patch"], content_type == patching.APPLY_PATCH)
        trial = replace(ctx, dry_run=True, warnings=None)
        force = bool(call.flag("force"))
        done, _ = registry.patch(stored, target.namespace, target.name, body, content_type, target.subresource or None, trial, force)
        return to_served(kind, done), ctx
    ctx = write_context(call, _OPTIONS[call.verb])
    trial = replace(ctx, dry_run=True, warnings=None)
    obj = read_object(call, kind, trial)
    if call.verb == "create":
        return to_served(kind, registry.create(stored, obj, target.namespace, trial)), ctx
    settle_name(obj["metadata"], kind, call)
    return to_served(kind, registry.replace(stored, obj, target.subresource or None, trial)), ctx


def _put_into_body(call: Call, obj: Obj, made: bool) -> None:
    if made:
        meta = {key: value for key, value in obj["metadata"].items() if key not in ("uid", "creationTimestamp", "resourceVersion", "managedFields")}
        obj = {**obj, "metadata": meta}
    if call.verb == "patch" and not made:
        call.body, call.content_type = orjson.dumps([{"op": "replace", "path": "", "value": obj}]), patching.JSON_PATCH
    elif call.verb == "patch":
        call.body, call.content_type = orjson.dumps(obj), patching.APPLY_PATCH
    else:
        call.body, call.content_type = orjson.dumps(obj), "application/json"
