"""What emulators of the API get wrong easily and the replayed transcripts do not show: asked by plain HTTP, answers as recorded elsewhere."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.lab.clients.conftest import deployment
from tests.lab.clients.test_sync_client import eventually
from tests.lab.labs import RunningLab


@pytest.fixture
def http(lab: RunningLab) -> Iterator[httpx.Client]:
    """Plain HTTP as the administrator."""
    with httpx.Client(base_url=lab.kubernetes, headers={"Authorization": f"Bearer {lab.token}"}, timeout=20) as client:
        yield client


def message(answer: httpx.Response) -> str:
    """What a Status says."""
    return str(answer.json()["message"])


def test_who_asks_is_looked_at_first(lab: RunningLab) -> None:
    with httpx.Client(base_url=lab.kubernetes) as client:
        bad = client.get("/version", headers={"Authorization": "Bearer nonsense"})
        assert (bad.status_code, message(bad)) == (401, "Unauthorized")
        forbidden = client.get("/api")
        assert (forbidden.status_code, message(forbidden)) == (403, 'forbidden: User "system:anonymous" cannot get path "/api"')
        assert [client.get(path).status_code for path in ("/version", "/healthz", "/livez", "/readyz")] == [200] * 4
        hidden = client.get("/api/v1/namespaces/nowhere/configmaps/x")
        assert hidden.status_code == 403 and 'User "system:anonymous" cannot get resource "configmaps"' in message(hidden)


def test_paths(lab: RunningLab, http: httpx.Client) -> None:
    for path in ("//api/v1/pods", "/API/v1/pods", "/apis/no.group", "/nosuch"):
        answer = http.get(lab.kubernetes + path)
        assert (answer.status_code, answer.headers["content-type"], answer.text) == (404, "text/plain; charset=utf-8", "404 page not found\n"), path
    assert http.get("/api/v1/namespaces/default/configmaps/?limit=1&unknownParam=1").json()["kind"] == "ConfigMapList"
    for method, path in (("PUT", "/api/v1/namespaces"), ("POST", "/api/v1/namespaces/default"), ("HEAD", "/api/v1/pods")):
        assert http.request(method, path).status_code == 405, (method, path)


def test_sizes_have_limits(http: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    data = http.post(path, json={"metadata": {"name": "big"}, "data": {"a": "x" * ((1 << 20) + 1)}})
    assert (data.status_code, message(data)) == (422, 'ConfigMap "big" is invalid: []: Too long: may not be more than 1048576 bytes')
    notes = http.post(path, json={"metadata": {"name": "big", "annotations": {"a": "x" * (256 << 10)}}})
    assert notes.status_code == 422
    assert message(notes) == 'ConfigMap "big" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes'
    body = http.post(path, json={"metadata": {"name": "big"}, "data": {"a": "x" * (3 << 20)}})
    assert (body.status_code, message(body), body.json()["reason"]) == (413, "Request entity too large: limit is 3145728", "RequestEntityTooLarge")


def test_timeouts_that_are_none(http: httpx.Client) -> None:
    answer = http.get("/api/v1/pods?timeout=abc")
    assert (answer.status_code, message(answer)) == (400, 'invalid timeout specified in the request URL - time: invalid duration "abc"')
    assert [http.get(f"/api/v1/pods?timeout={text}").status_code for text in ("0s", "1s", "-1s")] == [200] * 3


def test_made_up_names(http: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    names = {http.post(path, json={"metadata": {"generateName": "gen-"}}).json()["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20 and all(re.fullmatch("gen-[bcdfghjklmnpqrstvwxz2456789]{5}", name) for name in names)


@pytest.mark.parametrize(("agent", "query", "manager"), [("curl/8", "", "curl"), ("", "", "unknown"), ("curl/8", "?fieldManager=given", "given")])
def test_who_manages_fields(http: httpx.Client, namespace: str, agent: str, query: str, manager: str) -> None:
    body = {"metadata": {"name": "c"}, "data": {"a": "1"}}
    made = http.post(f"/api/v1/namespaces/{namespace}/configmaps{query}", json=body, headers={"User-Agent": agent}).json()
    assert [entry["manager"] for entry in made["metadata"]["managedFields"]] == [manager]


def test_an_eviction_that_a_budget_forbids(http: httpx.Client, namespace: str) -> None:
    http.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", json=deployment("web", replicas=1))
    budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}}
    path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    http.post(path, json=budget)
    eventually(lambda: http.get(f"{path}/b").json()["status"].get("currentHealthy") == 1)
    name = http.get(f"/api/v1/namespaces/{namespace}/pods").json()["items"][0]["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    answer = http.post(f"/api/v1/namespaces/{namespace}/pods/{name}/eviction", json=eviction)
    said: dict[str, Any] = answer.json()
    assert (answer.status_code, said["reason"], "retry-after" in answer.headers) == (429, "TooManyRequests", False)
    assert said["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert said["details"]["causes"][0]["reason"] == "DisruptionBudget"


def test_a_cordoned_node_is_tainted_a_moment_later(http: httpx.Client) -> None:
    merge = {"Content-Type": "application/merge-patch+json"}
    http.patch("/api/v1/nodes/node-3", json={"spec": {"unschedulable": True}}, headers=merge)
    try:
        taints = eventually(lambda: http.get("/api/v1/nodes/node-3").json()["spec"].get("taints"))
        assert [(taint["key"], taint["effect"]) for taint in taints] == [("node.kubernetes.io/unschedulable", "NoSchedule")]
    finally:
        http.patch("/api/v1/nodes/node-3", json={"spec": {"unschedulable": None}}, headers=merge)
    eventually(lambda: "taints" not in http.get("/api/v1/nodes/node-3").json()["spec"])


async def test_many_watches_and_writes_at_once(lab: RunningLab, namespace: str) -> None:
    """Every watcher sees every write once and in order."""
    headers = {"Authorization": f"Bearer {lab.token}"}
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=lab.kubernetes, headers=headers, timeout=20, limits=limits) as client:
        begin = (await client.get(path)).json()["metadata"]["resourceVersion"]

        async def watch() -> list[str]:
            seen: list[str] = []
            query = f"{path}?watch=1&timeoutSeconds=15&resourceVersion={begin}"
            async with client.stream("GET", query) as answer:
                async for line in answer.aiter_lines():
                    seen += re.findall(r'"name":"(c-\d+)"', line)[:1]
                    if len(seen) == 50:
                        break
            return seen

        watches = [asyncio.create_task(watch()) for _ in range(20)]
        for number in range(50):
            await client.post(path, json={"metadata": {"name": f"c-{number}"}})
        assert await asyncio.gather(*watches) == [[f"c-{number}" for number in range(50)]] * 20
