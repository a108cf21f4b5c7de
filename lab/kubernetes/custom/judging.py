"""Whether a custom resource is as its definition wants it."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.custom.cel_rules import rule_faults
from lab.kubernetes.custom.definition import Definition
from lab.kubernetes.custom.jsonpath import first
from lab.kubernetes.custom.structural import walk
from lab.kubernetes.custom.values import MISSING, double_items, faults
from lab.kubernetes.errors import FieldError
from lab.kubernetes.kind import Kind
from lab.kubernetes.validation.faults import Faults
from lab.kubernetes.validation.metadata import check_metadata, check_metadata_update

Obj = dict[str, Any]

# With one of these the object has not the shape that rules rely on.
_BLOCKING = ("FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid")
_NOT_CHECKED = FieldError(
    "FieldValueInvalid",
    "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
    "<nil>",
)


def definition_of(kind: Kind) -> Definition:
    """The definition of a custom kind."""
    if kind.definition is None:
        raise TypeError(f"{kind.kind} is no custom kind")
    return kind.definition


def check_create(kind: Kind, obj: Obj) -> list[FieldError]:
    """What is wrong with a new object (pruned, and with its defaults)."""
    definition, found = definition_of(kind), Faults()
    check_metadata(kind, obj, found)
    return _judge(definition, obj, MISSING, found)


def check_update(kind: Kind, old: Obj, new: Obj, subresource: str | None) -> list[FieldError]:
    """What is wrong with a change; what was wrong before and stays as it was is let pass."""
    definition, found = definition_of(kind), Faults()
    check_metadata_update(kind, old, new, found)
    if subresource == "status":
        status = (definition.schema.get("properties") or {}).get("status")
        narrowed = {**definition.schema, "properties": {"status": status} if status else {}, "required": []}
        return _judge_schema(narrowed, definition, new, old, found)
    return _judge(definition, new, old, found)


def _judge(definition: Definition, obj: Obj, old: Any, found: Faults) -> list[FieldError]:
    return _judge_schema(definition.schema, definition, obj, old, found)


def _judge_schema(schema: Obj, definition: Definition, obj: Obj, old: Any, found: Faults) -> list[FieldError]:
    errors = [*found.found, *faults(schema, obj, old), *_scale_faults(definition, obj)]
    if old is MISSING or not any(double_items(schema, old)):
        errors += double_items(schema, obj)
    if has_rules(definition.schema):
        if any(error.reason in _BLOCKING for error in errors):
            errors.append(_NOT_CHECKED)
        else:
            errors += rule_faults(schema, obj, old)
    return errors


def has_rules(schema: Obj) -> bool:
    """Whether there is any validation rule in a schema."""
    return any(one.get("x-kubernetes-validations") for one, _ in walk(schema, ""))


def _scale_faults(definition: Definition, obj: Obj) -> list[FieldError]:
    """Numbers of replicas have to be numbers."""
    found = Faults()
    for key in ("specReplicasPath", "statusReplicasPath"):
        path = definition.scale.get(key, "")
        value = first(path, obj) if path else None
        if isinstance(value, int) and not isinstance(value, bool) and value < 0:
            found.invalid(path.removeprefix("."), value, "should be a non-negative integer")
    return found.found
