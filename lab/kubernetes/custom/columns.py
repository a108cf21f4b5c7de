"""Custom resources as rows of a Table: additionalPrinterColumns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lab.kubernetes.cells import age
from lab.kubernetes.custom.definition import Definition
from lab.kubernetes.custom.jsonpath import find
from lab.kubernetes.gotext import go_json

Obj = dict[str, Any]

_AGE: Obj = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def column_definitions(definition: Definition, name: Obj, age_help: str) -> list[Obj]:
    """Columns of a kind; `name` is the first one. Without any in the definition: the age."""
    found = [name]
    for column in definition.columns or [{**_AGE, "description": age_help}]:
        text = column.get("description") or f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
        found.append({
            "name": column["name"], "type": column["type"], "format": column.get("format", ""), "description": text,
            "priority": column.get("priority", 0),
        })  # fmt: skip
    return found


def cells(definition: Definition, obj: Obj, now: datetime) -> list[Any]:
    """The cells of an object's row."""
    return [obj["metadata"]["name"], *(_cell(column, find(column["jsonPath"], obj), now) for column in definition.columns or [_AGE])]


def _cell(column: Obj, values: list[Any], now: datetime) -> Any:
    if not values:
        return None
    value, kind = values[0], column["type"]
    if kind == "date":
        try:
            return age(value, now) if isinstance(value, str) else "<unknown>"
        except ValueError:
            return "<invalid>"
    if kind == "string":
        texts = [_text(one) for one in values if one is not None]
        return ",".join(texts) if texts else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (int(value) if kind == "integer" else float(value)) if number else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else go_json(value)
