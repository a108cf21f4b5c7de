"""ControllerRevisions: which pod templates a stateful set or daemon set has had."""

from __future__ import annotations

import contextlib
from typing import Any

from lab.controllers.adoption import claim
from lab.controllers.controller import Controller, key_of
from lab.controllers.objects import controller_of, controller_reference, controller_uid, uid_of
from lab.controllers.revisions import template_hash
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kind import Kind
from lab.kubernetes.kinds import CONTROLLER_REVISION
from lab.kubernetes.selectors import match_selector

Obj = dict[str, Any]

REVISION_LABEL = "controller-revision-hash"


def template_of(revision: Obj) -> Obj:
    """The pod template that a revision holds."""
    return {key: value for key, value in revision["data"]["spec"]["template"].items() if key != "$patch"}


class Histories:
    """The revisions of all objects of one kind."""

    def __init__(self, controller: Controller, kind: Kind, hash_label: str) -> None:
        self._registry = controller.registry
        self._kind = kind
        self._hash_label = hash_label
        self._owned = controller.index(CONTROLLER_REVISION, controller_uid)
        self._orphans = controller.index(
            CONTROLLER_REVISION, lambda one: () if controller_of(one) else (one["metadata"]["namespace"],)
        )

    def of(self, owner: Obj) -> list[Obj]:
        """An object's revisions, oldest first."""
        candidates = [*self._owned.get(uid_of(owner)), *self._orphans.get(owner["metadata"]["namespace"])]
        found = claim(self._registry, self._kind, owner, CONTROLLER_REVISION, candidates, match_selector(owner["spec"]["selector"]))
        return sorted(found, key=lambda one: (one["revision"], one["metadata"]["creationTimestamp"], one["metadata"]["name"]))

    def newest(self, owner: Obj, revisions: list[Obj], collisions: int) -> tuple[Obj, int]:
        """The revision with the present template, made or renewed if need be, and how many names were taken."""
        number = max((one["revision"] for one in revisions), default=0) + 1
        alike = [one for one in revisions if template_of(one) == owner["spec"]["template"]]
        if alike and alike[-1] is revisions[-1]:
            return alike[-1], collisions
        if alike:  # rolled back to
            return self._registry.modify(CONTROLLER_REVISION, *key_of(alike[-1]), lambda one: one.update(revision=number)), collisions
        while True:
            made = self._create(owner, number, collisions)
            if made is not None:
                return made, collisions
            collisions += 1

    def _create(self, owner: Obj, number: int, collisions: int) -> Obj | None:
        """A new revision; None when its name is taken by another one."""
        meta, template = owner["metadata"], owner["spec"]["template"]
        hashed = template_hash(template, collisions or None)
        name = f"{meta['name']}-{hashed}"
        body = {
            "metadata": {
                "name": name,
                "labels": {**(template["metadata"].get("labels") or {}), self._hash_label: hashed},
                **({"annotations": meta["annotations"]} if meta.get("annotations") else {}),
                "ownerReferences": [controller_reference(self._kind, owner)],
            },
            "data": {"spec": {"template": {"$patch": "replace", **template}}},
            "revision": number,
        }
        try:
            return self._registry.create(CONTROLLER_REVISION, body, meta["namespace"])
        except ApiError as error:
            if error.code != 409:
                raise
            there = self._registry.find(CONTROLLER_REVISION, meta["namespace"], name)
            return there if there and template_of(there) == template else None

    def truncate(self, owner: Obj, revisions: list[Obj], live: set[str]) -> None:
        """Delete the oldest of those that no pod has, above the limit. `live`: names in use."""
        history = [one for one in revisions if one["metadata"]["name"] not in live]
        for one in history[: max(0, len(history) - owner["spec"].get("revisionHistoryLimit", 10))]:
            with contextlib.suppress(ApiError):
                self._registry.delete(CONTROLLER_REVISION, *key_of(one))
