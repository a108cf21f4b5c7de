"""What somebody may do: roles and their bindings, evaluated as they stand in the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.kubernetes.auth import User
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING

if TYPE_CHECKING:
    from lab.kubernetes.registry import Registry

Obj = dict[str, Any]


@dataclass(frozen=True)
class Attributes:
    """What is asked for: a resource, or a path that is none."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""  # for what is no resource

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def allowed(registry: Registry, user: User, wanted: Attributes) -> bool:
    """Whether a role gives the right."""
    if "system:masters" in user.groups:
        return True
    return any(_rule_allows(rule, wanted) for rule in rules_for(registry, user, wanted.namespace))


def why_allowed(registry: Registry, user: User, wanted: Attributes) -> str:
    """The binding that gives the right, in the server's words; empty when none does."""
    if "system:masters" in user.groups:
        return ""
    for binding, rules in _bindings(registry, user, wanted.namespace):
        if any(_rule_allows(rule, wanted) for rule in rules):
            meta, ref = binding["metadata"], binding["roleRef"]
            name = f"{meta['name']}/{meta['namespace']}" if "namespace" in meta else meta["name"]
            subject = next(one for one in binding.get("subjects") or () if _is(one, user, meta.get("namespace", "")))
            who = f"{subject['kind']} \"{subject['name']}{'/' + subject['namespace'] if subject.get('namespace') else ''}\""
            return f'RBAC: allowed by {binding["kind"]} "{name}" of {ref["kind"]} "{ref["name"]}" to {who}'
    return ""


def rules_for(registry: Registry, user: User, namespace: str) -> Iterator[Obj]:
    """Every rule that holds for somebody in a namespace ("": cluster-wide)."""
    for _, rules in _bindings(registry, user, namespace):
        yield from rules


def _bindings(registry: Registry, user: User, namespace: str) -> Iterator[tuple[Obj, list[Obj]]]:
    bindings = list(registry.list(CLUSTER_ROLE_BINDING))
    if namespace:
        bindings += registry.list(ROLE_BINDING, namespace)
    for binding in bindings:
        inside = binding["metadata"].get("namespace", "")
        if any(_is(subject, user, inside) for subject in binding.get("subjects") or ()):
            ref = binding["roleRef"]
            role = registry.find(CLUSTER_ROLE, "", ref["name"]) if ref["kind"] == "ClusterRole" else registry.find(ROLE, inside, ref["name"])
            yield binding, (role or {}).get("rules") or []


def _is(subject: Obj, user: User, namespace: str) -> bool:
    kind, name = subject.get("kind"), subject.get("name", "")
    if kind == "User":
        return bool(name == user.name)
    if kind == "Group":
        return name in user.groups
    return bool(f"system:serviceaccount:{subject.get('namespace') or namespace}:{name}" == user.name)


def _rule_allows(rule: Obj, wanted: Attributes) -> bool:
    if not _has(rule.get("verbs"), wanted.verb):
        return False
    if wanted.path:
        return any(_path_matches(pattern, wanted.path) for pattern in rule.get("nonResourceURLs") or ())
    resources = rule.get("resources") or ()
    if not _has(rule.get("apiGroups"), wanted.group):
        return False
    if not (_has(resources, wanted.full_resource) or (wanted.subresource and f"*/{wanted.subresource}" in resources)):
        return False
    names = rule.get("resourceNames")
    return not names or wanted.name in names


def _has(values: Any, wanted: str) -> bool:
    return bool(values) and ("*" in values or wanted in values)


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def refusal(user: User, wanted: Attributes) -> ApiError:
    """403 in the server's words."""
    if wanted.path:
        return ApiError(403, f'forbidden: User "{user.name}" cannot {wanted.verb} path "{wanted.path}"', "Forbidden", {})
    resource = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    named = f' "{wanted.name}"' if wanted.name else ""
    where = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    text = (
        f'{resource}{named} is forbidden: User "{user.name}" cannot {wanted.verb} resource "{wanted.full_resource}" '
        f'in API group "{wanted.group}" {where}'
    )
    details: Obj = {"name": wanted.name} if wanted.name else {}
    if wanted.group:
        details["group"] = wanted.group
    return ApiError(403, text, "Forbidden", {**details, "kind": wanted.resource})
