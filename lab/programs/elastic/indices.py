"""What an Elasticsearch cluster holds: indices with documents, templates, lifecycle policies. Plain data; the wording of answers is elsewhere."""

from __future__ import annotations

import fnmatch
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

Obj = dict[str, Any]

_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BAD_NAME = re.compile(r'[\\/*?"<>| ,#:A-Z]|^[-_+]|^\.{1,2}$')
PHASES = ("hot", "warm", "cold", "frozen", "delete")


class ElasticError(Exception):
    """An answer in Elasticsearch's own words."""

    def __init__(self, status: int, kind: str, reason: str, **more: Any) -> None:
        super().__init__(reason)
        self.status = status
        self.body: dict[str, Any] = {
            "error": {"root_cause": [{"type": kind, "reason": reason, **more}], "type": kind, "reason": reason, **more},
            "status": status,
        }


@dataclass
class Index:
    """One index."""

    name: str
    created: float  # lab seconds, of the cluster's own count
    settings: Obj = field(default_factory=dict)  # below `index`, flat: `lifecycle.name`
    mappings: Obj = field(default_factory=dict)
    documents: dict[str, Obj] = field(default_factory=dict)
    uuid: str = field(default_factory=lambda: uuid.uuid4().hex[:22])

    @property
    def replicas(self) -> int:
        """Copies beside the first; those that adapt to the cluster never miss a node."""
        return 0 if "auto_expand_replicas" in self.settings else int(self.settings.get("number_of_replicas", 1))


