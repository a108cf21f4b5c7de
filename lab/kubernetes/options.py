"""Options of writes: dryRun, fieldManager, fieldValidation, and what a delete may say. All wrong ones are 422."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.kubernetes.call import Call
from lab.kubernetes.context import Context, DeleteOptions
from lab.kubernetes.errors import ApiError, FieldError, bad_request, invalid_as

Obj = dict[str, Any]


def _unsupported(field: str, shown: str, values: str) -> FieldError:
    return FieldError("FieldValueNotSupported", f"Unsupported value: {shown}: supported values: {values}", field)


def write_context(call: Call, what: str, apply: bool = False) -> Context:
    """The context of a create, update or patch. `what`: CreateOptions, UpdateOptions, PatchOptions."""
    query = call.query
    errors = [*_dry_run(query), *_field_manager(query, apply)]
    validation = query.get("fieldValidation", "")
    if validation not in ("", "Ignore", "Strict", "Warn"):
        errors.append(_unsupported("fieldValidation", f'"{validation}"', '"", "Ignore", "Strict", "Warn"'))
    if what == "PatchOptions" and not apply and query.get("force"):
        errors.append(FieldError("FieldValueForbidden", "Forbidden: may not be specified for non-apply patch", "force"))
    if errors:
        raise invalid_as(f"{what}.meta.k8s.io", "meta.k8s.io", what, "", errors)
    return Context(
        call.user,
        call.groups,
        call.uid,
        query.get("fieldManager") or manager_of(call.request.headers.get("User-Agent", "")),
        "dryRun" in query and query["dryRun"] != "",
        validation or "Warn",
        call.warnings,
        call.extra,
    )


def manager_of(user_agent: str) -> str:
    """The field manager of a client that names none: its User-Agent up to the slash."""
    return user_agent.partition("/")[0][:128] or "unknown"


def _dry_run(query: Mapping[str, str]) -> list[FieldError]:
    value = query.get("dryRun", "")
    return [] if value in ("", "All") else [_unsupported("dryRun", f'["{value}"]', '"All"')]


def _field_manager(query: Mapping[str, str], apply: bool) -> list[FieldError]:
    value = query.get("fieldManager", "")
    if len(value) > 128:
        return [FieldError("FieldValueTooLong", "Too long: may not be more than 128 bytes", "fieldManager")]
    if apply and not value:
        return [FieldError("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")]
    return []


_POLICIES = '"Foreground", "Background", "Orphan", "nil"'


def delete_options(call: Call, body: Any) -> DeleteOptions:
    """What a delete asks for, in its query and its body (the body wins)."""
    given: Obj = {}
    for name in ("propagationPolicy", "dryRun"):
        if call.query.get(name):
            given[name] = call.query[name] if name != "dryRun" else [call.query[name]]
    if (grace := call.number("gracePeriodSeconds")) is not None:
        given["gracePeriodSeconds"] = grace
    if (orphan := call.flag("orphanDependents")) is not None:
        given["orphanDependents"] = orphan
    if isinstance(body, dict):
        given.update({key: value for key, value in body.items() if value is not None})
    errors = _delete_faults(given)
    if errors:
        raise invalid_as("DeleteOptions.meta.k8s.io", "meta.k8s.io", "DeleteOptions", "", errors)
    policy = given.get("propagationPolicy")
    if policy is None and "orphanDependents" in given:
        policy = "Orphan" if given["orphanDependents"] else "Background"
    conditions = given.get("preconditions") or {}
    grace = given.get("gracePeriodSeconds")
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise bad_request(f"json: cannot unmarshal {type(grace).__name__} into Go struct field DeleteOptions.gracePeriodSeconds of type int64")
    return DeleteOptions(grace, policy, conditions.get("uid"), conditions.get("resourceVersion"), bool(given.get("dryRun")))


def _delete_faults(given: Obj) -> list[FieldError]:
    policy, dry_run = given.get("propagationPolicy"), given.get("dryRun")
    errors = []
    if policy is not None and "orphanDependents" in given:
        text = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        errors.append(FieldError("FieldValueInvalid", text, "propagationPolicy"))
    if policy not in (None, "Foreground", "Background", "Orphan"):
        errors.append(_unsupported("propagationPolicy", f'"{policy}"', _POLICIES))
    if dry_run and dry_run != ["All"]:
        errors.append(_unsupported("dryRun", "[" + ", ".join(f'"{one}"' for one in dry_run) + "]", '"All"'))
    return errors


def unsupported_patch_type() -> ApiError:
    """415: a PATCH whose type is none of the four."""
    return ApiError(415, "415: Unsupported Media Type", "UnsupportedMediaType", {})
