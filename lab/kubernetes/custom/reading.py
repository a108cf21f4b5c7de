"""Bodies of custom resources: kind and version checked, metadata read, unknown fields taken out and told, defaults filled in."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.custom.judging import definition_of
from lab.kubernetes.custom.structural import apply_defaults, prune
from lab.kubernetes.decoding import read, single_owners, unreadable
from lab.kubernetes.errors import FieldError, bad_request, invalid_as
from lab.kubernetes.gotext import quoted
from lab.kubernetes.kind import Kind

Obj = dict[str, Any]


def decode_custom(kind: Kind, body: Obj, field_validation: str, duplicates: list[str]) -> tuple[Obj, list[str]]:
    """An object from the body of a create or replace, and the warnings for the client."""
    check_type(kind, body)
    try:
        obj, unknown = settle(kind, body)
    except ValueError as error:
        raise unreadable(kind, kind.kind, kind.version, str(error)) from None
    faults = [*duplicates, *unknown]
    twice = single_owners(obj)
    if field_validation == "Strict" and faults:
        raise unreadable(kind, kind.kind, kind.version, f"strict decoding error: {', '.join(faults)}")
    return obj, twice if field_validation == "Ignore" else faults + twice


def check_type(kind: Kind, body: Obj) -> None:
    """400 for another version; 422 for another kind, which is then named by its own name."""
    api_version, name = body.get("apiVersion"), body.get("kind")
    if api_version != kind.api_version:
        raise bad_request(f"the API version in the data ({api_version}) does not match the expected API version ({kind.api_version})")
    if name != kind.kind:
        error = FieldError("FieldValueInvalid", f"Invalid value: {quoted(str(name))}: must be {kind.kind}", "kind")
        raise invalid_as(f"{name}.{kind.group}", kind.group, str(name), _name_in(body), [error])


def _name_in(body: Obj) -> str:
    meta = body.get("metadata")
    return str(meta.get("name", "")) if isinstance(meta, dict) else ""


def settle(kind: Kind, body: Obj) -> tuple[Obj, list[str]]:
    """The object in the server's form, and `unknown field "…"` for each; ValueError when its metadata cannot be read. May change the body."""
    obj, unknown = read(kind, body)
    schema = definition_of(kind).schema
    unknown += [f'unknown field "{path}"' for path in prune(schema, obj)]
    apply_defaults(schema, obj)
    return obj, unknown
