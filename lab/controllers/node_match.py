"""Whether a node suits: labels, affinity, taints. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.kubernetes.selectors import labels_of

Obj = dict[str, Any]


def _matches(value: str | None, operator: str, values: list[str]) -> bool:
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    try:
        number, limit = int(value or ""), int(values[0])
    except ValueError:
        return False
    return number > limit if operator == "Gt" else number < limit


def matches_term(term: Obj, node: Obj) -> bool:
    """Whether a node fulfils all wishes of one term; a term without any matches nothing."""
    labels = labels_of(node)
    by_label = [_matches(labels.get(wish["key"]), wish["operator"], wish.get("values") or []) for wish in term.get("matchExpressions") or ()]
    by_field = [_matches(node["metadata"]["name"], wish["operator"], wish.get("values") or []) for wish in term.get("matchFields") or ()]
    return bool(by_label or by_field) and all(by_label) and all(by_field)


def matches_node_selector(selector: Obj, node: Obj) -> bool:
    """Whether a node fulfils one of the terms."""
    return any(matches_term(term, node) for term in selector.get("nodeSelectorTerms") or ())


def wants_node(pod: Obj, node: Obj) -> bool:
    """Whether a node has what a pod's nodeSelector and required node affinity ask for."""
    spec = pod["spec"]
    labels = labels_of(node)
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or matches_node_selector(required, node)


def tolerates(toleration: Obj, taint: Obj) -> bool:
    """Whether a toleration is about a taint."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def untolerated(pod: Obj, taints: Iterable[Obj], effects: tuple[str, ...]) -> Obj | None:
    """The first taint with one of these effects that a pod does not tolerate."""
    tolerations = pod["spec"].get("tolerations") or ()
    for taint in taints:
        if taint["effect"] in effects and not any(tolerates(one, taint) for one in tolerations):
            return taint
    return None
