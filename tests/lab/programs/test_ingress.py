"""Where ingress-nginx sends requests."""

from __future__ import annotations

from typing import Any

import pytest

from lab.programs.ingress.controller import _forwarded, _read
from lab.programs.ingress.routing import Table

Obj = dict[str, Any]


def ingress(name: str, *paths: tuple[str, str, str], host: str = "a.example", annotations: Obj | None = None, **spec: Any) -> Obj:
    """Paths are path, type, service."""
    rules = [{"path": path, "pathType": kind, "backend": {"service": {"name": service, "port": {"number": 80}}}} for path, kind, service in paths]
    notes = {"kubernetes.io/ingress.class": "nginx", **(annotations or {})}
    body = {"rules": [{"host": host, "http": {"paths": rules}}] if host else [{"http": {"paths": rules}}], **spec}
    return {"metadata": {"name": name, "namespace": "ws", "annotations": notes}, "spec": body}


def table(*ingresses: Obj) -> Table:
    return Table("k8s.io/ingress-nginx", "nginx", ingresses={("ws", one["metadata"]["name"]): one for one in ingresses})


@pytest.mark.parametrize(
    ("host", "path", "service"),
    [
        ("a.example", "/", "root"), ("A.Example", "/other", "root"), ("a.example", "/api", "api"), ("a.example", "/api/x", "api"),
        ("a.example", "/apix", "root"), ("a.example", "/exact", "exact"), ("a.example", "/exact/x", "root"), ("b.wild.example", "/", "wild"),
        ("wild.example", "/", "any"), ("nobody.example", "/", "any"),
    ],
)  # fmt: skip
def test_the_most_exact_host_then_the_longest_path(host: str, path: str, service: str) -> None:
    made = table(
        ingress("a", ("/", "Prefix", "root"), ("/api", "Prefix", "api"), ("/exact", "Exact", "exact")),
        ingress("wild", ("/", "Prefix", "wild"), host="*.wild.example"),
        ingress("any", ("/", "Prefix", "any"), host=""),
    )
    rule = made.find(host, path)
    assert rule is not None
    assert rule.service == ("ws", service)


def test_only_its_own_class() -> None:
    made = table(ingress("a", ("/", "Prefix", "root"), annotations={"kubernetes.io/ingress.class": "traefik"}))
    assert made.find("a.example", "/") is None
    unnamed = ingress("b", ("/", "Prefix", "root"))
    del unnamed["metadata"]["annotations"]
    made = table(unnamed)
    assert made.find("a.example", "/") is None
    unnamed["spec"]["ingressClassName"] = "web"
    made.classes = {("", "web"): {"spec": {"controller": "k8s.io/ingress-nginx"}}}
    assert made.find("a.example", "/") is not None


def test_plain_http_is_redirected_where_there_is_tls() -> None:
    tls = [{"hosts": ["a.example"], "secretName": "tls"}]
    off = {"nginx.ingress.kubernetes.io/ssl-redirect": "false"}
    variants: tuple[Obj, ...] = ({"tls": tls}, {"tls": tls, "annotations": off}, {})
    rules = [table(ingress("a", ("/", "Prefix", "root"), **variant)).find("a.example", "/") for variant in variants]
    assert [rule.redirect for rule in rules if rule] == [True, False, False]
    assert table(ingress("a", ("/", "Prefix", "root"), tls=tls)).certificate("a.example") == ("ws", "tls")


def test_only_ready_pods_are_targets() -> None:
    made = table(ingress("a", ("/", "Prefix", "root")))
    rule = made.find("a.example", "/")
    assert rule is not None
    assert made.target(rule) is None
    made.services = {("ws", "root"): {"spec": {"ports": [{"name": "http", "port": 80}]}}}
    endpoints = [
        {"addresses": ["10.0.0.1"], "conditions": {"ready": False, "serving": False}},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": True}},
    ]
    meta = {"name": "root-1", "namespace": "ws", "labels": {"kubernetes.io/service-name": "root"}}
    made.slices = {("ws", "root-1"): {"metadata": meta, "endpoints": endpoints, "ports": [{"name": "http", "port": 8080}]}}
    assert made.target(rule) == ("10.0.0.2", 8080)


def test_what_is_refused() -> None:
    made = table(ingress("a", ("/", "Prefix", "root")))
    assert made.refusal(ingress("a", ("/", "Prefix", "other"))) is None
    assert made.refusal(ingress("b", ("/", "Prefix", "root"))) == 'host "a.example" and path "/" is already defined in ingress ws/a'
    snippet = ingress("c", ("/c", "Prefix", "root"), annotations={"nginx.ingress.kubernetes.io/server-snippet": "x"})
    assert "Snippet directives are disabled" in str(made.refusal(snippet))


def test_a_request_goes_on_with_where_it_came_from_and_ends_its_connection() -> None:
    head = b"GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n"
    assert _read(head) == ("/x", "a.example")
    lines = _forwarded(head, "1.2.3.4", "a.example", secured=True).decode().split("\r\n")
    assert lines[:2] == ["GET /x HTTP/1.1", "Host: a.example"]
    assert {"X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "Connection: close"} <= set(lines)
    upgrade = _forwarded(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "", "a", secured=False)
    assert b"Connection: Upgrade" in upgrade
    assert b"Connection: close" not in upgrade


@pytest.mark.parametrize("head", [b"\r\n\r\n", b"nonsense\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n"])
def test_what_is_no_request_is_a_value_error(head: bytes) -> None:
    with pytest.raises(ValueError):
        _read(head)
