"""How Go prints values: the texts of errors quote them."""

from __future__ import annotations

import json
from typing import Any


def quoted(text: str) -> str:
    """`%q`: a string in quotes, escaped."""
    return json.dumps(text, ensure_ascii=False)


class Struct(dict[str, Any]):
    """A map that stands for a Go struct: printed in its own order, not by name."""


def go_json(value: Any) -> str:
    """`encoding/json`: no spaces, map keys sorted, and `<`, `>`, `&` escaped."""
    text = json.dumps(_arranged(value), ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _arranged(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _arranged(value[key]) for key in (value if isinstance(value, Struct) else sorted(value))}
    if isinstance(value, list):
        return [_arranged(item) for item in value]
    return value


def plain(value: Any) -> str:
    """`%v`: `map[image:x]`, `[a b]`, `true`, `<nil>`."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{plain(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(plain(item) for item in value) + "]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def json_kind(value: Any) -> str:
    """What Go's JSON decoder calls a value: string, number, bool, array, object."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "null"
