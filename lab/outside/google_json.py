"""What Google's APIs say to JSON of the wrong shape. Only fields that the lab looks at are known; others pass."""

from __future__ import annotations

import json
from typing import Any

from lab.outside.google import GoogleError

Schema = dict[str, Any]  # field -> "string", "int32", "bool", "map", a list of one schema (repeated), or a schema (message)

_CONFIG: Schema = {"machineType": "string", "diskSizeGb": "int32", "diskType": "string", "labels": "map",
                   "taints": [{"key": "string", "value": "string"}]}  # fmt: skip
POOL: Schema = {
    "name": "string", "initialNodeCount": "int32", "config": _CONFIG, "locations": ["string"], "autoscaling": {"enabled": "bool"},
    "management": {"autoRepair": "bool"},
}  # fmt: skip
CLUSTER: Schema = {
    "name": "string", "description": "string", "initialNodeCount": "int32", "nodeConfig": _CONFIG, "nodePools": [POOL], "resourceLabels": "map",
    "locations": ["string"], "network": "string", "subnetwork": "string", "releaseChannel": {},
    "privateClusterConfig": {"enablePrivateNodes": "bool"}, "networkPolicy": {}, "ipAllocationPolicy": {}, "addonsConfig": {},
}  # fmt: skip
REQUEST: Schema = {
    "cluster": CLUSTER, "nodePool": POOL, "nodeCount": "int32", "resourceLabels": "map", "labelFingerprint": "string", "update": {},
    "autoscaling": {"enabled": "bool", "minNodeCount": "int32", "maxNodeCount": "int32"},
}  # fmt: skip
_KINDS: dict[str, tuple[type, ...]] = {"string": (str,), "int32": (int,), "bool": (bool,), "map": (dict,)}


def check(value: Any, schema: Any, path: str = "") -> None:
    """GoogleError for the first field of a wrong type. null is as good as nothing."""
    if value is None:
        return
    if isinstance(schema, str):
        fits = isinstance(value, _KINDS[schema]) and (schema == "bool" or not isinstance(value, bool))
        if not fits or (schema == "int32" and not -(2**31) <= value < 2**31):
            raise _wrong(path, schema, value)
        if schema == "map":
            for key, one in value.items():
                check(one, "string", f"{path}[{key}]")
    elif isinstance(schema, list):
        if not isinstance(value, list):
            raise _wrong(path, "message", value)
        for number, one in enumerate(value):
            if one is None:
                raise _wrong(f"{path}[{number}]", "message", one)
            check(one, schema[0], f"{path}[{number}]")
    elif not isinstance(value, dict):
        raise _wrong(path, "message", value)
    else:
        for name, inner in schema.items():
            check(value.get(name), inner, f"{path}.{name}" if path else name)


def _wrong(path: str, kind: str, value: Any) -> GoogleError:
    return GoogleError(400, f"Invalid value at '{path}' (TYPE_{kind.upper()}), {json.dumps(value)[:200]}")
