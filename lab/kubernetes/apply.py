"""Server-side apply and who owns which field: `metadata.managedFields` after every sort of write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.kubernetes import last_applied
from lab.kubernetes.apply_check import check_applied
from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.fieldsets import Tree, difference, intersection, members, ordered, union
from lab.kubernetes.kind import Kind
from lab.kubernetes.schema import root
from lab.kubernetes.typed import compare, field_set, merge, prune

Obj = dict[str, Any]

# What nobody owns: it is the server's, or says which object it is.
_UNOWNED_META: Tree = {
    f"f:{name}": {}
    for name in ("name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields", "resourceVersion", "clusterName")
}
_UNOWNED: Tree = {"f:apiVersion": {}, "f:kind": {}, "f:metadata": {".": {}, **_UNOWNED_META}}
# Structs and lists that an empty object of a kind has already: who sets them owns only what is in them.
_POD_TEMPLATE: Obj = {"metadata": {}, "spec": {"containers": None}}
_EMPTY: dict[str, Obj] = {
    "Pod": {"spec": {"containers": None}, "status": {}},
    "Deployment": {"spec": {"strategy": {}, "template": _POD_TEMPLATE}, "status": {}},
    "ReplicaSet": {"spec": {"template": _POD_TEMPLATE}, "status": {}},
    "StatefulSet": {"spec": {"template": _POD_TEMPLATE, "updateStrategy": {}}, "status": {}},
    "DaemonSet": {"spec": {"template": _POD_TEMPLATE, "updateStrategy": {}}, "status": {}},
    "Job": {"spec": {"template": _POD_TEMPLATE}, "status": {}},
    "CronJob": {"spec": {"jobTemplate": {"metadata": {}, "spec": {"template": _POD_TEMPLATE}}}, "status": {}},
    "Service": {"spec": {}, "status": {"loadBalancer": {}}},
    "Ingress": {"spec": {}, "status": {"loadBalancer": {}}},
    "PersistentVolumeClaim": {"spec": {"resources": {}}, "status": {}},
    "Event": {"involvedObject": {}, "source": {}},
    "EndpointSlice": {"endpoints": None, "ports": None},
}


@dataclass(frozen=True, slots=True)
class Manager:
    """Who wrote: a name, how, in which version of the API, through which subresource."""

    name: str
    operation: str  # Apply | Update
    api_version: str
    subresource: str = ""

    def __str__(self) -> str:
        through = f' with subresource "{self.subresource}"' if self.subresource else ""
        using = f" using {self.api_version}" if self.operation == "Update" else ""
        return f'"{self.name}"{through}{using}'


class Owners:
    """The managers of one object, what each owns, and when it last took something."""

    def __init__(self, entries: list[Obj] | None) -> None:
        self.sets: dict[Manager, Tree] = {}
        self.times: dict[Manager, str] = {}
        self._before: dict[Manager, Tree] = {}
        for entry in entries or ():
            if "manager" not in entry:
                continue
            manager = Manager(entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource", ""))
            self.sets[manager] = entry.get("fieldsV1", {})
            if "time" in entry:
                self.times[manager] = entry["time"]
        self._before.update(self.sets)

    def lose(self, taken: Tree, but: Manager | None) -> None:
        """Everybody but one loses these fields; who has none left is forgotten."""
        if not taken:
            return
        for manager, owned in list(self.sets.items()):
            if manager != but:
                left = difference(owned, taken)
                if left:
                    self.sets[manager] = left
                else:
                    del self.sets[manager]

    def all_fields(self) -> Tree:
        """What anybody owns."""
        result: Tree = {}
        for owned in self.sets.values():
            result = union(result, owned)
        return result

    def entries(self) -> list[Obj]:
        """managedFields: appliers first, then by time and name."""

        def order(manager: Manager) -> tuple[str, str, str, str, str]:
            return (manager.operation, self.times.get(manager, ""), manager.name, manager.api_version, manager.subresource)

        result = []
        for manager in sorted(self.sets, key=order):
            entry: Obj = {"manager": manager.name, "operation": manager.operation, "apiVersion": manager.api_version}
            if manager in self.times:
                entry["time"] = self.times[manager]
            owned = self.sets[manager]
            entry |= {"fieldsType": "FieldsV1", "fieldsV1": owned if owned is self._before.get(manager) else ordered(owned)}
            if manager.subresource:
                entry["subresource"] = manager.subresource
            result.append(entry)
        return result


def track_update(kind: Kind, old: Obj | None, new: Obj, manager: str, subresource: str | None, now: str) -> None:
    """Keep `new`'s managedFields right after a write that is no apply: the writer takes what it changed, without conflict."""
    meta = new["metadata"]
    inherited = _inherited(old, meta)
    if old is not None and not inherited:
        return  # nobody owned anything of it so far: then writes are not noted until the first apply
    owners = Owners(inherited)
    empty = {} if kind.custom else _EMPTY.get(kind.kind, {"spec": {}, "status": {}})
    before = old if old is not None else {"metadata": {}, **empty}
    found = compare(root(kind), before, new)
    changed, removed = difference(found.changed, _UNOWNED), found.removed
    if kind.status and not subresource:  # the main path does not write status: what stands there is the server's own
        changed.pop("f:status", None)
    writer = Manager(manager, "Update", kind.api_version, subresource or "")
    owners.lose(union(changed, removed), None)
    if subresource == "scale" and not (new.get("spec") or {}).get("replicas"):
        changed = {}  # a Scale leaves 0 out, so nobody has set it
    if changed:
        owners.sets[writer] = union(owners.sets.get(writer, {}), changed)
        if subresource == "scale":
            owners.times.pop(writer, None)
        else:
            owners.times[writer] = now
    entries = owners.entries()
    if entries:
        meta["managedFields"] = entries
    else:
        meta.pop("managedFields", None)


