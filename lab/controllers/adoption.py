"""Who controls whom: objects that match a controller's selector and have none are adopted, those that match no more are let go."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from lab.controllers.objects import controller_of, controller_reference, is_deleting, uid_of
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kind import Kind
from lab.kubernetes.registry import Registry
from lab.kubernetes.selectors import labels_of

Obj = dict[str, Any]
Labels = Callable[[Any], bool]


def claim(registry: Registry, owner_kind: Kind, owner: Obj, kind: Kind, candidates: Iterable[Obj], matches: Labels) -> list[Obj]:
    """Those candidates that are the owner's, after adopting and letting go."""
    claimed: list[Obj] = []
    for obj in candidates:
        controller = controller_of(obj)
        if controller is None:
            wanted = not is_deleting(owner) and not is_deleting(obj) and matches(labels_of(obj))
            if wanted and (adopted := _adopt(registry, owner_kind, owner, kind, obj)):
                claimed.append(adopted)
        elif controller["uid"] == uid_of(owner):
            if matches(labels_of(obj)):
                claimed.append(obj)
            elif not is_deleting(owner):
                _let_go(registry, owner, kind, obj)
    return claimed


def _adopt(registry: Registry, owner_kind: Kind, owner: Obj, kind: Kind, obj: Obj) -> Obj | None:
    def change(some: Obj) -> None:
        some["metadata"].setdefault("ownerReferences", []).append(controller_reference(owner_kind, owner))

    meta = obj["metadata"]
    with contextlib.suppress(ApiError):
        return registry.modify(kind, meta.get("namespace", ""), meta["name"], change)
    return None


def _let_go(registry: Registry, owner: Obj, kind: Kind, obj: Obj) -> None:
    def change(some: Obj) -> None:
        references = [one for one in some["metadata"]["ownerReferences"] if one["uid"] != uid_of(owner)]
        some["metadata"]["ownerReferences"] = references

    meta = obj["metadata"]
    with contextlib.suppress(ApiError):
        registry.modify(kind, meta.get("namespace", ""), meta["name"], change)
