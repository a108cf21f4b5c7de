"""What CLI commands printed on the real cluster, and what was there after each."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "data" / "recordings" / "kubernetes"


@dataclass(frozen=True)
class Command:
    """One command and what it printed."""

    scenario: str  # 14a, 11-helm3
    number: int
    step: str
    argv: tuple[str, ...]
    stdin: str | None
    exit: int
    stdout: str
    stderr: str
    end_ms: int

    def __str__(self) -> str:
        return f"{self.scenario}-{self.number:03}-{self.step}"[:110]


@cache
def commands(scenario: str) -> tuple[Command, ...]:
    """All commands of a scenario, in order."""
    (path,) = [one for one in (FOLDER / "commands").glob("*.jsonl.gz") if re.match(rf"{scenario}[-.]", one.name)]
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        found: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return tuple(
        Command(scenario, number, one["step"], tuple(one["argv"]), one["stdin"], one["exit"], one["stdout"], one["stderr"], one["end_ms"])
        for number, one in enumerate(found)
    )
