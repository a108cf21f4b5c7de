"""Whatever is sent, the API answers as an API server: no traceback, and no 500 but the recorded ones."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from lab.clock import Clock
from lab.controllers.custom_resources import CustomResources
from lab.kubernetes.bootstrap import bootstrap
from lab.kubernetes.http import make_app
from lab.kubernetes.kinds import CONFIG_MAP, CRD, DEPLOYMENT, NAMESPACE, POD, SERVICE, SERVICE_ACCOUNT
from lab.kubernetes.registry import Registry
from tests.lab.kubernetes.test_custom_resources import definition, ship

Json = Any
EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
# 500s that a real server gives too.
RECORDED_500 = (
    "resourceVersion should not be set on objects to be created",
    "failed to create typed patch object",
    "does not contain declared merge key",
    "unknown patch type",
    "strconv.ParseUint",
)
TEMPLATE: Json = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "m", "image": "nginx", "ports": [{"containerPort": 80}]}]}}
OBJECTS: dict[str, Json] = {
    "/api/v1/namespaces/default/configmaps": {"metadata": {"name": "x", "labels": {"a": "b"}}, "data": {"k": "v"}},
    "/api/v1/namespaces/default/pods": {"metadata": {"name": "x"}, "spec": TEMPLATE["spec"]},
    "/api/v1/namespaces/default/services": {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}},
    "/apis/apps/v1/namespaces/default/deployments": {
        "metadata": {"name": "x"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE},
    },
    "/apis/apps/v1/namespaces/default/statefulsets": {
        "metadata": {"name": "x"},
        "spec": {"serviceName": "x", "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE},
    },
    "/apis/batch/v1/namespaces/default/jobs": {
        "metadata": {"name": "x"},
        "spec": {"template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}},
    },
    "/apis/networking.k8s.io/v1/namespaces/default/ingresses": {
        "metadata": {"name": "x"},
        "spec": {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "x", "port": {"number": 1}}}}]}}]},
    },
    "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings": {
        "metadata": {"name": "x"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x"},
        "subjects": [{"kind": "User", "name": "x"}],
    },
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": definition(),
    "/apis/demo.example.dev/v1/namespaces/default/ships": ship("x", size=1, tags=["a"], things=[{"name": "a"}]),
}
PATHS = st.sampled_from(sorted(OBJECTS))
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=8
)  # fmt: skip


class Shore:
    """An API server with some objects in it, and a client that looks closely at every answer."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.complaints: list[str] = []
        self.runner.run(self._start())

    async def _start(self) -> None:
        registry = Registry(Clock(1000))
        for name in ("default", "kube-system"):
            registry.create(NAMESPACE, {"metadata": {"name": name}})
        registry.create(SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
        bootstrap(registry)
        self.task = asyncio.create_task(CustomResources(registry).run())
        fields = {
            "size": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > oldSelf || self < 5"}]},
            "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "things": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
            },
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        }  # fmt: skip
        registry.create(CRD, definition(fields))
        async with asyncio.timeout(5):
            while (kind := registry.kinds.by_path("demo.example.dev", "v1", "ships")) is None or not (kind.definition and kind.definition.ready):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        for plural, row in (("configmaps", CONFIG_MAP), ("pods", POD), ("services", SERVICE), ("deployments", DEPLOYMENT)):
            registry.create(row, next(obj for path, obj in OBJECTS.items() if path.endswith(plural)), "default")
        registry.create(kind, OBJECTS["/apis/demo.example.dev/v1/namespaces/default/ships"], "default")
        self.client = TestClient(TestServer(make_app(registry)))
        await self.client.server.start_server(max_line_size=2**20, max_field_size=2**20)
        await self.client.start_server()

    def ask(self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json", **headers: str) -> tuple[int, bytes]:
        """One request; fails for answers that no API server gives."""
        return self.runner.run(self._ask(method, path, body, {"Authorization": "Bearer lab-admin", "Content-Type": content_type, **headers}))

    async def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        async with asyncio.timeout(20):
            url = URL(str(self.client.make_url("/")).rstrip("/") + path, encoded=True)
            async with self.client.session.request(method, url, data=body, headers=headers) as response:
                answer = await response.read()
        if self.complaints:
            pytest.fail(f"{method} {path} {body!r}: {self.complaints.pop()}")
        assert b"Traceback" not in answer
        if response.status >= 500:
            assert any(text.encode() in answer for text in RECORDED_500), f"{method} {path} {body!r}: {response.status} {answer[:500]!r}"
        return response.status, answer

    def close(self) -> None:
        """End it."""

        async def end() -> None:
            self.task.cancel()
            await self.client.close()

        self.runner.run(end())
        self.runner.close()


@pytest.fixture(scope="module")
def shore() -> Iterator[Shore]:
    """One server for all examples: what they make stays, and meets the next."""
    shore = Shore()

    class Listen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            shore.complaints.append(self.format(record))

    handler = Listen(logging.ERROR)
    loggers = [logging.getLogger(name) for name in ("aiohttp.server", "lab.controllers")]
    for logger in loggers:
        logger.addHandler(handler)
    yield shore
    for logger in loggers:
        logger.removeHandler(handler)
    shore.close()


def places(value: Json, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[str, Json]:
    """A good object with something else at one place or two."""
    path = draw(PATHS)
    obj = copy.deepcopy(OBJECTS[path])
    for _ in range(draw(st.integers(1, 2))):
        where = draw(st.sampled_from(sorted(places(obj), key=repr)))
        value = draw(VALUES)
        if not where:
            return path, value
        target = obj
        for key in where[:-1]:
            target = target[key]
        target[where[-1]] = value
        if not isinstance(obj, dict):
            break
    return path, obj


@EXAMPLES
@given(spoilt(), st.sampled_from(["", "?fieldValidation=Strict", "?dryRun=All"]))
def test_spoilt_objects(shore: Shore, sent: tuple[str, Json], query: str) -> None:
    path, obj = sent
    body = json.dumps(obj).encode()
    shore.ask("POST", path + query, body)
    shore.ask("PUT", f"{path}/x{query}", body)
    shore.ask("PATCH", f"{path}/x?fieldManager=me&force=true", body, "application/apply-patch+yaml")
    shore.ask("PATCH", f"{path}/x", body, "application/merge-patch+json")
    shore.ask("PATCH", f"{path}/x", body, "application/strategic-merge-patch+json")


@EXAMPLES
@given(PATHS, st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_bodies_of_any_kind(shore: Shore, path: str, body: bytes) -> None:
    for content_type in ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "text/x"):
        shore.ask("POST", path, body, content_type)
    shore.ask("PROPFIND", path, body)
    shore.ask("DELETE", f"{path}/none", body)


OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "other"]) | VALUES,
            "path": st.sampled_from(["", "/", "/metadata", "/data/k", "/spec/ports/0", "/spec/ports/-", "/spec/tags/-1", "/a~2"]) | VALUES,
            "from": st.sampled_from(["", "/spec", "/metadata/name"]) | VALUES,
            "value": VALUES,
        },
    )
    | VALUES,
    max_size=3,
)


