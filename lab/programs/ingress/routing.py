"""Where a request goes, from Ingresses, Services and EndpointSlices. Plain data in, plain data out."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lab.kubelet.endpoints import service_of, targets_of

Obj = dict[str, Any]
Objects = dict[tuple[str, str], Obj]

_CLASS = "kubernetes.io/ingress.class"
_NGINX = "nginx.ingress.kubernetes.io/"


@dataclass(frozen=True)
class Rule:
    """One path of one ingress."""

    host: str  # "": any
    path: str
    exact: bool
    service: tuple[str, str]
    port: int | str
    ingress: tuple[str, str]
    grpc: bool
    tls: bool  # somebody's certificate is named for this host
    redirect: bool  # plain HTTP is sent to HTTPS


@dataclass
class Table:
    """What is known, and the rules that follow from it."""

    controller: str
    class_name: str
    without_class: bool = False
    ingresses: Objects = field(default_factory=dict)
    classes: Objects = field(default_factory=dict)
    services: Objects = field(default_factory=dict)
    slices: Objects = field(default_factory=dict)

    def mine(self) -> list[Obj]:
        """The ingresses that are this controller's."""
        return [ingress for _, ingress in sorted(self.ingresses.items()) if self._is_mine(ingress)]

    def _is_mine(self, ingress: Obj) -> bool:
        noted = (ingress["metadata"].get("annotations") or {}).get(_CLASS)
        if noted is not None:
            return bool(noted == self.class_name)
        name = ingress["spec"].get("ingressClassName")
        if name is None:
            return self.without_class
        return bool((self.classes.get(("", name)) or {"spec": {}})["spec"].get("controller") == self.controller)

    def rules(self) -> Iterator[Rule]:
        """All rules, in no order."""
        for ingress in self.mine():
            yield from _rules_of(ingress)

    def find(self, host: str, path: str) -> Rule | None:
        """The rule for a request: the most exact host, then the longest path."""
        host = host.lower()
        fitting = [rule for rule in self.rules() if _fits_host(rule.host, host) and _fits_path(rule, path)]
        return max(fitting, key=lambda rule: (rule.host == host, bool(rule.host), len(rule.path), rule.exact), default=None)

    def target(self, rule: Rule) -> tuple[str, int] | None:
        """A pod behind a rule; None when none is ready."""
        service = self.services.get(rule.service)
        if service is None:
            return None
        ports = [one for one in service["spec"].get("ports") or () if rule.port in (one["port"], one.get("name"))]
        if not ports:
            return None
        slices = [one for one in self.slices.values() if rule.service in service_of(one)]
        targets = targets_of(slices, ports[0].get("name", ""))
        return random.choice(targets) if targets else None  # noqa: S311 - any will do

    def refusal(self, ingress: Obj) -> str | None:
        """Why an ingress must not be: a snippet, or a path that another one has."""
        snippets = [name for name in ingress["metadata"].get("annotations") or {} if name.startswith(_NGINX) and name.endswith("-snippet")]
        if snippets:
            return f"{snippets[0]} annotation cannot be used. Snippet directives are disabled by the Ingress administrator"
        own = (ingress["metadata"].get("namespace", ""), ingress["metadata"].get("name", ""))
        taken = {(rule.host, rule.path): rule.ingress for rule in self.rules() if rule.ingress != own}
        for rule in _rules_of(ingress) if self._is_mine(ingress) else ():
            if (other := taken.get((rule.host, rule.path))) and rule.host:
                return f'host "{rule.host}" and path "{rule.path}" is already defined in ingress {other[0]}/{other[1]}'
        return None

    def certificate(self, host: str) -> tuple[str, str] | None:
        """Namespace and name of the Secret with a host's certificate."""
        for ingress in self.mine():
            for entry in ingress["spec"].get("tls") or ():
                if entry.get("secretName") and any(_fits_host(one, host) for one in entry.get("hosts") or _hosts(ingress)):
                    return ingress["metadata"]["namespace"], entry["secretName"]
        return None


def _rules_of(ingress: Obj) -> Iterator[Rule]:
    spec, meta = ingress["spec"], ingress["metadata"]
    notes = meta.get("annotations") or {}
    grpc = notes.get(f"{_NGINX}backend-protocol", "HTTP").upper() in ("GRPC", "GRPCS")
    secured = [host for entry in spec.get("tls") or () for host in entry.get("hosts") or ()]
    rules = list(spec.get("rules") or ())
    if spec.get("defaultBackend"):
        rules.append({"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": spec["defaultBackend"]}]}})
    for rule in rules:
        host = rule.get("host", "").lower()
        tls = any(_fits_host(one, host) for one in secured)
        redirect = notes.get(f"{_NGINX}force-ssl-redirect") == "true" or (tls and notes.get(f"{_NGINX}ssl-redirect", "true") == "true")
        for path in (rule.get("http") or {}).get("paths") or ():
            service = (path.get("backend") or {}).get("service")
            if service:
                port = service.get("port") or {}
                yield Rule(
                    host, path.get("path") or "/", path.get("pathType") == "Exact", (meta["namespace"], service["name"]),
                    port.get("number") or port.get("name") or 0, (meta["namespace"], meta["name"]), grpc, tls, redirect,
                )  # fmt: skip


def _hosts(ingress: Obj) -> Iterable[str]:
    return [rule["host"] for rule in ingress["spec"].get("rules") or () if rule.get("host")]


def _fits_host(pattern: str, host: str) -> bool:
    if pattern.startswith("*."):
        first, _, rest = host.partition(".")
        return bool(first) and rest == pattern[2:]
    return pattern in ("", host)


def _fits_path(rule: Rule, path: str) -> bool:
    if rule.exact:
        return path == rule.path
    prefix = rule.path.rstrip("/")
    return path == prefix or path.startswith(prefix + "/")
