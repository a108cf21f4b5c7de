"""The pure rules about objects that the registry calls: defaults, validation, managed fields. Loaded when first used, as they carry large tables."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from lab.kubernetes.errors import FieldError
from lab.kubernetes.kind import Kind

Obj = dict[str, Any]


@cache
def _function(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(f"lab.kubernetes.{module}"), name)
    except (ImportError, AttributeError):
        return None


def apply_defaults(kind: Kind, obj: Obj) -> None:
    """Fill in what the server fills in, in place."""
    if function := _function("defaults", "apply_defaults"):
        function(kind, obj)


def prepare_create(kind: Kind, obj: Obj) -> None:
    """Complete a new object after defaults and admission, in place."""
    if function := _function("defaults", "prepare_create"):
        function(kind, obj)


def check_create(kind: Kind, obj: Obj) -> list[FieldError]:
    """What is wrong with a new object."""
    function = _function("validation", "check_create")
    return function(kind, obj) if function else []


def check_update(kind: Kind, old: Obj, new: Obj, subresource: str | None) -> list[FieldError]:
    """What is wrong with a change."""
    function = _function("validation", "check_update")
    return function(kind, old, new, subresource) if function else []


def track_update(kind: Kind, old: Obj | None, new: Obj, manager: str, subresource: str | None, now: str) -> None:
    """Keep managedFields right after a write that is not an apply."""
    if function := _function("apply", "track_update"):
        function(kind, old, new, manager, subresource or "", now)
