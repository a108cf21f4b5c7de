"""Metadata and label selectors: what holds for objects of every kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.kubernetes.gotext import Struct, quoted
from lab.kubernetes.kind import Kind
from lab.kubernetes.validation.faults import IMMUTABLE, Faults, dns_label, dns_subdomain, label_value, qualified_name

Obj = dict[str, Any]

ANNOTATIONS_LIMIT = 256 * 1024
# Kinds named by a DNS label; all others by a DNS subdomain, or by anything that fits into a path.
LABEL_KINDS = {("", "Namespace"), ("", "Service")}
PATH_KINDS = {("rbac.authorization.k8s.io", kind) for kind in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")}
_OWNERS_NOT_ALLOWED = {("v1", "Event")}


def check_name(kind: Kind, name: str, faults: Faults) -> None:
    """The name."""
    key = (kind.group, kind.kind)
    if key in PATH_KINDS:
        why = [f"may not be '{name}'"] if name in (".", "..") else [f"may not contain '{sign}'" for sign in "/%" if sign in name]
    else:
        why = dns_label(name) if key in LABEL_KINDS else dns_subdomain(name)
    for fault in why:
        faults.invalid("metadata.name", name, fault)


def check_metadata(kind: Kind, obj: Obj, faults: Faults) -> None:
    """Metadata of a new object."""
    meta = obj["metadata"]
    name = meta.get("name") or ""
    if not name:
        faults.required("metadata.name", "name or generateName is required")
    else:
        check_name(kind, name, faults)
    _check_rest(meta, faults, labels=not _has_labels_of_template(kind, obj))


def _has_labels_of_template(kind: Kind, obj: Obj) -> bool:
    """A Job gets its labels from its template only after the checks."""
    if kind.kind != "Job":
        return False
    template = (obj.get("spec") or {}).get("template") or {}
    return bool((template.get("metadata") or {}).get("labels") == obj["metadata"].get("labels"))


def _check_rest(meta: Obj, faults: Faults, labels: bool = True) -> None:
    if labels:
        check_labels("metadata.labels", meta.get("labels") or {}, faults)
    annotations = meta.get("annotations") or {}
    for key in sorted(annotations):
        for why in qualified_name(key.lower()):
            faults.invalid("metadata.annotations", key, why)
    if sum(len(key) + len(value) for key, value in annotations.items()) > ANNOTATIONS_LIMIT:
        faults.too_long("metadata.annotations", ANNOTATIONS_LIMIT)
    check_owners(meta.get("ownerReferences") or [], faults)
    for finalizer in meta.get("finalizers") or []:
        _check_finalizer(finalizer, faults)


def _check_finalizer(finalizer: str, faults: Faults) -> None:
    for why in qualified_name(finalizer):
        faults.invalid("metadata.finalizers", finalizer, why)


def check_labels(path: str, labels: Mapping[str, str], faults: Faults) -> None:
    """Labels, anywhere."""
    for key in sorted(labels):
        for why in qualified_name(key):
            faults.invalid(path, key, why)
        for why in label_value(labels[key]):
            faults.invalid(path, labels[key], why)


def check_owners(owners: list[Obj], faults: Faults) -> None:
    """Owner references: complete, and at most one controller."""
    path = "metadata.ownerReferences"
    controller = ""
    for owner in owners:
        version, kind, name = owner.get("apiVersion", ""), owner.get("kind", ""), owner.get("name", "")
        if not version:
            faults.invalid(f"{path}.apiVersion", version, "version must not be empty")
        if not kind:
            faults.invalid(f"{path}.kind", kind, "must not be empty")
        if not name:
            faults.invalid(f"{path}.name", name, "must not be empty")
        if not owner.get("uid"):
            faults.invalid(f"{path}.uid", owner.get("uid", ""), "must not be empty")
        if (version, kind) in _OWNERS_NOT_ALLOWED:
            group = version if "/" in version else f"/{version}"
            faults.invalid(path, _reference(owner), f"{group}, Kind={kind} is disallowed from being an owner")
        if owner.get("controller"):
            if controller:
                both = f"{controller} and {kind}/{name}"
                why = f'Only one reference can have Controller set to true. Found "true" in references for {both}'
                faults.invalid(path, [_reference(each) for each in owners], why)
            controller = controller or f"{kind}/{name}"


def _reference(owner: Obj) -> Struct:
    order = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
    return Struct((key, owner[key]) for key in order if key in owner)


def check_metadata_update(kind: Kind, old: Obj, new: Obj, faults: Faults) -> None:
    """Metadata of a changed object."""
    before, after = old["metadata"], new["metadata"]
    if before.get("deletionTimestamp"):
        added = [each for each in after.get("finalizers") or [] if each not in (before.get("finalizers") or [])]
        if added:
            names = ", ".join(quoted(each) for each in sorted(added))
            why = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{names}}}"
            faults.forbidden("metadata.finalizers", why)
            faults.forbidden("metadata.finalizers", why)  # the server checks twice, and says so twice
    if after.get("uid") != before.get("uid"):
        faults.invalid("metadata.uid", after.get("uid", ""), IMMUTABLE)
        faults.invalid("metadata.uid", after.get("uid", ""), IMMUTABLE)
    if any(before.get(key) != after.get(key) for key in ("labels", "annotations", "ownerReferences", "finalizers")):
        _check_rest(after, faults)


def check_selector(path: str, selector: Obj, faults: Faults) -> None:
    """A label selector."""
    check_labels(f"{path}.matchLabels", selector.get("matchLabels") or {}, faults)
    for i, term in enumerate(selector.get("matchExpressions") or []):
        where = f"{path}.matchExpressions[{i}]"
        operator, values = term.get("operator", ""), term.get("values") or []
        if operator in ("In", "NotIn"):
            if not values:
                faults.required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                faults.forbidden(f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        else:
            faults.invalid(f"{where}.operator", operator, "not a valid selector operator")
        for why in qualified_name(term.get("key", "")):
            faults.invalid(f"{where}.key", term.get("key", ""), why)


def as_struct(selector: Obj) -> Struct:
    """A label selector as messages print it."""
    return Struct((key, selector[key]) for key in ("matchLabels", "matchExpressions") if key in selector)


def matches(selector: Obj, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects these labels."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for term in selector.get("matchExpressions") or []:
        key, values = term.get("key", ""), term.get("values") or []
        holds = {
            "In": key in labels and labels[key] in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not holds.get(term.get("operator", ""), False):
            return False
    return True
