"""Too many at once: priority levels, the limit of all requests, time-outs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from lab.kubernetes.auth import Authenticator, User
from lab.kubernetes.bootstrap import bootstrap
from lab.kubernetes.errors import ApiError
from lab.kubernetes.fairness import Level
from lab.kubernetes.http import make_app
from lab.kubernetes.kinds import CLUSTER_ROLE_BINDING, FLOW_SCHEMA, PRIORITY_LEVEL_CONFIGURATION
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
AS_JANE = {"Authorization": "Bearer jane"}


@pytest_asyncio.fixture
async def client(registry: Registry) -> AsyncIterator[TestClient[Any, Any]]:
    """An API server that works on two requests at once; jane may do everything, as one among many."""
    bootstrap(registry)
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    registry.create(CLUSTER_ROLE_BINDING, {"metadata": {"name": "jane"}, "roleRef": ref, "subjects": [{"kind": "User", "name": "jane"}]})
    auth = Authenticator(registry)
    auth.add("jane", User("jane", ("system:authenticated",)))
    async with TestClient(TestServer(make_app(registry, auth=auth, in_flight=2))) as client:
        yield client


def schema(kind: str, level: str) -> Obj:
    """A flow schema that sends all of jane's requests on config maps to a level."""
    rule = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["configmaps"], "namespaces": ["*"], "clusterScope": True}
    subject = {"kind": kind, kind.lower(): {"name": "jane" if kind == "User" else "system:authenticated"}}
    spec = {"priorityLevelConfiguration": {"name": level}, "rules": [{"subjects": [subject], "resourceRules": [rule]}]}
    return {"metadata": {"name": level}, "spec": spec}


def level(name: str, response: Obj) -> Obj:
    """A level with no seats of its own."""
    return {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 0, "limitResponse": response}}}


async def held(client: TestClient[Any, Any], path: str = MAPS) -> asyncio.Task[Any]:
    """A request that takes its time: it waits for a version of the future."""
    task = asyncio.create_task(client.get(f"{path}?resourceVersion=99999999&timeout=400ms", headers=AS_JANE))
    await asyncio.sleep(0.05)
    return task


async def test_a_full_level_turns_away_and_others_go_on(client: TestClient[Any, Any], registry: Registry) -> None:
    registry.create(PRIORITY_LEVEL_CONFIGURATION, level("tiny", {"type": "Reject"}))
    registry.create(FLOW_SCHEMA, schema("User", "tiny"))
    first = await held(client)
    refused = await client.get(MAPS, headers=AS_JANE)
    assert (refused.status, await refused.text()) == (429, "Too many requests, please try again later.\n")
    assert (refused.headers["Retry-After"], refused.content_type) == ("1", "text/plain")
    assert (await client.get("/api/v1/namespaces/default/secrets", headers=AS_JANE)).status == 200
    assert (await client.get(MAPS, headers={"Authorization": "Bearer lab-admin"})).status == 200
    first.cancel()


async def test_a_queue_waits_for_a_seat(client: TestClient[Any, Any], registry: Registry) -> None:
    registry.create(PRIORITY_LEVEL_CONFIGURATION, level("line", {"type": "Queue", "queuing": {"queues": 1, "queueLengthLimit": 1}}))
    registry.create(FLOW_SCHEMA, schema("Group", "line"))
    first = await held(client, f"{MAPS}/x")
    waiting = asyncio.create_task(client.get(MAPS, headers=AS_JANE))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert (await first).status == 504
    assert (await waiting).status == 200


async def test_the_limit_of_all_requests(client: TestClient[Any, Any]) -> None:
    tasks = [await held(client), await held(client)]
    assert (await client.get("/api/v1/nodes", headers=AS_JANE)).status == 429
    for task in tasks:
        task.cancel()


async def test_who_insists_is_asked_to_stay_away_longer() -> None:
    one = Level()
    waits = [one.turn_away(100.1 + 0.1 * i).headers["Retry-After"] for i in range(4)]
    waits += [one.turn_away(moment).headers["Retry-After"] for moment in (101.2, 104.0, 106.0)]
    assert waits == ["1", "1", "1", "1", "2", "1", "1"]


@pytest.mark.parametrize("query", ["timeout=1ms", "timeout=50ms&resourceVersion=99999999"])
async def test_a_request_out_of_time(client: TestClient[Any, Any], query: str) -> None:
    answer = await client.get(f"{MAPS}?{query}", headers=AS_JANE)
    assert (answer.status, answer.content_type) == (504, "text/plain")
    assert '"reason":"Timeout"' in await answer.text()


def test_a_429_is_text() -> None:
    refusal = Level().turn_away(1.0)
    assert isinstance(refusal, ApiError)
    assert refusal.text is not None
