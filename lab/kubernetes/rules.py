"""The pure rules about objects that the registry calls: defaults, validation, managed fields."""

from __future__ import annotations

from typing import Any

from lab.kubernetes import defaults, validation
from lab.kubernetes.apply import track_update
from lab.kubernetes.custom import judging, structural
from lab.kubernetes.defaults import prepare_create
from lab.kubernetes.errors import FieldError
from lab.kubernetes.kind import Kind

Obj = dict[str, Any]

__all__ = ["apply_defaults", "apply_status_defaults", "check_create", "check_update", "prepare_create", "track_update"]


def apply_defaults(kind: Kind, obj: Obj) -> None:
    """Fill in defaults, in place."""
    if kind.custom:
        structural.apply_defaults(judging.definition_of(kind).schema, obj)
    else:
        defaults.apply_defaults(kind, obj)


def apply_status_defaults(kind: Kind, obj: Obj) -> None:
    """The same for an object of which only the status is new."""
    if kind.custom:
        apply_defaults(kind, obj)
    else:
        defaults.apply_status_defaults(kind, obj)


def check_create(kind: Kind, obj: Obj) -> list[FieldError]:
    """What is wrong with a new object."""
    return judging.check_create(kind, obj) if kind.custom else validation.check_create(kind, obj)


def check_update(kind: Kind, old: Obj, new: Obj, subresource: str | None) -> list[FieldError]:
    """What is wrong with a change."""
    return judging.check_update(kind, old, new, subresource) if kind.custom else validation.check_update(kind, old, new, subresource)
