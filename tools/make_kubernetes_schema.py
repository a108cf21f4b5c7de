"""Makes lab/kubernetes/schema.json: the fields of every built-in kind, compact, from the API's own published definitions.

    python tools/make_kubernetes_schema.py _definitions.json lab/kubernetes/schema.json

`_definitions.json` is the one of the Python package `kubernetes-validate` (folder kubernetes-json-schema/v1.36.0-local), which is
Kubernetes' OpenAPI document as JSON Schema. Only what the lab uses is kept: names, types, list keys and merge strategies.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SCALARS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "intorstring",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "microtime",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
}
PREFIXES = (
    "io.k8s.api.",
    "io.k8s.apimachinery.pkg.apis.",
    "io.k8s.apimachinery.pkg.",
    "io.k8s.kube-aggregator.pkg.apis.",
    "io.k8s.apiextensions-apiserver.pkg.apis.",
)
OPTIONS = {
    "x-kubernetes-list-type": "type",
    "x-kubernetes-list-map-keys": "keys",
    "x-kubernetes-patch-merge-key": "merge",
    "x-kubernetes-patch-strategy": "strategy",
    "x-kubernetes-map-type": "type",
}


def short(name: str) -> str:
    """`io.k8s.api.apps.v1.Deployment` → `apps.v1.Deployment`."""
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def code(field: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """A field's type: a word for a scalar, `@name` for a struct, an object for lists, maps and anything with options."""
    options = {ours: field[theirs] for theirs, ours in OPTIONS.items() if theirs in field}
    if "$ref" in field:
        return reference(field["$ref"].rsplit("/", 1)[1], definitions, options)
    types = field.get("type")
    kind = next((t for t in types if t != "null"), "any") if isinstance(types, list) else types
    if kind == "array":
        return {"list": code(field["items"], definitions), **options}
    if kind == "object" and "additionalProperties" in field:
        return {"map": code(field["additionalProperties"], definitions), **options}
    if kind == "object" or kind is None:
        return "any"
    if kind == "string":
        return {"byte": "bytes", "date-time": "time"}.get(field.get("format", ""), "string")
    return {"integer": field.get("format", "int64"), "boolean": "bool", "number": "double"}[kind]


def reference(name: str, definitions: dict[str, Any], options: dict[str, Any]) -> Any:
    """A reference to another definition: a scalar's word, or the struct with its options."""
    if name in SCALARS:
        return SCALARS[name]
    target = definitions[name]
    if "properties" not in target:
        return "any" if target.get("type") in (None, "object", ["object", "null"]) else code(target, definitions)
    return {"struct": short(name), **options} if options else "@" + short(name)


def compact(definitions: dict[str, Any]) -> dict[str, Any]:
    """The whole table: kinds by `group/version/Kind`, structs by short name."""
    kinds: dict[str, str] = {}
    structs: dict[str, Any] = {}
    for name, definition in sorted(definitions.items()):
        if "properties" not in definition or name in SCALARS:
            continue
        fields = {key: code(value, definitions) for key, value in definition["properties"].items()}
        structs[short(name)] = {"fields": fields, "atomic": True} if definition.get("x-kubernetes-map-type") == "atomic" else {"fields": fields}
        gvks = definition.get("x-kubernetes-group-version-kind", [])
        if len(gvks) == 1:
            gvk = gvks[0]
            kinds["/".join(part for part in (gvk["group"], gvk["version"], gvk["kind"]) if part)] = short(name)
    return {"kinds": kinds, "structs": structs}


def main() -> None:
    """Read the definitions, write the table."""
    source, target = (Path(argument) for argument in sys.argv[1:3])
    document = json.loads(source.read_text())
    table = compact(document.get("$defs") or document["definitions"])
    lines = [f"{json.dumps(name)}: {json.dumps(struct, separators=(',', ':'))}" for name, struct in table["structs"].items()]
    target.write_text('{"kinds": ' + json.dumps(table["kinds"], separators=(",", ":")) + ',\n"structs": {\n' + ",\n".join(lines) + "\n}}\n")


if __name__ == "__main__":
    main()
