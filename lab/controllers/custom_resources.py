"""CustomResourceDefinitions: their names are accepted, their kinds are served, and with a definition its objects go.

In a real cluster three controllers inside the API server do this. Their own work takes real time, as the API server's does.
"""

from __future__ import annotations

from typing import Any

from lab.controllers.controller import Controller, Key
from lab.kubernetes.context import DeleteOptions
from lab.kubernetes.custom.definition import rows
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kind import Kind
from lab.kubernetes.kinds import CRD
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_NAMING = 0.03  # real seconds from a new definition to its names
_STORAGE = 0.06  # real seconds from the first serving to an answer: until then 429
_LOOK_AGAIN = 5.0  # lab seconds between two looks whether all objects are gone


class CustomResources(Controller):
    """Serves what is defined."""

    watches = (CRD,)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._rows: dict[str, list[Kind]] = {}  # by definition; where its objects are kept comes first
        self._served: dict[str, Any] = {}  # from which state of the definition the rows were made

    def sync(self, key: Key) -> None:
        name = key[1]
        crd = self.registry.find(CRD, "", name)
        if crd is None:
            self._withdraw(name)
        elif crd["metadata"].get("deletionTimestamp"):
            self._serve(crd)
            self._finalize(key, crd)
        elif (crd.get("status") or {}).get("conditions") is None and self._young(crd):
            self.queue.add_after(key, _NAMING * self.clock.speed)
        elif not self._accept_names(crd):
            self._serve(crd)
            self._make_ready(key)

    def _young(self, crd: Obj) -> bool:
        """Whether a definition has only just been seen."""
        name, now = crd["metadata"]["name"], self.clock.monotonic()
        first = self._served.setdefault(name, now)
        return isinstance(first, float) and now - first < _NAMING * self.clock.speed

    # Names

    def _accept_names(self, crd: Obj) -> bool:
        """Write what the names come to; False when there is nothing to write."""
        status = crd.get("status") or {}
        names, conditions = self._judge_names(crd)
        new = {**status, "conditions": conditions, "acceptedNames": names}
        if new == status:
            return False

        def change(target: Obj) -> None:
            target["status"] = new

        self.registry.modify(CRD, "", crd["metadata"]["name"], change, "status")
        return True

    def _judge_names(self, crd: Obj) -> tuple[Obj, list[Obj]]:
        wanted, status = crd["spec"]["names"], crd.get("status") or {}
        before = status.get("acceptedNames") or {"plural": "", "kind": ""}
        resources, kinds = self._taken(crd)
        accepted, trouble = dict(before), ("", "")
        for field, used in (("plural", resources), ("singular", resources), ("shortNames", resources), ("kind", kinds), ("listKind", kinds)):
            value, had = wanted.get(field), before.get(field)
            fresh = value if isinstance(value, list) else [value]
            clashes = [one for one in fresh if one in used and one not in (had if isinstance(had, list) else [had])]
            if clashes:
                texts = [f'"{one}" is already in use' for one in clashes]
                trouble = f"{field[0].upper()}{field[1:]}Conflict", texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
            elif value:
                accepted[field] = value
            else:
                accepted.pop(field, None)
        if wanted.get("categories"):
            accepted["categories"] = wanted["categories"]
        order = ("plural", "singular", "shortNames", "kind", "listKind", "categories")
        return {key: accepted[key] for key in order if key in accepted}, self._conditions(status.get("conditions") or [], *trouble)

    def _taken(self, crd: Obj) -> tuple[set[str], set[str]]:
        """Names that other definitions of the group have."""
        resources: set[str] = set()
        kinds: set[str] = set()
        for other in self.registry.list(CRD):
            if other["metadata"]["name"] == crd["metadata"]["name"] or other["spec"]["group"] != crd["spec"]["group"]:
                continue
            names = (other.get("status") or {}).get("acceptedNames") or {}
            resources |= {names.get("plural", ""), names.get("singular", ""), *(names.get("shortNames") or ())}
            kinds |= {names.get("kind", ""), names.get("listKind", "")}
        return resources - {""}, kinds - {""}

    def _conditions(self, before: list[Obj], reason: str, message: str) -> list[Obj]:
        old = {one["type"]: one for one in before}
        established = old.get("Established")
        if reason:
            names = self._condition("NamesAccepted", "False", reason, message, old)
            established = established or self._condition("Established", "False", "NotAccepted", "not all names are accepted", old)
        else:
            names = self._condition("NamesAccepted", "True", "NoConflicts", "no conflicts found", old)
            told = "the initial names have been accepted"
            if established is None or established["reason"] == "NotAccepted":
                established = self._condition("Established", "False", "Installing", told, old)
            elif established["status"] == "False":
                established = self._condition("Established", "True", "InitialNamesAccepted", told, old)
        return [names, established, *(one for one in before if one["type"] not in ("NamesAccepted", "Established"))]

    def _condition(self, kind: str, status: str, reason: str, message: str, old: dict[str, Obj]) -> Obj:
        before = old.get(kind) or {}
        since = before.get("lastTransitionTime") if before.get("status") == status else None
        return {"type": kind, "status": status, "lastTransitionTime": since or self.registry.now(), "reason": reason, "message": message}

    # Serving

    def _serve(self, crd: Obj) -> None:
        """Have the table of kinds say what the definition says."""
        name, status = crd["metadata"]["name"], crd.get("status") or {}
        if not any(one["type"] == "Established" and one["status"] == "True" for one in status.get("conditions") or ()):
            return
        state = (crd["spec"], status.get("acceptedNames"), bool(crd["metadata"].get("deletionTimestamp")))
        if self._served.get(name) == state:
            return
        self._served[name] = state
        old = {kind.version: kind for kind in self._rows.get(name, ())}
        home = self._rows[name][0] if self._rows.get(name) else None
        found = []
        for new in sorted(rows(crd), key=lambda kind: bool(kind.stored_as)):
            row = old.pop(new.version, new)
            self._take_over(row, new)
            self.registry.kinds.add(row)
            found.append(row)
        for gone in old.values():
            self.registry.kinds.remove(gone)
        if home and found and found[0] is not home:
            self.store.adopt(home, found[0])
        for gone in old.values():
            self.store.end(gone)
        self._rows[name] = found or self._rows.get(name, [])[:1]  # objects of a definition that serves no version stay where they are

    def _take_over(self, row: Kind, new: Kind) -> None:
        before, after = row.definition, new.definition
        if after is None or before is None:
            return
        if row is new:
            after.established = self.clock.monotonic()
        else:
            after.ready, after.established = before.ready, before.established
            row.become(new)

    def _make_ready(self, key: Key) -> None:
        """A new kind's storage answers a moment after the kind is known."""
        for kind in self._rows.get(key[1], ()):
            definition = kind.definition
            if definition is None or definition.ready:
                continue
            age = self.clock.monotonic() - definition.established
            if age >= _STORAGE * self.clock.speed:
                definition.ready = True
            else:
                self.queue.add_after(key, _STORAGE * self.clock.speed - age + 0.001)

    def _withdraw(self, name: str) -> None:
        for kind in self._rows.pop(name, ()):
            self.registry.kinds.remove(kind)
            self.store.end(kind)
        self._served.pop(name, None)

    # The end

    def _finalize(self, key: Key, crd: Obj) -> None:
        """Delete the objects, wait until they are gone, and let the definition go."""
        name = key[1]
        if FINALIZER not in (crd["metadata"].get("finalizers") or ()):
            return
        if self._tell(crd, "InstanceDeletionInProgress", "CustomResource deletion is in progress"):
            return
        home = next(iter(self._rows.get(name, ())), None)
        if home is not None:
            for obj in self.store.items(home):
                self._delete(home, obj)
            if self.store.count(home):
                self.queue.add_after(key, _LOOK_AGAIN)
                return

        def let_go(target: Obj) -> None:
            target["metadata"]["finalizers"] = [one for one in target["metadata"].get("finalizers") or () if one != FINALIZER]

        self.registry.modify(CRD, "", name, let_go)

    def _delete(self, kind: Kind, obj: Obj) -> None:
        meta = obj["metadata"]
        if meta.get("deletionTimestamp"):
            return
        try:
            self.registry.delete(kind, meta.get("namespace", ""), meta["name"], DeleteOptions(propagation="Background"))
        except ApiError as error:
            if error.code != 404:
                raise

    def _tell(self, crd: Obj, reason: str, message: str) -> bool:
        """Set the condition Terminating; False when it says so already."""
        conditions = (crd.get("status") or {}).get("conditions") or []
        old = {one["type"]: one for one in conditions}
        if (old.get("Terminating") or {}).get("reason") == reason:
            return False
        told = self._condition("Terminating", "True", reason, message, old)

        def change(target: Obj) -> None:
            target["status"]["conditions"] = [*(one for one in conditions if one["type"] != "Terminating"), told]

        self.registry.modify(CRD, "", crd["metadata"]["name"], change, "status")
        return True
