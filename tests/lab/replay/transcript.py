"""Reads the recorded transcripts: one `Record` a request, with every abbreviation of the files resolved."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

Json = Any
FOLDER = Path(__file__).parents[2] / "data" / "recordings" / "kubernetes"
STRIPPED = "<stripped>"

# Tunnelled frames are recorded in part only: what kubectl sends is tried with kubectl itself.
TUNNELLED = "SPDY/3.1+portforward.k8s.io"

# Bodies that the recording could not keep: a doubled key is lost in JSON, and managedFields were cut out.
RESTORED: dict[tuple[str, int], str] = {
    ("02", 177): '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"1","a":"2"}}',
    ("03", 72): '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"ssa","managedFields":[{"manager":"alice"}]},"data":{"a":"1"}}',
}
# Bodies of one very long text, of which only the size was kept.
RESTORED |= {
    ("15", 29): '{"metadata": {"name": "big"}, "data": {"x": "' + "y" * (1048634 - 49) + '"}}',
    ("15", 30): '{"metadata": {"name": "big2", "annotations": {"a": "' + "y" * (262201 - 56) + '"}}}',
    ("15", 31): '{"metadata": {"name": "big3"}, "data": {"x": "' + "y" * (3145972 - 50) + '"}}',
    ("15", 32): '{"metadata": {"name": "big"}, "data": {"x": "' + "eXl5" * ((1433648 - 48) // 4) + '"}}',
}
# Watches that the client left, as the step says; the recording does not.
CLIENT_LEFT = {("15", 28)}


@dataclass
class Record:
    """One request and its recorded answer."""

    scenario: str  # the file's number: 02, 05a
    n: int
    t_ms: int
    duration_ms: int
    step: str
    method: str
    path: str
    client: str
    account: str | None  # None is the administrator
    headers: dict[str, str]
    body: Json
    status: int
    content_type: str | None
    answer_headers: dict[str, Any]
    answer: Json
    ended_by: str | None = None  # watches and followed logs: who closed the stream
    managed_fields: Json = None  # from the samples file, where there is one
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def end_ms(self) -> int:
        """When the answer was complete."""
        return self.t_ms + self.duration_ms

    @property
    def streams(self) -> bool:
        """A watch or a followed log: the answer takes as long as somebody listens."""
        return self.status == 200 and (self.is_watch or "follow=true" in self.path)

    @property
    def is_watch(self) -> bool:
        """Whether the answer is a stream of watch events (an empty one is recorded as an empty text)."""
        if self.status != 200:
            return False
        asked = re.search(r"[?&]watch=(?!0|false)", self.path) is not None or "/watch/" in self.path
        return asked and (self.ended_by is not None or self.answer in ("", []))

    @property
    def events(self) -> list[dict[str, Any]]:
        """A watch's events."""
        return self.answer if isinstance(self.answer, list) else []

    @property
    def writes(self) -> bool:
        """Whether it may change anything."""
        return self.method not in ("GET", "HEAD", "OPTIONS")


def scenarios() -> list[str]:
    """The numbers of all scenarios there are: 01, 02, …"""
    return [path.name.split("-")[0] for path in sorted(FOLDER.glob("[0-9]*.jsonl.gz"))]


@cache
def load(scenario: str) -> tuple[Record, ...]:
    """All requests of a scenario in the order they arrived, without those left out."""
    (path,) = FOLDER.glob(f"{scenario}-*.jsonl.gz")
    lines = _read(path)
    answers = {line["n"]: line.get("response_body") for line in lines}
    samples = _managed_fields(path.name.removesuffix(".jsonl.gz"))
    return tuple(_record(scenario, line, answers, samples) for line in lines if not _left_out(line))


def left_out(scenario: str) -> int:
    """How many requests of the file are not replayed."""
    (path,) = FOLDER.glob(f"{scenario}-*.jsonl.gz")
    return sum(1 for line in _read(path) if _left_out(line))


def _left_out(line: dict[str, Any]) -> bool:
    return (line.get("request_headers") or {}).get("Sec-WebSocket-Protocol") == TUNNELLED


@cache
def _read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _managed_fields(name: str) -> dict[int, Json]:
    return {line["n"]: line["managedFields"] for line in _read(FOLDER / "managedFields-samples.jsonl.gz") if line["from"] == name}


def _record(scenario: str, line: dict[str, Any], answers: dict[int, Json], samples: dict[int, Json]) -> Record:
    answer = line.get("response_body")
    while isinstance(answer, dict) and "$same_as_n" in answer:
        answer = answers[answer["$same_as_n"]]
    if line.get("ended_by") and isinstance(answer, list):
        answer = _with_specs(answer)
    headers = dict(line.get("request_headers") or {})
    if "accept_forced" in line:
        headers["Accept"] = line["accept_forced"]
    if "request_body_decoded" in line:  # it was protobuf, which other tests look at
        headers["Content-Type"] = "application/json"
    return Record(
        scenario=scenario,
        n=line["n"],
        t_ms=line["t_ms"],
        duration_ms=line.get("duration_ms") or 0,
        step=line["step"],
        method=line["method"],
        path=line["path"],
        client=line["client"] if line.get("via") != "raw HTTP" else "raw",
        account=line.get("as"),
        headers=headers,
        body=RESTORED.get((scenario, line["n"]), line.get("request_body_decoded", line.get("request_body"))),
        status=line["status"],
        content_type=line.get("response_content_type"),
        answer_headers={name.lower(): value for name, value in (line.get("response_headers") or {}).items()},
        answer=answer,
        ended_by=line.get("ended_by") or ("client" if (scenario, line["n"]) in CLIENT_LEFT else None),
        managed_fields=samples.get(line["n"]),
        raw=line,
    )


def _with_specs(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Puts back the `spec` that was left out because it equals the one of the event before, of the same object."""
    specs: dict[str, Json] = {}
    full = []
    for event in events:
        thing = event["object"]
        if isinstance(thing, dict) and "spec" in thing:
            uid = thing.get("metadata", {}).get("uid", "")
            if thing["spec"] != "<unchanged>":
                specs[uid] = thing["spec"]
            full.append({**event, "object": {**thing, "spec": specs[uid]}})
        else:
            full.append(event)
    return full
