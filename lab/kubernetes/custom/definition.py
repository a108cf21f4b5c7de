"""One version of a custom kind, as its CustomResourceDefinition describes it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

from lab.kubernetes.custom.nodes import root_node
from lab.kubernetes.kind import Kind, version_order
from lab.kubernetes.schema import Node

Obj = dict[str, Any]

_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")


@dataclass(eq=False)
class Definition:
    """What the server has to know of a custom kind besides its row."""

    crd: str  # name of the CustomResourceDefinition
    schema: Obj
    columns: list[Obj] = field(default_factory=list)
    scale: Obj = field(default_factory=dict)
    node: Node = field(default_factory=lambda: Node("struct"))
    ready: bool = False  # its storage answers
    established: float = 0.0  # lab seconds (monotonic)
    terminating: bool = False


def rows(crd: Obj) -> list[Kind]:
    """A row for each served version; the first one given is where objects are kept."""
    served = [version for version in crd["spec"].get("versions") or () if version.get("served")]
    served.sort(key=lambda version: version_order(version["name"]))
    if not served:
        return []
    home = next((version for version in served if version.get("storage")), served[0])
    api_version = f"{crd['spec']['group']}/{home['name']}"
    return [_row(crd, version, "" if version is home else api_version) for version in served]


def _row(crd: Obj, version: Obj, stored_as: str) -> Kind:
    spec, meta = crd["spec"], crd["metadata"]
    names = (crd.get("status") or {}).get("acceptedNames") or spec["names"]
    below = version.get("subresources") or {}
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    definition = Definition(
        crd=meta["name"],
        schema=schema,
        columns=version.get("additionalPrinterColumns") or [],
        scale=below.get("scale") or {},
        node=root_node(f"{spec['group']}.{version['name']}.{spec['names']['kind']}", schema),
        terminating=bool(meta.get("deletionTimestamp")),
    )
    return Kind(
        spec["group"],
        version["name"],
        spec["names"]["kind"],
        spec["names"]["plural"],
        namespaced=spec["scope"] == "Namespaced",
        singular=names.get("singular") or "",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        verbs=_VERBS,
        status="status" in below,
        scale="scale" in below,
        generation="all",
        selectable=tuple(one["jsonPath"].removeprefix(".") for one in version.get("selectableFields") or ()),
        storage_version_hash=_storage_hash(crd),
        stored_as=stored_as,
        custom=True,
        definition=definition,
        listed_as=spec["names"].get("listKind") or "",
    )


def _storage_hash(crd: Obj) -> str:
    """What discovery tells of the version in which objects are kept."""
    spec = crd["spec"]
    storage = next((version["name"] for version in spec.get("versions") or () if version.get("storage")), "")
    digest = hashlib.sha256(f"{spec['group']}/{storage}/{spec['names']['kind']}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()