@EXAMPLES
@given(PATHS, OPERATIONS | VALUES)
def test_json_patches(shore: Shore, path: str, operations: Json) -> None:
    shore.ask("PATCH", f"{path}/x", json.dumps(operations).encode(), "application/json-patch+json")


@EXAMPLES
@given(
    PATHS, VALUES, st.sampled_from(["$patch", "$retainKeys", "$setElementOrder/containers", "$deleteFromPrimitiveList/tags", "ports", "containers"])
)
def test_strategic_directives(shore: Shore, path: str, value: Json, directive: str) -> None:
    for body in (
        {directive: value},
        {"spec": {directive: value}},
        {"spec": {"template": {"spec": {directive: value}}}},
        {"spec": {"ports": [value]}},
    ):
        shore.ask("PATCH", f"{path}/x", json.dumps(body).encode(), "application/strategic-merge-patch+json")


WORDS = st.text(alphabet="abz09-._/ ,=!()<>in\\\"'é", max_size=30) | st.text(max_size=20)


@EXAMPLES
@given(PATHS, WORDS)
def test_selectors(shore: Shore, path: str, text: str) -> None:
    for name in ("labelSelector", "fieldSelector"):
        shore.ask("GET", f"{path}?{name}={quote(text)}")
        shore.ask("DELETE", f"/api/v1/namespaces/default/endpoints?{name}={quote(text)}")


