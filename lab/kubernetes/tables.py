"""The Table form of lists, objects and watch events: what `kubectl get` prints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from lab.kubernetes.cells import CELLS, Cells
from lab.kubernetes.custom.columns import cells as custom_cells
from lab.kubernetes.custom.columns import column_definitions
from lab.kubernetes.kinds import Kind
from lab.kubernetes.negotiation import Form

if TYPE_CHECKING:
    from lab.kubernetes.registry import Registry

Obj = dict[str, Any]


@cache
def _columns() -> dict[str, list[Obj]]:
    """Column definitions by `group/version plural`, as recorded (columns.json)."""
    columns: dict[str, list[Obj]] = json.loads((Path(__file__).parent / "columns.json").read_text())
    return columns


_NAME_HELP = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the "
    "generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. "
    "Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
_AGE_HELP = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before "
    "order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. "
    "Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
_PLAIN: list[Obj] = [
    {"name": "Name", "type": "string", "format": "name", "description": _NAME_HELP, "priority": 0},
    {"name": "Created At", "type": "date", "format": "", "description": _AGE_HELP, "priority": 0},
]


@dataclass
class Columns:
    """Whether a client has the column definitions already: a watch sends them once."""

    sent: bool = False


def _row_object(kind: Kind, obj: Obj, include: str, version: str) -> Obj | None:
    if include == "None":
        return None
    if include == "Object":
        return {"kind": kind.kind, "apiVersion": kind.api_version, **obj}
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


def encode_table(registry: Registry, kind: Kind, items: list[Obj], meta: Obj, form: Form, columns: Columns | None = None) -> bytes:
    """A Table of objects as JSON."""
    columns = columns or Columns()
    definitions: list[Obj] | None
    cells: Cells | None
    if (custom := kind.definition) is not None:
        definitions, cells = column_definitions(custom, _PLAIN[0], _AGE_HELP), partial(custom_cells, custom)
    else:
        definitions = _columns().get(f"{kind.api_version} {kind.plural}")
        cells = CELLS.get(f"{kind.api_version} {kind.plural}")
    if definitions is None or cells is None:
        definitions, cells = _PLAIN, lambda obj, now: [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp")]
    now = registry.clock.now()
    rows = []
    for item in items:
        row: Obj = {"cells": cells(item, now)}
        if kind.kind == "Pod" and (conditions := _row_conditions(item)):
            row["conditions"] = conditions
        row["object"] = _row_object(kind, item, form.include, form.version)
        rows.append(row)
    table: Obj = {"kind": "Table", "apiVersion": f"meta.k8s.io/{form.version}", "metadata": meta}
    table["columnDefinitions"] = None if columns.sent else definitions
    table["rows"] = rows
    columns.sent = True
    return orjson.dumps(table)


def _row_conditions(pod: Obj) -> list[Obj] | None:
    phase = (pod.get("status") or {}).get("phase")
    texts = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}
    if phase not in texts:
        return None
    return [{"type": "Completed", "status": "True", "reason": phase, "message": texts[phase]}]

