"""Discovery: which groups, versions and resources there are, in the plain and in the aggregated form."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from lab.kubernetes.kinds import Kind, Kinds

Obj = dict[str, Any]

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

_CHANGE = ("get", "patch", "update")
_PROXY = ("create", "delete", "get", "patch", "update")
# Subresources whose verbs, or whose kind, are not those of the object itself: (group, version, kind) and verbs.
_SUBRESOURCES: dict[str, tuple[tuple[str, str, str] | None, tuple[str, ...]]] = {
    "status": (None, _CHANGE),
    "scale": (("autoscaling", "v1", "Scale"), _CHANGE),
    "approval": (None, _CHANGE),
    "ephemeralcontainers": (None, _CHANGE),
    "resize": (None, _CHANGE),
    "finalize": (None, ("update",)),
    "log": (None, ("get",)),
    "binding": (("", "", "Binding"), ("create",)),
    "eviction": (("policy", "v1", "Eviction"), ("create",)),
    "token": (("authentication.k8s.io", "v1", "TokenRequest"), ("create",)),
    "attach": (("", "", "PodAttachOptions"), ("create", "get")),
    "exec": (("", "", "PodExecOptions"), ("create", "get")),
    "portforward": (("", "", "PodPortForwardOptions"), ("create", "get")),
}


def subresource(kind: Kind, name: str) -> tuple[tuple[str, str, str], tuple[str, ...]]:
    """Kind and verbs of a subresource."""
    if name == "proxy":
        return ("", "", f"{kind.kind}ProxyOptions"), _PROXY
    of, verbs = _SUBRESOURCES[name]
    return of or ("", "", kind.kind), verbs


def subresources(kind: Kind) -> list[str]:
    """All subresources of a kind, in order."""
    own = [*(["status"] if kind.status else []), *(["scale"] if kind.scale else [])]
    return own if kind.custom else sorted([*kind.subresources, *own])


class Discovery:
    """Answers, computed again when the table of kinds changes."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._changes = -1
        self._aggregated: dict[str, tuple[bytes, str]] = {}

    def api(self, address: str) -> Obj:
        """`/api`."""
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]}

    def groups(self) -> Obj:
        """`/apis`."""
        found = [self._group(name, versions) for name, versions in self._kinds.group_versions().items() if name]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}

    @staticmethod
    def _group(name: str, versions: list[str]) -> Obj:
        entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
        return {"name": name, "versions": entries, "preferredVersion": entries[0]}

    def group(self, name: str) -> Obj | None:
        """`/apis/<group>`; None when there is no such group."""
        versions = self._kinds.group_versions().get(name)
        return {"kind": "APIGroup", "apiVersion": "v1", **self._group(name, versions)} if name and versions else None

    def resources(self, group: str, version: str) -> Obj | None:
        """`/apis/<group>/<version>`, `/api/v1`; None when there is no such version."""
        kinds = sorted((kind for kind in self._kinds.all() if (kind.group, kind.version) == (group, version)), key=lambda kind: kind.plural)
        if not kinds:
            return None
        found: list[Obj] = []
        for kind in kinds:
            found.append(self._resource(kind))
            for name in subresources(kind):
                (of_group, of_version, of_kind), verbs = subresource(kind, name)
                entry: Obj = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced}
                if of_group:
                    entry.update(group=of_group, version=of_version)
                found.append({**entry, "kind": of_kind, "verbs": list(verbs)})
        head: Obj = {"kind": "APIResourceList", **({"apiVersion": "v1"} if group else {})}
        return {**head, "groupVersion": f"{group}/{version}" if group else version, "resources": found}

    @staticmethod
    def _resource(kind: Kind) -> Obj:
        entry: Obj = {"name": kind.plural, "singularName": _singular(kind), "namespaced": kind.namespaced, "kind": kind.kind}
        entry["verbs"] = list(kind.verbs)
        if kind.short_names:
            entry["shortNames"] = list(kind.short_names)
        if kind.categories:
            entry["categories"] = list(kind.categories)
        if kind.storage_version_hash:
            entry["storageVersionHash"] = kind.storage_version_hash
        return entry

    def aggregated(self, core: bool) -> tuple[bytes, str]:
        """`/api` or `/apis` in the aggregated form, and its ETag."""
        if self._changes != self._kinds.changes:
            self._aggregated = {}
            self._changes = self._kinds.changes
        key = "api" if core else "apis"
        if key not in self._aggregated:
            items = [self._aggregate(name, versions) for name, versions in self._kinds.group_versions().items() if bool(name) is not core]
            value = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}
            data = orjson.dumps(value)
            self._aggregated[key] = data, f'"{hashlib.sha512(data).hexdigest().upper()}"'
        return self._aggregated[key]

    def _aggregate(self, name: str, versions: list[str]) -> Obj:
        entries = []
        for version in versions:
            kinds = sorted((kind for kind in self._kinds.all() if (kind.group, kind.version) == (name, version)), key=lambda kind: kind.plural)
            entries.append({"version": version, "resources": [self._aggregate_kind(kind) for kind in kinds], "freshness": "Current"})
        return {"metadata": {"name": name} if name else {}, "versions": entries}

    @staticmethod
    def _aggregate_kind(kind: Kind) -> Obj:
        of = {"group": kind.group, "version": kind.version, "kind": kind.kind} if kind.custom else {"group": "", "version": "", "kind": kind.kind}
        entry: Obj = {"resource": kind.plural, "responseKind": of, "scope": "Namespaced" if kind.namespaced else "Cluster"}
        entry.update(singularResource=_singular(kind), verbs=list(kind.verbs))
        if kind.short_names:
            entry["shortNames"] = list(kind.short_names)
        if kind.categories:
            entry["categories"] = list(kind.categories)
        below = []
        for name in subresources(kind):
            (group, version, kind_name), verbs = subresource(kind, name)
            answered = of if kind.custom and not group else {"group": group, "version": version, "kind": kind_name}
            below.append({"subresource": name, "responseKind": answered, "verbs": list(verbs)})
        if below:
            entry["subresources"] = below
        return entry


def _singular(kind: Kind) -> str:
    return kind.singular or kind.kind.lower()
