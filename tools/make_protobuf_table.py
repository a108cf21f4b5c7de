"""Makes lab/kubernetes/protobuf.json: field numbers of everything that a client may send, compact, from a table of all messages.

    python tools/make_protobuf_table.py tests/data/recordings/kubernetes/protobuf-fields.json.gz lab/kubernetes/protobuf.json

The source holds message -> number -> [JSON name, type, repeated, inline in JSON], and `$kinds`, apiVersion/kind -> message. Here a field is
`name type`: a scalar's word, `@message`, `[]` before what is repeated, `map:` before the values of a map; no name where JSON has the message inline.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

SCALARS = {
    "k8s.io.apimachinery.pkg.api.resource.Quantity": "quantity",
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": "intorstring",
    "k8s.io.apimachinery.pkg.apis.meta.v1.Time": "time",
    "k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime": "microtime",
    "k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1": "raw",
    "k8s.io.apimachinery.pkg.runtime.RawExtension": "raw",
    "k8s.io.api.authentication.v1.ExtraValue": "texts",
    "k8s.io.api.authorization.v1.ExtraValue": "texts",
    "k8s.io.api.certificates.v1.ExtraValue": "texts",
}
PREFIXES = ("k8s.io.api.", "k8s.io.apimachinery.pkg.apis.", "k8s.io.apimachinery.pkg.", "k8s.io.apiextensions_apiserver.pkg.apis.", "k8s.io.")
Source = dict[str, dict[str, Any]]


def short(name: str) -> str:
    """`k8s.io.api.apps.v1.Deployment` → `apps.v1.Deployment`."""
    return next((name[len(prefix) :] for prefix in PREFIXES if name.startswith(prefix)), name)


def code(type_: str) -> str:
    """A type as it stands in the table."""
    if type_ in SCALARS:
        return SCALARS[type_]
    return f"@{short(type_)}" if "." in type_ else type_


def field(name: str, type_: str, repeated: bool, inline: bool) -> str:
    """A field as it stands in the table."""
    if type_.startswith("map<"):
        key, value = type_[4:-1].split(",")
        assert key == "string"
        return f"{name} map:{code(value)}"
    return f"{'' if inline else name} {'[]' if repeated else ''}{code(type_)}"


def reachable(source: Source, roots: list[str]) -> set[str]:
    """Messages that stand in those, at any depth."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found or name in SCALARS or name not in source:
            continue
        found.add(name)
        for _, type_, _, _ in source[name].values():
            waiting.append(type_[4:-1].split(",")[1] if type_.startswith("map<") else type_)
    return found


def main() -> None:
    """Read the messages, write the table."""
    origin, target = (Path(argument) for argument in sys.argv[1:3])
    with gzip.open(origin, "rt", encoding="utf-8") as lines:
        source: Source = json.load(lines)
    kinds = {kind: message for kind, message in source["$kinds"].items() if not kind.endswith("List")}
    lines_out = [
        f"{json.dumps(short(name))}: {json.dumps({number: field(*entry) for number, entry in source[name].items()}, separators=(',', ':'))}"
        for name in sorted(reachable(source, list(kinds.values())), key=short)
    ]
    shown = json.dumps({kind: short(message) for kind, message in sorted(kinds.items())}, separators=(",", ":"))
    target.write_text('{"kinds": ' + shown + ',\n"messages": {\n' + ",\n".join(lines_out) + "\n}}\n")


if __name__ == "__main__":
    main()
