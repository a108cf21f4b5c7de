"""What the transcripts say about single objects, for tests of pure functions: no server, no order of things."""

from __future__ import annotations

import json
from typing import Any

from lab.kubernetes.kind import Kind
from lab.kubernetes.kinds import Kinds
from tests.lab.replay.transcript import Record, load

Obj = dict[str, Any]

SERVER_SET = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink", "deletionGracePeriodSeconds")


def kind_of(record: Record) -> Kind | None:
    """The kind that a collection's or an item's path names; None for subresources and other paths."""
    parts = record.path.partition("?")[0].strip("/").split("/")
    if parts[0] not in ("api", "apis"):
        return None
    head = 2 if parts[0] == "api" else 3
    group = "" if parts[0] == "api" else parts[1]
    rest = parts[head:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    if len(rest) not in (1, 2):
        return None
    return Kinds.default().by_path(group, parts[head - 1], rest[0])


def requests(scenario: str, method: str, *statuses: int) -> list[tuple[Record, Kind]]:
    """Requests of a method with one of these answers, whose body is an object of a known kind."""
    found = []
    for record in load(scenario):
        kind = kind_of(record)
        if record.method == method and record.status in statuses and kind is not None and isinstance(record.body, dict):
            found.append((record, kind))
    return found


def content(obj: Obj) -> Obj:
    """An object without what the server sets by itself."""
    copied: Obj = json.loads(json.dumps(obj))
    for key in SERVER_SET:
        copied.get("metadata", {}).pop(key, None)
    for key in ("kind", "apiVersion"):
        copied.pop(key, None)
    return copied
