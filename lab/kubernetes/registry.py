"""What reads and writes mean: defaults, admission, validation, versions, deletion. HTTP and everything inside the lab come through here.

All of it is synchronous, so that on the lab's one loop every read-modify-write is atomic. Objects given out are the stored ones:
never change them, use `modify`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from lab.clock import Clock, timestamp
from lab.kubernetes import deletion, metadata, rules
from lab.kubernetes.admission import Admission
from lab.kubernetes.context import SYSTEM, Context, Deleted, DeleteOptions
from lab.kubernetes.errors import ApiError, FieldError, already_exists, bad_request, conflict, invalid, invalid_as, not_found
from lab.kubernetes.kinds import Kind, Kinds
from lab.kubernetes.selectors import labels_of, match_selector
from lab.kubernetes.store import Store

__all__ = ["SYSTEM", "Context", "DeleteOptions", "Deleted", "Registry"]

Obj = dict[str, Any]
Selector = str | Mapping[str, Any]


def copy(value: Any) -> Any:
    """A deep copy of JSON data. Through text and back: several times quicker than walking it."""
    return orjson.loads(orjson.dumps(value))


class Registry:
    """The objects of a cluster and the rules for changing them."""

    def __init__(self, clock: Clock | None = None, kinds: Kinds | None = None, store: Store | None = None) -> None:
        self.clock = clock or Clock()
        self.kinds = kinds or Kinds.default()
        self.store = store or Store()
        self.admission = Admission(self)

    # Reading

    def find(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """The object, or None."""
        return self.store.get(kind, namespace if kind.namespaced else "", name)

    def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        """The object; ApiError 404 when there is none."""
        found = self.find(kind, namespace, name)
        if found is None:
            raise not_found(kind, name)
        return found

    def list(self, kind: Kind, namespace: str | None = None, labels: Selector | None = None) -> list[Obj]:
        """Objects by namespace (None: of all) and labels (selector text, labels, or a LabelSelector), ordered by namespace and name."""
        found = self.store.items(kind, namespace)
        if not labels:
            return found
        wanted = match_selector(labels)
        return [obj for obj in found if wanted(labels_of(obj))]

    # Writing

    def now(self) -> str:
        """The time as it stands in metadata."""
        return timestamp(self.clock.now())

    def create(self, kind: Kind, obj: Obj, namespace: str = "", ctx: Context = SYSTEM) -> Obj:
        """Make an object; gives it as stored."""
        obj = copy(obj)
        meta = obj.setdefault("metadata", {})
        if meta.get("resourceVersion"):
            raise ApiError(500, "resourceVersion should not be set on objects to be created")
        namespace = self._namespace(kind, meta, namespace)
        self._name_kind(kind, obj)
        return self.insert(kind, obj, namespace, ctx)

    def insert(self, kind: Kind, obj: Obj, namespace: str, ctx: Context, track: bool = True) -> Obj:
        """The rest of a create, once names are settled. Works on the object given. `track` False: managedFields are right already (apply)."""
        self.admission.check_namespace(kind, obj, namespace, ctx)
        now = self.now()
        if kind.status and kind.kind not in ("Node", "CustomResourceDefinition"):
            obj.pop("status", None)
        metadata.begin(kind, obj, namespace, now)
        rules.apply_defaults(kind, obj)
        if track:  # what admission adds belongs to nobody
            rules.track_update(kind, None, obj, ctx.manager, None, now)
        self.admission.mutate(kind, obj, ctx)
        rules.prepare_create(kind, obj)
        obj["metadata"] = metadata.ordered(obj["metadata"])
        self._refuse(kind, obj, rules.check_create(kind, obj))
        name = obj["metadata"]["name"]
        self.admission.check_create(kind, obj, ctx)
        existing = self.find(kind, namespace, name)
        if existing is not None:
            raise self._exists(kind, existing, obj)
        if not ctx.dry_run:
            obj["metadata"]["resourceVersion"] = "0"  # its place; the store knows the number
        obj["metadata"] = metadata.ordered(obj["metadata"])
        if ctx.dry_run:
            return obj
        return self.put(kind, obj)

    def replace(self, kind: Kind, obj: Obj, subresource: str | None = None, ctx: Context = SYSTEM) -> Obj:
        """Put a changed object in place of the stored one (found by its metadata); with a subresource only that part of it."""
        meta = obj.get("metadata") or {}
        namespace = meta.get("namespace", "") if kind.namespaced else ""
        old = self.find(kind, namespace, meta.get("name", ""))
        if old is None:
            raise not_found(kind, meta.get("name", ""))
        return self.update(kind, old, copy(obj), subresource, ctx)

    def update(self, kind: Kind, old: Obj, new: Obj, subresource: str | None, ctx: Context, track: bool = True) -> Obj:
        """The rest of a replace or patch: `new` (ours to change) in place of `old`, which is what the store holds."""
        name = old["metadata"]["name"]
        self._check_identity(kind, old, new)
        self._name_kind(kind, new)
        new = _only(kind, old, new, subresource)
        metadata.keep(old, new)
        if subresource == "status":  # the rest is as it was
            rules.apply_status_defaults(kind, new)
        else:
            rules.apply_defaults(kind, new)
            self.admission.keep(kind, old, new)
        if subresource is None:
            self.admission.mutate_update(kind, old, new, ctx)
        if subresource not in ("status", "binding"):
            metadata.grow_generation(kind, old, new)
        self._refuse(kind, new, rules.check_update(kind, old, new, subresource), name)
        self.admission.check_update(kind, old, new, ctx)
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if _same_but_managed(old, new):
            if track and not new["metadata"].get("managedFields"):  # nothing was changed by leaving them out
                _take(new["metadata"], "managedFields", old["metadata"])
        elif track:
            rules.track_update(kind, old, new, ctx.manager, subresource, self.now())
        new["metadata"] = metadata.ordered(new["metadata"])
        if new == old:
            return old
        if ctx.dry_run:
            return new
        if deletion.is_over(new):
            self.remove(kind, old["metadata"].get("namespace", ""), name)  # watchers see it as it was, still with its finalizers
            return new  # with the version before the removal
        return self.put(kind, new)

    def modify(
        self, kind: Kind, namespace: str, name: str, change: Callable[[Obj], Any], subresource: str | None = None, ctx: Context = SYSTEM
    ) -> Obj:
        """Change a copy of the stored object with a function, and put it there. A change that changes nothing writes nothing."""
        old = self.get(kind, namespace, name)
        new: Obj = copy(old)
        change(new)
        return old if new == old else self.update(kind, old, new, subresource, ctx)

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: Any,
        content_type: str,
        subresource: str | None = None,
        ctx: Context = SYSTEM,
        force: bool = False,
    ) -> tuple[Obj, bool]:
        """Change an object by a patch of any of the four types; says also whether the object was made by it (apply only)."""
        from lab.kubernetes.patching import patch

        return patch(self, kind, namespace, name, body, content_type, subresource, ctx, force)

    def delete(self, kind: Kind, namespace: str, name: str, options: DeleteOptions = DeleteOptions(), ctx: Context = SYSTEM) -> Deleted:  # noqa: B008
        """Delete, or begin to: finalizers, grace and propagation are respected."""
        return deletion.delete(self, kind, self.get(kind, namespace, name), options, ctx)

    # Helpers

    def put(self, kind: Kind, obj: Obj) -> Obj:
        """Store a finished object. For this package: everyone else creates, replaces, modifies."""
        done = self.store.put(kind, obj)
        self.admission.settled(kind, obj["metadata"].get("namespace", ""))
        return done

    def remove(self, kind: Kind, namespace: str, name: str, last: Obj | None = None) -> Obj:
        """Take an object out for good. For this package: everyone else deletes."""
        done = self.store.remove(kind, namespace, name, last)
        self.admission.settled(kind, namespace)
        return done

    @staticmethod
    def _namespace(kind: Kind, meta: Obj, namespace: str) -> str:
        if not kind.namespaced:
            return ""
        inside = meta.get("namespace") or ""
        if namespace and inside and inside != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        return namespace or inside

    @staticmethod
    def _name_kind(kind: Kind, obj: Obj) -> None:
        """kind and apiVersion first, as the server writes them."""
        content = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion", "metadata")}
        meta = obj["metadata"]
        obj.clear()
        obj.update({"kind": kind.kind, "apiVersion": kind.api_version, "metadata": meta}, **content)

    @staticmethod
    def _refuse(kind: Kind, obj: Obj, errors: Sequence[FieldError], name: str | None = None) -> None:
        if errors:
            raise invalid(kind, obj["metadata"].get("name", "") if name is None else name, errors)

    @staticmethod
    def _exists(kind: Kind, existing: Obj, obj: Obj) -> ApiError:
        name = existing["metadata"]["name"]
        if existing["metadata"].get("deletionTimestamp"):
            return already_exists(kind, name, f'object is being deleted: {kind.resource} "{name}" already exists')
        if obj["metadata"].get("generateName"):
            why = "already exists, the server was not able to generate a unique name for the object"
            return already_exists(kind, name, f'{kind.resource} "{name}" {why}')
        return already_exists(kind, name)

    @staticmethod
    def _check_identity(kind: Kind, old: Obj, new: Obj) -> None:
        before, meta = old["metadata"], new["metadata"]
        name = before["name"]
        uid, version = meta.get("uid"), meta.get("resourceVersion")
        if uid and uid != before["uid"]:
            key = f"/registry/{deletion.storage_path(kind)}/{before['namespace'] + '/' if kind.namespaced else ''}{name}"
            raise conflict(
                kind,
                name,
                f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: "
                f"UID in precondition: {uid}, UID in object meta: {before['uid']}",
            )
        if version and version != before["resourceVersion"]:
            raise conflict(kind, name)
        if not version and (kind.custom or kind.kind == "CustomResourceDefinition"):
            error = FieldError("FieldValueInvalid", "Invalid value: 0: must be specified for an update", "metadata.resourceVersion")
            raise invalid_as(kind.resource, kind.group, kind.plural, name, [error])


def _only(kind: Kind, old: Obj, new: Obj, subresource: str | None) -> Obj:
    """What a write may touch: the main path everything but status, `status` only the status."""
    if subresource is None:
        if kind.status:
            _take(new, "status", old)
        return new
    if subresource == "status":
        result = {**old, "metadata": {**old["metadata"]}}
        _take(result, "status", new)
        meta, wanted = result["metadata"], new["metadata"]
        keys = ("managedFields",) if kind.custom else ("managedFields", "annotations") if kind.kind == "Deployment" else _STATUS_METADATA
        for key in keys:
            _take(meta, key, wanted)
        return result
    if subresource == "finalize":
        _take(new, "status", old)
    return new


# What of metadata goes along with a write of a built-in kind's status; a Deployment's labels do not.
_STATUS_METADATA = ("managedFields", "annotations", "labels", "finalizers")


def _take(target: Obj, key: str, source: Obj) -> None:
    if key in source:
        target[key] = source[key]
    else:
        target.pop(key, None)


def _same_but_managed(old: Obj, new: Obj) -> bool:
    """Whether nothing differs besides managedFields: then no manager has changed anything."""
    for key in old.keys() | new.keys():
        if key == "metadata":
            before, after = old["metadata"], new["metadata"]
            if any(before.get(name) != after.get(name) for name in (before.keys() | after.keys()) - {"managedFields"}):
                return False
        elif old.get(key) != new.get(key):
            return False
    return True
