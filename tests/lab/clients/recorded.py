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


class RecordedCluster:
    """What was in the real cluster after each command of a scenario, as far as its requests and answers tell."""

    def __init__(self, scenario: str) -> None:
        (path,) = [one for one in FOLDER.rglob(f"{scenario}-*.jsonl.gz") if one.parent.name != "commands"]
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            self._lines: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def after(self, command: Command) -> dict[str, dict[str, Any]]:
        """Objects by their path."""
        objects: dict[str, dict[str, Any]] = {}
        for line in self._lines:
            path, _, query = line["path"].partition("?")
            if line["t_ms"] <= command.end_ms and "dryRun" not in query and "watch=" not in query:
                self._take(objects, line, path)
        return objects

    @staticmethod
    def _take(objects: dict[str, dict[str, Any]], line: dict[str, Any], path: str) -> None:
        method, body = line["method"], line["response_body"]
        if line["status"] == 404 or (method == "DELETE" and line["status"] == 200):
            objects.pop(path, None)
            return
        if not isinstance(body, dict) or "metadata" not in body:
            body = line.get("request_body_decoded")
        if line["status"] not in (200, 201) or not isinstance(body, dict) or "name" not in body.get("metadata", {}):
            return
        objects[f"{path}/{body['metadata']['name']}" if method == "POST" else path] = body
