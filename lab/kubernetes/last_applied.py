"""What the API server does for people who move from `kubectl apply` to `kubectl apply --server-side`.

Objects of the former carry their configuration in an annotation. When manager `kubectl` applies on the server, fields that are as that annotation
says may be taken without conflict, and the annotation is brought up to date.
"""

from __future__ import annotations

import json
from typing import Any

from lab.kubernetes.fieldsets import Tree, difference, union
from lab.kubernetes.kind import Kind
from lab.kubernetes.schema import root
from lab.kubernetes.typed import compare, field_set

Obj = dict[str, Any]

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
MANAGER = "kubectl"
_MOST_BYTES = 256 * 1024  # that all annotations together may take


def _annotation(live: Obj | None) -> str:
    found: str = ((live or {}).get("metadata", {}).get("annotations") or {}).get(ANNOTATION, "")
    return found


def free_fields(kind: Kind, live: Obj | None, manager: str) -> Tree:
    """Fields that are still as the annotation says: nobody's in particular."""
    text = _annotation(live) if manager == MANAGER else ""
    if not text or live is None:
        return {}
    try:
        last = json.loads(text)
        found = compare(root(kind), last, live)
        return difference(field_set(root(kind), last), union(found.changed, found.removed))
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}  # somebody else wrote the annotation


def bring_up_to_date(result: Obj, live: Obj | None, applied: Obj, manager: str) -> None:
    """Write what was applied into the annotation of the result, in place, where there is one."""
    if manager != MANAGER or not _annotation(live):
        return
    meta = result["metadata"]
    annotations = {key: value for key, value in (meta.get("annotations") or {}).items() if key != ANNOTATION}
    applied_meta = {key: value for key, value in applied["metadata"].items() if key != "annotations"}
    own = {key: value for key, value in (applied["metadata"].get("annotations") or {}).items() if key != ANNOTATION}
    text = json.dumps({**applied, "metadata": applied_meta | ({"annotations": own} if own else {})}, sort_keys=True, separators=(",", ":")) + "\n"
    if sum(len(key) + len(value) for key, value in annotations.items()) + len(ANNOTATION) + len(text) <= _MOST_BYTES:
        annotations[ANNOTATION] = text
    meta["annotations"] = annotations