@dataclass
class Holdings:
    """All that survives the cluster's nodes on their disks."""

    indices: dict[str, Index] = field(default_factory=dict)
    policies: dict[str, Obj] = field(default_factory=dict)  # name -> {version, policy}
    templates: dict[str, Obj] = field(default_factory=dict)
    legacy: dict[str, Obj] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)  # service tokens: name -> value
    uuid: str = field(default_factory=lambda: uuid.uuid4().hex[:22])
    age: float = 0.0  # lab seconds that the cluster has been up

    def dump(self) -> str:
        """As text for a disk."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Holdings:
        """From a disk."""
        found = json.loads(text)
        found["indices"] = {name: Index(**index) for name, index in found["indices"].items()}
        return cls(**found)

    # Indices

    def matching(self, pattern: str) -> list[Index]:
        """Indices by name, comma separated, with wildcards; ElasticError 404 for a plain name that is not there."""
        found: dict[str, Index] = {}
        for part in (pattern or "_all").split(","):
            text = "*" if part == "_all" else part
            if "*" not in text:
                if text not in self.indices:
                    more = {"resource.type": "index_or_alias", "resource.id": text, "index_uuid": "_na_", "index": text}
                    raise ElasticError(404, "index_not_found_exception", f"no such index [{text}]", **more)
                found[text] = self.indices[text]
            else:
                hidden = text.startswith(".")
                found |= {name: index for name, index in self.indices.items() if fnmatch.fnmatchcase(name, text) and (hidden or name[0] != ".")}
        return list(found.values())

    def create(self, name: str, body: Obj) -> Index:
        """A new index, with what its templates say. ElasticError when it cannot be."""
        if _BAD_NAME.search(name):
            raise ElasticError(400, "invalid_index_name_exception", f"Invalid index name [{name}], must be lowercase", index=name)
        if name in self.indices:
            there = f"index [{name}/{self.indices[name].uuid}] already exists"
            raise ElasticError(400, "resource_already_exists_exception", there, index=name)
        settings, mappings = self._from_templates(name)
        settings |= flat_settings(body.get("settings") or {})
        index = Index(name, self.age, settings, mappings | (body.get("mappings") or {}))
        if name.startswith("."):
            index.settings.setdefault("auto_expand_replicas", "0-1")
        self.indices[name] = index
        return index

    def index_for(self, name: str) -> Index:
        """The index, made when it is not there: writing does that."""
        return self.indices.get(name) or self.create(name, {})

    def _from_templates(self, name: str) -> tuple[Obj, Obj]:
        """Composable templates win over legacy ones; of them the one with the highest priority counts alone."""
        fitting = [one for one in self.templates.values() if _fits(name, one)]
        if fitting:
            best = max(fitting, key=lambda one: int(one.get("priority") or 0)).get("template") or {}
            return flat_settings(best.get("settings") or {}), dict(best.get("mappings") or {})
        settings: Obj = {}
        mappings: Obj = {}
        for one in sorted((one for one in self.legacy.values() if _fits(name, one)), key=lambda one: int(one.get("order") or 0)):
            settings |= flat_settings(one.get("settings") or {})
            mappings |= one.get("mappings") or {}
        return settings, mappings

    def count(self, pattern: str) -> int:
        """Documents."""
        return sum(len(index.documents) for index in self.matching(pattern))

    # Lifecycle

    def delete_old(self) -> list[str]:
        """Delete indices whose policy says so by now; gives their names."""
        gone = []
        for index in list(self.indices.values()):
            policy = self.policies.get(str(index.settings.get("lifecycle.name", "")))
            phase = (policy or {}).get("policy", {}).get("phases", {}).get("delete")
            if phase and "delete" in (phase.get("actions") or {}) and self.age - index.created >= duration(phase.get("min_age", "0ms")):
                del self.indices[index.name]
                gone.append(index.name)
        return gone

    def using(self, policy: str) -> Obj:
        """Who refers to a lifecycle policy."""
        indices = [one.name for one in self.indices.values() if one.settings.get("lifecycle.name") == policy]
        templates = [
            name
            for name, one in self.templates.items()
            if flat_settings((one.get("template") or {}).get("settings") or {}).get("lifecycle.name") == policy
        ]
        return {"indices": indices, "data_streams": [], "composable_templates": templates}


def _fits(name: str, template: Obj) -> bool:
    patterns = template.get("index_patterns") or []
    return any(fnmatch.fnmatchcase(name, one) for one in ([patterns] if isinstance(patterns, str) else patterns))


def flat_settings(settings: Obj) -> Obj:
    """`{"index": {"lifecycle": {"name": "x"}}}`, `{"index.lifecycle.name": "x"}` and `{"lifecycle.name": "x"}` are the same: the last form."""
    return {name.removeprefix("index."): value for name, value in _leaves(settings, "")}


def _leaves(value: Obj, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


def nested(settings: Obj) -> Obj:
    """Flat settings as they are shown: nested, every value a string."""
    found: Obj = {}
    for name, value in settings.items():
        place, parts = found, name.split(".")
        for part in parts[:-1]:
            place = place.setdefault(part, {})
        place[parts[-1]] = str(value).lower() if isinstance(value, bool) else value if isinstance(value, list) else str(value)
    return found


def duration(text: Any) -> float:
    """`7d` in seconds; ElasticError for what is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)", str(text)) if text not in (0, "0") else None
    if match is None and text not in (0, "0"):
        problem = f"failed to parse setting [min_age] with value [{text}] as a time value: unit is missing or unrecognized"
        raise ElasticError(400, "illegal_argument_exception", problem)
    return float(match[1]) * _UNITS[match[2]] if match else 0.0


def check_policy(body: Any) -> Obj:
    """A lifecycle policy as it was given; ElasticError for one that cannot be."""
    policy = body.get("policy") if isinstance(body, dict) else None
    if not isinstance(policy, dict) or not isinstance(policy.get("phases"), dict):
        raise ElasticError(400, "x_content_parse_exception", "[1:2] [put_lifecycle_request] failed to parse field [policy]")
    for name, phase in policy["phases"].items():
        if name not in PHASES:
            known = sorted(PHASES)
            raise ElasticError(400, "illegal_argument_exception", f"Timeseries lifecycle does not support phase [{name}], only {known}")
        duration(phase.get("min_age", "0ms"))
    return {"policy": policy}
