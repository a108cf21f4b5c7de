"""The simple JSONPath of printer columns, scale paths and selectable fields.

`.spec.size`, `.items[0].name`, `.list[*]`, `.conditions[?(@.type=="Ready")].status`
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

Step = Callable[[list[Any]], list[Any]]

_STEP = re.compile(
    r"\.(?P<field>(?:[\w-]|\\.)+)|\[(?P<index>-?\d+)\]|\[['\"](?P<quoted>[^'\"]+)['\"]\]|(?P<all>\.\*|\[\*\])|"
    r"\[\?\(\s*@(?P<path>(?:\.[\w-]+)+)\s*(?P<sign>==|!=)\s*(?P<value>'[^']*'|\"[^\"]*\"|[\w.-]+)\s*\)\]"
)


def find(path: str, value: Any) -> list[Any]:
    """Every value at a path; none when it leads nowhere."""
    found = [value]
    for step in steps(path):
        found = step(found)
    return found


def first(path: str, value: Any) -> Any:
    """The first value at a path, or None."""
    return next(iter(find(path, value)), None)


def place(target: dict[str, Any], path: str, value: Any) -> None:
    """Put a value at a path of plain names, making the way there."""
    *way, last = path.removeprefix(".").split(".")
    for name in way:
        target = target.setdefault(name, {})
    target[last] = value


@lru_cache(maxsize=512)
def steps(path: str) -> tuple[Step, ...]:
    """A path taken apart; ValueError when it is none."""
    path = path.removeprefix("{").removesuffix("}").removeprefix("$")
    taken: list[Step] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise ValueError(f"not a path that is understood here: {path}")
        taken.append(_step(match))
        position = match.end()
    return tuple(taken)


def _step(match: re.Match[str]) -> Step:
    field = match["field"] or match["quoted"]
    if field:
        name = re.sub(r"\\(.)", r"\1", field)
        return lambda values: [one[name] for one in values if isinstance(one, dict) and name in one]
    if match["index"]:
        index = int(match["index"])
        return lambda values: [one[index] for one in values if isinstance(one, list) and -len(one) <= index < len(one)]
    if match["all"]:
        return lambda values: [item for one in values for item in (one if isinstance(one, list) else one.values() if isinstance(one, dict) else ())]
    return _filter(match["path"], match["sign"] == "==", _literal(match["value"]))


def _literal(text: str) -> Any:
    if text[0] in "'\"":
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _filter(path: str, equal: bool, wanted: Any) -> Step:
    def step(values: list[Any]) -> list[Any]:
        items = [item for one in values if isinstance(one, list) for item in one]
        return [item for item in items if (first(path, item) == wanted) is equal]

    return step
