"""Things that go wrong because somebody asked: matched by place and target, counted, forgotten when used up."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from itertools import count
from typing import Any

HTTP_EFFECTS = ("status", "delay", "hang", "reset", "reset-after", "cut-off", "wrong-type")  # see lab/trouble.py

# What may go wrong where. None: whatever the programs look for.
EFFECTS: dict[str, tuple[str, ...] | None] = {
    **dict.fromkeys(("api", "storage", "cloudflare", "slack", "github", "gke", "compute", "charts"), HTTP_EFFECTS),
    "operation": ("fail", "slow"),
    "image": ("pull-error",),
    "container": ("oom", "crash", "hang"),
    "node": ("lost", "no-heartbeat"),
    "pod": ("evict", "partition"),
    "scheduler": ("slow",),
    "watch": ("expire",),
    "history": ("compact",),
    "program": None,
}


@dataclass
class Fault:
    """One wish for trouble. `place` says which part of the lab looks at it:

    - `api` (the Kubernetes API), `storage`, `cloudflare`, `slack`, `github`, `gke`, `compute`, `charts`: requests over HTTP; target is
      `METHOD /path?query`; effects are those of lab/trouble.py.
    - `operation`: what GKE is asked to do; target is `TYPE projects/p/locations/l/clusters/c`, such as `CREATE_CLUSTER …`;
      effects `fail` (`message`, `code`: a google.rpc.Code), `slow` (`seconds` of lab time more).
    - `image`: pulls; target is the image; effect `pull-error`.
    - `container`: running containers; target is `namespace/pod/container`; effects `oom`, `crash` (`code`), `hang`.
    - `program`: programs look it up themselves; target is `namespace/pod`; effects are the program's own (see each program's head).
    - `node`: target is the node's name; effects `lost` (stops answering, nothing runs there), `no-heartbeat` (its pods go on, its status
      is not renewed). They last until removed.
    - `pod`: target is `namespace/pod`; effects `evict` (as by the eviction API, as soon as disruption budgets allow it), `partition` (no
      connections between these pods and those that match the option `from`, all by default; until removed).
    - `scheduler`: target is `namespace/pod`; effect `slow` (`seconds` of lab time, 10, before it looks at that pod).
    - `watch`: open watches; target is their `GET /path?query`; effect `expire` (they end with an ERROR event, 410).
    - `history`: the store's; effect `compact` (old versions and continue tokens are gone), every `seconds` (300, lab time); target is not looked at.
    """

    place: str
    target: str  # regular expression, searched
    effect: str
    options: dict[str, Any] = field(default_factory=dict)
    times: int | None = None  # None: until removed
    after: int = 0  # let so many matches pass first
    probability: float = 1.0  # of hitting, for each match after those
    seed: int = 0  # the same seed hits the same matches
    id: int = 0
    matches: int = 0
    hits: int = 0


class Faults:
    """The lab's list of faults."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._faults: dict[int, Fault] = {}
        self._chances: dict[int, random.Random] = {}

    def add(self, fault: Fault) -> Fault:
        """Take a fault on; gives it back with its id. An unusable target is a ValueError."""
        try:
            re.compile(fault.target)
        except re.error as error:
            raise ValueError(f"target is not a regular expression: {error}") from error
        fault.id = next(self._ids)
        self._faults[fault.id] = fault
        self._chances[fault.id] = random.Random(fault.seed)  # noqa: S311 - to be repeated, not to be secret
        return fault

    def remove(self, fault_id: int) -> bool:
        """Forget one; False when it is not there."""
        self._chances.pop(fault_id, None)
        return self._faults.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Forget all."""
        self._faults.clear()
        self._chances.clear()

    def all(self) -> list[Fault]:
        """Every fault that still stands, with how often it hit."""
        return list(self._faults.values())

    def take(self, place: str, target: str, effect: str | None = None) -> Fault | None:
        """The first fault that wants this target, counted as used; None when nothing should go wrong."""
        for fault in self.all():
            if fault.place == place and (not effect or fault.effect == effect) and re.search(fault.target, target) and self.hit(fault):
                return fault
        return None

    def fits(self, fault: Fault, target: str) -> bool:
        """Whether a fault still stands and wants this target. Counts nothing."""
        return fault.id in self._faults and re.search(fault.target, target) is not None

    def hit(self, fault: Fault) -> bool:
        """Count a match of a fault that stands; whether it hits."""
        fault.matches += 1
        if fault.matches <= fault.after or self._chances[fault.id].random() >= fault.probability:
            return False
        fault.hits += 1
        if fault.times is not None and fault.hits >= fault.times:
            self.remove(fault.id)
        return True


_FIELDS: dict[str, tuple[type, ...]] = {
    "place": (str,), "target": (str,), "effect": (str,), "options": (dict,), "times": (int,), "after": (int,), "probability": (int, float),
    "seed": (int,),
}  # fmt: skip
_LEAST: dict[str, int] = {"times": 1, "after": 0}


def read_fault(body: Any) -> Fault:
    """A fault from JSON; ValueError names every mistake."""
    if not isinstance(body, dict):
        raise ValueError("a fault is an object with place, target and effect")
    problems = [f"{name}: unknown, known are {', '.join(_FIELDS)}" for name in body if name not in _FIELDS]
    for name, kinds in _FIELDS.items():
        value = body.get(name)
        if name in ("place", "target", "effect") and value is None:
            problems.append(f"{name}: missing")
        elif value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            problems.append(f"{name}: must be of type {kinds[-1].__name__}")
    problems += [f"{name}: must be at least {least}" for name, least in _LEAST.items() if isinstance(body.get(name), int) and body[name] < least]
    if isinstance(body.get("probability"), int | float) and not 0 < body["probability"] <= 1:
        problems.append("probability: must be above 0 and at most 1")
    problems += [*_check_effect(body.get("place"), body.get("effect")), *_check_options(body.get("options"))]
    if problems:
        raise ValueError("; ".join(problems))
    return Fault(**{name: value for name, value in body.items() if value is not None})


def _check_effect(place: Any, effect: Any) -> list[str]:
    if not isinstance(place, str):
        return []
    if place not in EFFECTS:
        return [f"place: {place!r} is none of {', '.join(EFFECTS)}"]
    known = EFFECTS[place]
    if known is None or effect is None or effect in known:
        return []
    return [f"effect: {effect!r} is none of {', '.join(known)}"]


def _check_options(options: Any) -> list[str]:
    """Numbers that have to be numbers; what else there is, its user looks at."""
    if not isinstance(options, dict):
        return []
    problems = []
    for name in ("code", "seconds", "retry_after"):
        value = options.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
            problems.append(f"options.{name}: must be a number from 0 on")
    if "from" in options:
        try:
            re.compile(options["from"])
        except (re.error, TypeError) as error:
            problems.append(f"options.from: not a regular expression: {error}")
    return problems