def _inherited(old: Obj | None, meta: Obj) -> list[Obj] | None:
    """What the writer sent along, or else what was there; `[{}]` begins anew."""
    sent: list[Obj] | None = meta.get("managedFields")
    if sent or old is None:
        return sent
    before: list[Obj] | None = old["metadata"].get("managedFields")
    return before


def server_side_apply(kind: Kind, live: Obj | None, applied: Obj, manager: str, force: bool, now: str, subresource: str = "") -> Obj:
    """The object that results from applying a configuration, with its managedFields; `live` is None when there is none yet.

    ApiError 409 when another manager owns a field that would change, 400 and 500 for configurations that cannot be read.
    """
    applied = _readable(kind, applied, subresource)
    node = root(kind)
    check_applied(kind, node, applied)
    writer = Manager(manager, "Apply", kind.api_version, subresource)
    owners = Owners(live["metadata"].get("managedFields") if live else None)
    last = owners.sets.get(writer, {})
    mine = difference(field_set(node, applied), _UNOWNED)
    merged: Obj = merge(node, live, applied) if live is not None else applied
    if not mine:
        owners.sets.pop(writer, None)
    elif mine != last:
        owners.sets[writer] = mine
    if live is not None and difference(last, mine):
        merged = prune(node, merged, last, owners.all_fields())
    found = compare(node, _without_owners(live) if live else {}, _without_owners(merged))
    changed = difference(found.changed, _UNOWNED)
    if not force:
        _refuse_conflicts(owners, difference(changed, last_applied.free_fields(kind, live, manager)), writer)
    owners.lose(union(changed, found.removed), writer)
    if (changed or found.removed or live is None) and writer in owners.sets:
        owners.times[writer] = now
    result: Obj = _without_nulls(merged) if _has_null(applied) else dict(merged)
    entries = owners.entries()
    result["metadata"] = {key: value for key, value in result["metadata"].items() if key != "managedFields"}
    if entries:
        result["metadata"]["managedFields"] = entries
    last_applied.bring_up_to_date(result, live, applied, manager)
    return result


def _readable(kind: Kind, applied: Any, subresource: str) -> Obj:
    """A configuration fit to be applied: of the right type, and without what the path does not write."""
    if not isinstance(applied, dict):
        raise bad_request("error decoding YAML: the configuration is no object")
    api_version, name = applied.get("apiVersion", ""), applied.get("kind", "")
    if (api_version, name) != (kind.api_version, kind.kind):
        group_version = api_version if "/" in str(api_version) else f"/{api_version}"
        raise bad_request(f"invalid object type: {group_version}, Kind={name}")
    meta = applied.get("metadata") or {}
    if meta.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    if subresource == "status":
        keep = {"name", "namespace", "uid", "resourceVersion"}
        meta = {key: value for key, value in meta.items() if key in keep}
        return {**{key: value for key, value in applied.items() if key in ("apiVersion", "kind", "status")}, "metadata": meta}
    if kind.status and "status" in applied:
        applied = {key: value for key, value in applied.items() if key != "status"}
    return {**applied, "metadata": meta}


def _without_owners(obj: Obj) -> Obj:
    meta = obj["metadata"]
    if "managedFields" not in meta:
        return obj
    return {**obj, "metadata": {key: value for key, value in meta.items() if key != "managedFields"}}


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(item is None or (isinstance(item, dict | list) and _has_null(item)) for item in value.values())
    return any(isinstance(item, dict | list) and _has_null(item) for item in value)


def _without_nulls(value: Any) -> Any:
    """Null means not set; only what holds one is copied."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) if isinstance(item, dict | list) else item for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) if isinstance(item, dict | list) else item for item in value]
    return value


def _refuse_conflicts(owners: Owners, changed: Tree, writer: Manager) -> None:
    """409 when somebody else owns what would change."""
    conflicts: list[tuple[Manager, str]] = []
    for manager in sorted(owners.sets, key=str):
        if manager != writer:
            conflicts += [(manager, path) for path in members(intersection(owners.sets[manager], changed))]
    if not conflicts:
        return
    causes = [{"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path} for manager, path in conflicts]
    if len(conflicts) == 1:
        message = f"Apply failed with 1 conflict: conflict with {conflicts[0][0]}: {conflicts[0][1]}"
    else:
        lines: list[str] = []
        for manager in dict.fromkeys(manager for manager, _ in conflicts):
            lines.append(f"conflicts with {manager}:")
            lines += [f"- {path}" for owner, path in conflicts if owner == manager]
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    raise ApiError(409, message, "Conflict", {"causes": causes})
