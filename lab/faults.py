"""Things that go wrong because somebody asked: matched by place and target, counted, forgotten when used up."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import count
from typing import Any


@dataclass
class Fault:
    """One wish for trouble. `place` says which part of the lab looks at it:

    - `api`: requests to the Kubernetes API; target is `METHOD /path?query`; effects `status` (with `code`, `retry_after`, `body`),
      `reset` (connection closed without an answer), `reset-after` (the request is carried out, then the connection is closed), `hang`,
      `delay` (`seconds`).
    - `image`: pulls; target is the image; effect `pull-error`.
    - `container`: running containers; target is `namespace/pod/container`; effects `oom`, `crash` (`code`), `hang`.
    - `program`: programs look it up themselves; target is `namespace/pod`; effects are the program's own (see each program's head).
    - `node`: target is the node's name; effects `lost` (stops answering).
    """

    place: str
    target: str  # regular expression, searched
    effect: str
    options: dict[str, Any] = field(default_factory=dict)
    times: int | None = None  # None: until removed
    after: int = 0  # let so many matches pass first
    id: int = 0
    hits: int = 0


class Faults:
    """The lab's list of faults."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._faults: dict[int, Fault] = {}

    def add(self, fault: Fault) -> Fault:
        """Take a fault on; gives it back with its id. An unusable target is a ValueError."""
        try:
            re.compile(fault.target)
        except re.error as error:
            raise ValueError(f"target is not a regular expression: {error}") from error
        fault.id = next(self._ids)
        self._faults[fault.id] = fault
        return fault

    def remove(self, fault_id: int) -> bool:
        """Forget one; False when it is not there."""
        return self._faults.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Forget all."""
        self._faults.clear()

    def all(self) -> list[Fault]:
        """Every fault that still stands, with how often it hit."""
        return list(self._faults.values())

    def take(self, place: str, target: str, effect: str | None = None) -> Fault | None:
        """The first fault that wants this target, counted as used; None when nothing should go wrong."""
        for fault in self._faults.values():
            if fault.place != place or (effect and fault.effect != effect) or not re.search(fault.target, target):
                continue
            fault.hits += 1
            if fault.hits <= fault.after:
                continue
            if fault.times is not None and fault.hits >= fault.after + fault.times:
                del self._faults[fault.id]
            return fault
        return None