QUERY = st.sampled_from(
    ["continue", "limit", "resourceVersion", "resourceVersionMatch", "timeoutSeconds", "sendInitialEvents", "dryRun", "fieldManager", "force",
     "pretty", "fieldValidation", "gracePeriodSeconds", "propagationPolicy", "orphanDependents", "timeout", "includeObject", "allowWatchBookmarks"]
)  # fmt: skip


@EXAMPLES
@given(PATHS, st.dictionaries(QUERY, st.sampled_from(["", "0", "1", "-1", "true", "x", "99999999999999999999", "AA", "9"]) | WORDS, max_size=3))
def test_options(shore: Shore, path: str, options: dict[str, str]) -> None:
    if options.get("resourceVersion", "").isdigit() and int(options["resourceVersion"]) > 1000:
        del options["resourceVersion"]  # it would wait for that version
    query = "&".join(f"{name}={quote(value)}" for name, value in options.items())
    shore.ask("GET", f"{path}?{query}")
    shore.ask("GET", f"{path}/x?{query}", Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    shore.ask("PATCH", f"{path}/x?{query}", b"{}", "application/merge-patch+json")
    shore.ask("DELETE", f"{path}/none?{query}")


@EXAMPLES
@given(st.text(alphabet="abv1/.-%:?#é ", max_size=40), st.sampled_from(["/api/v1/", "/apis/apps/v1/", "/apis/", "/openapi/v3/", "/"]))
def test_paths(shore: Shore, text: str, start: str) -> None:
    for method in ("GET", "POST", "PATCH"):
        shore.ask(method, start + quote(text, safe="/"), b"{}")


HEADER = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=40)


@EXAMPLES
@given(HEADER, HEADER, HEADER)
def test_headers(shore: Shore, accept: str, content_type: str, authorization: str) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    shore.ask("GET", path, Accept=accept)
    shore.ask("POST", path, b"{}", content_type)
    shore.ask("GET", path, Authorization=f"Bearer {authorization}")
    shore.ask("GET", path, Authorization=f"Bearer {authorization}.e30.x")


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"spec":{"a":['])
@pytest.mark.parametrize("content_type", ["application/json", "application/yaml", "application/merge-patch+json", "application/json-patch+json"])
def test_deep_nesting(shore: Shore, opening: bytes, content_type: str) -> None:
    method = "PATCH" if "patch" in content_type else "POST"
    path = "/apis/demo.example.dev/v1/namespaces/default/ships" + ("/x" if method == "PATCH" else "")
    status, _ = shore.ask(method, path, opening * 20_000, content_type)
    assert 400 <= status < 500


@pytest.mark.parametrize("depth", [120, 900, 1000, 2000, 9000])
def test_deep_objects(shore: Shore, depth: int) -> None:
    body = b'{"apiVersion":"demo.example.dev/v1","kind":"Ship","metadata":{"name":"deep%d"},"spec":{"free":' % depth
    body += b'{"a":' * depth + b"1" + b"}" * depth + b"}}"
    for method, tail, content_type in (("POST", "", "application/json"), ("PATCH", "/x?fieldManager=me", "application/apply-patch+yaml"),
                                       ("PATCH", "/x", "application/merge-patch+json")):  # fmt: skip
        shore.ask(method, f"/apis/demo.example.dev/v1/namespaces/default/ships{tail}", body, content_type)
        shore.ask(method, f"/api/v1/namespaces/default/configmaps{tail}", body, content_type)


@pytest.mark.parametrize("path", sorted(OBJECTS))
def test_ten_megabytes(shore: Shore, path: str) -> None:
    body = orjson.dumps({"metadata": {"name": "big", "annotations": {"a": "x" * 10_000_000}}})
    assert shore.ask("POST", path, body)[0] == 413
    assert shore.ask("PATCH", f"{path}/x", body, "application/merge-patch+json")[0] == 413


def test_ten_thousand_selectors(shore: Shore) -> None:
    """The request line holds so much; each is parsed, and all of them at once."""
    path = "/api/v1/namespaces/default/configmaps"
    for number in range(200):
        text = ",".join(f"k{number}-{i} notin (a,b)" for i in range(50))
        status, answer = shore.ask("GET", f"{path}?labelSelector={quote(text)}")
        assert status == 200
        assert b'"name":"x"' in answer
    assert shore.ask("GET", f"{path}?labelSelector={quote(','.join(f'k{i}!=v' for i in range(10_000)))}")[0] == 200
