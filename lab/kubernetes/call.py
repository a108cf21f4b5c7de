"""One request to the API: what its path and query ask for, before anything is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from lab.kubernetes.errors import bad_request

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get", "HEAD": "get"}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass
class Target:
    """What a path names. `resource` False: nothing under /api or /apis below a version."""

    resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    in_namespace: bool = False  # a namespaced path, even with an empty namespace
    plural: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""  # behind the subresource: proxies
    watch_path: bool = False  # the deprecated /watch/ prefix


def parse_path(path: str) -> Target:
    """Take a decoded path apart."""
    parts = path.rstrip("/").split("/")[1:]
    if parts[:1] == ["api"] and len(parts) > 2:
        target, parts = Target(True, "", parts[1]), parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        target, parts = Target(True, parts[1], parts[2]), parts[3:]
    else:
        return Target()
    if parts[0] == "watch" and len(parts) > 1:
        target.watch_path, parts = True, parts[1:]
    if parts[0] == "namespaces" and len(parts) > 2 and not (len(parts) == 3 and parts[2] in _NAMESPACE_SUBRESOURCES):
        target.namespace, target.in_namespace, parts = parts[1], True, parts[2:]
    elif parts[0] == "namespaces" and len(parts) > 1:
        target.namespace = parts[1]  # for authorization: a namespace is in itself
    target.plural, target.name, target.subresource = (*parts, "", "")[:3]
    target.rest = "/".join(parts[3:])
    return target


@dataclass
class Call:
    """A request on its way through."""

    request: web.Request
    target: Target
    query: Mapping[str, str]
    user: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    body: bytes = b""
    content_type: str = field(init=False)  # of the body

    def __post_init__(self) -> None:
        self.content_type = self.request.headers.get("Content-Type", "")

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def watch(self) -> bool:
        """Whether this is a watch: any value of `watch` but a false one, on a collection."""
        if self.target.watch_path:
            return True
        value = self.query.get("watch")
        return value is not None and not self.target.name and value not in ("false", "0", "")

    @property
    def verb(self) -> str:
        """What authorization calls it."""
        if self.method == "GET" and self.target.resource and (not self.target.name or self.target.watch_path):
            return "watch" if self.watch else "list"
        if self.method == "DELETE" and not self.target.name:
            return "deletecollection"
        return VERBS.get(self.method, self.method.lower())

    @property
    def long_running(self) -> bool:
        """Whether it takes as long as somebody listens: no time-out is for it, and it holds no seat."""
        return self.watch or self.target.subresource in ("log", "exec", "attach", "portforward", "proxy")

    def number(self, name: str) -> int | None:
        """An integer of the query; 400 for anything else."""
        value = self.query.get(name)
        if value is None or value == "":
            return None
        try:
            return int(value)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax') from None

    def flag(self, name: str) -> bool | None:
        """A boolean of the query, as the API reads it: there and not false."""
        value = self.query.get(name)
        return None if value is None else value.lower() not in ("false", "0")
