"""What is answered and not kept: access reviews, who am I, tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from lab.clock import timestamp
from lab.kubernetes import rules
from lab.kubernetes.auth import ISSUER, Authenticator, User
from lab.kubernetes.call import Call
from lab.kubernetes.errors import ApiError, FieldError, bad_request, invalid
from lab.kubernetes.kinds import POD, SERVICE_ACCOUNT, Kind
from lab.kubernetes.options import manager_of
from lab.kubernetes.rbac import Attributes, allowed, rules_for, why_allowed
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]


def user_of(call: Call) -> User:
    """The asker."""
    return User(call.user, call.groups, call.uid, call.extra)


def review(registry: Registry, kind: Kind, call: Call, obj: Obj, auth: Authenticator) -> Obj:
    """Answer one of the review kinds."""
    head: Obj = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": obj.get("metadata") or {}}
    spec = obj.get("spec") or {}
    if kind.kind == "SelfSubjectReview":
        return {**head, "metadata": {"creationTimestamp": registry.now()}, "status": {"userInfo": _user_info(user_of(call))}}
    if kind.kind == "SelfSubjectRulesReview":
        if not spec.get("namespace"):
            raise bad_request("no namespace on request")
        return {**head, "spec": {}, "status": _rules(registry, user_of(call), spec["namespace"])}
    if kind.kind == "TokenReview":
        return {**head, "spec": spec, "status": _token(auth, spec.get("token", ""))}
    user = user_of(call) if kind.kind == "SelfSubjectAccessReview" else User(spec.get("user", ""), tuple(spec.get("groups") or ()))
    wanted = _attributes(kind, obj, spec)
    status: Obj = {"allowed": allowed(registry, user, wanted)}
    if reason := why_allowed(registry, user, wanted):
        status["reason"] = reason
    answer = {**head, "metadata": dict(head["metadata"]), "spec": spec}
    rules.track_update(kind, None, answer, manager_of(call.request.headers.get("User-Agent", "")), None, registry.now())
    return {**answer, "status": status}


def _attributes(kind: Kind, obj: Obj, spec: Obj) -> Attributes:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if bool(resource) == bool(path):
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise invalid(kind, "", [FieldError("FieldValueInvalid", f"Invalid value: {text}", "spec.resourceAttributes")])
    if path:
        return Attributes(path.get("verb", ""), path=path.get("path", ""))
    resource = resource or {}
    return Attributes(
        resource.get("verb", ""), resource.get("group", ""), resource.get("resource", ""), resource.get("subresource", ""),
        resource.get("namespace", ""), resource.get("name", ""),
    )  # fmt: skip


def _user_info(user: User) -> Obj:
    info: Obj = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = dict(user.extra)
    return info


def _rules(registry: Registry, user: User, namespace: str) -> Obj:
    resources: list[Obj] = []
    paths: list[Obj] = []
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    rules = list(rules_for(registry, user, namespace))
    if "system:masters" in user.groups:
        rules.insert(0, everything)
        rules.append({"verbs": ["*"], "nonResourceURLs": ["*"]})
    for rule in rules:
        into = paths if rule.get("nonResourceURLs") else resources
        keys = ("verbs", "nonResourceURLs") if into is paths else ("verbs", "apiGroups", "resources", "resourceNames")
        shown = {key: rule[key] for key in keys if rule.get(key)}
        if shown not in into:
            into.append(shown)
    return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}


def _token(auth: Authenticator, token: str) -> Obj:
    try:
        user = auth.authenticate(f"Bearer {token}")
    except ApiError:
        return {"user": {}, "error": "[invalid bearer token, unknown]"}
    return {"authenticated": True, "user": _user_info(user), "audiences": [ISSUER]}


def token_request(registry: Registry, auth: Authenticator, call: Call, obj: Obj) -> Obj:
    """A token for a service account (the `token` subresource)."""
    account = registry.get(SERVICE_ACCOUNT, call.target.namespace, call.target.name)
    spec = obj.get("spec") or {}
    seconds = spec.get("expirationSeconds") or 3600
    if seconds < 600:
        text = "Invalid value: may not specify a duration less than 10 minutes"
        kind = Kind("authentication.k8s.io", "v1", "TokenRequest", "tokenrequests")
        raise invalid(kind, "", [FieldError("FieldValueInvalid", text, "spec.expirationSeconds")])
    audiences = spec.get("audiences") or [ISSUER]
    bound = spec.get("boundObjectRef")
    pod = registry.get(POD, call.target.namespace, bound["name"]) if bound and bound.get("kind") == "Pod" else None
    meta = account["metadata"]
    ends = registry.clock.now() + timedelta(seconds=seconds)
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"], "creationTimestamp": registry.now()},
        "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": bound},
        "status": {"token": auth.issue(account, seconds, audiences, pod), "expirationTimestamp": timestamp(ends)},
    }
