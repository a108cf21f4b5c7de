"""Watches: what they begin with, what they show, how they end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from lab.kubernetes.kinds import CONFIG_MAP, Kind
from tests.lab.kubernetes.conftest import Api

CONFIGS = "/api/v1/namespaces/demo/configmaps"


async def watched(api: Api, query: str, changes: Any = None, stop_after: int = 1000, **headers: str) -> list[dict[str, Any]]:
    """Events of a watch. `changes` is called when it has begun; it ends after so many events, or by itself."""
    response = await api.raw("GET", f"{CONFIGS}?watch=1&{query}", **headers)
    assert response.status == 200
    if changes:
        changes()
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        async for line in response.content:
            found.append(json.loads(line))
            if len(found) >= stop_after:
                break
    response.close()
    return found


def put(api: Api, name: str, kind: Kind = CONFIG_MAP, namespace: str = "demo", **labels: str) -> None:
    api.registry.create(kind, {"metadata": {"name": name, "labels": labels}}, namespace)


def label(api: Api, name: str, **labels: str) -> None:
    api.registry.modify(CONFIG_MAP, "demo", name, lambda obj: obj["metadata"].update(labels=labels))


def short(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


async def test_begins_with_what_is_there(api: Api) -> None:
    put(api, "b")
    put(api, "a")
    put(api, "elsewhere", namespace="default")
    events = await watched(api, "", lambda: put(api, "c"), 3)
    assert short(events) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]
    assert events[0]["object"]["kind"] == "ConfigMap"


async def test_goes_on_from_a_version(api: Api) -> None:
    put(api, "a")
    version = api.registry.store.version
    put(api, "b")
    api.registry.delete(CONFIG_MAP, "demo", "a")
    events = await watched(api, f"resourceVersion={version}", lambda: put(api, "c"), 3)
    assert short(events) == [("ADDED", "b"), ("DELETED", "a"), ("ADDED", "c")]


async def test_the_end_of_the_beginning_is_marked(api: Api) -> None:
    put(api, "a")
    for query in ("allowWatchBookmarks=true", "allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"):
        events = await watched(api, query, None, 2)
        assert short(events) == [("ADDED", "a"), ("BOOKMARK", "")]
        assert events[1]["object"]["metadata"] == {
            "resourceVersion": str(api.registry.store.version), "annotations": {"k8s.io/initial-events-end": "true"}
        }  # fmt: skip


async def test_selectors_make_objects_come_and_go(api: Api) -> None:
    put(api, "a", sel="no")
    version = api.registry.store.version

    def changes() -> None:
        label(api, "a", sel="yes")
        label(api, "a", sel="yes", more="1")
        label(api, "a", sel="no")
        label(api, "a", sel="no", more="2")
        put(api, "z", sel="yes")

    events = await watched(api, f"resourceVersion={version}&labelSelector=sel%3Dyes", changes, 4)
    assert short(events) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "z")]
    last = events[2]["object"]["metadata"]
    assert last["labels"] == {"sel": "yes", "more": "1"} and last["resourceVersion"] == str(version + 3)


async def test_too_old_is_an_event(api: Api) -> None:
    put(api, "a")
    api.registry.store.compact()
    events = await watched(api, "resourceVersion=1")
    assert [event["type"] for event in events] == ["ERROR"] and events[0]["object"]["code"] == 410


async def test_ends_when_its_time_is_over(api: Api) -> None:
    assert await watched(api, "timeoutSeconds=1") == []
    assert api.registry.store.by_kind[CONFIG_MAP] == set(), "nobody listens any more"


async def test_a_version_of_the_future_is_silent(api: Api) -> None:
    assert await watched(api, "timeoutSeconds=1&resourceVersion=999999999", lambda: put(api, "a")) == []


async def test_tables_send_their_columns_once(api: Api) -> None:
    put(api, "a")
    put(api, "b")
    events = await watched(api, "", None, 2, Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert events[0]["object"]["columnDefinitions"][0]["name"] == "Name" and events[1]["object"]["columnDefinitions"] is None
    assert [event["object"]["rows"][0]["cells"][0] for event in events] == ["a", "b"]


async def test_a_client_that_hangs_up_is_noticed(api: Api) -> None:
    await watched(api, "", lambda: put(api, "a"), 1)
    for name in "bcd":  # writing to it is what tells
        put(api, name)
        await asyncio.sleep(0.01)
        if not api.registry.store.by_kind[CONFIG_MAP]:
            break
    assert api.registry.store.by_kind[CONFIG_MAP] == set()
