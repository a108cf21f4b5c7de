"""The Kubernetes adapter against a server that misbehaves as told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from prefect.states import Failed

from blocks.cluster import Cluster
from networks.errors import Permanent, Transient
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.ensure import Present, Tally, create_once, ensure_objects
from tasks.kubernetes.errors import Expired, NotThere
from tasks.kubernetes.kinds import CONFIG_MAP, POD, SECRET
from tasks.retrying import worth_retrying
from tests.tasks.scripted import FakeClock, hang_up, kubeconfig, refuses, says, scripted_cluster, serving, streams


def config_map(version: str = "1", **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n", "resourceVersion": version}, "data": data}


WANTED = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}, "data": {"k": "v"}}
SECRET_OBJECT = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}, "data": {"private": "CANARY"}}


@pytest.mark.parametrize(
    "trouble",
    [
        web.Response(status=429, text="Too many requests", headers={"Retry-After": "1"}),
        refuses(500, "InternalError", "etcd is slow"),
        web.Response(status=503, text="not now"),
        hang_up,
    ],
    ids=["429", "500", "503", "reset"],
)
async def test_rides_out_trouble_where_repeating_is_safe(trouble) -> None:
    async with scripted_cluster(trouble, trouble, says(config_map(k="v"))) as (k8s, script):
        after, created = await k8s.apply(CONFIG_MAP, WANTED)
    assert after["data"] == {"k": "v"}
    assert not created
    assert len(script.asked) == 3
    assert script.asked[0][1] == "/api/v1/namespaces/n/configmaps/a?fieldManager=cosmodrome&force=true"


async def test_waits_as_long_as_the_server_asks() -> None:
    clock = FakeClock()
    busy = web.Response(status=429, text="Too many requests", headers={"Retry-After": "13"})
    async with scripted_cluster(busy, says(config_map()), clock=clock) as (k8s, _):
        await k8s.get(CONFIG_MAP, "n", "a")
    assert clock.slept == [13]


async def test_gives_up_after_a_while_with_the_last_reason() -> None:
    clock = FakeClock()
    async with scripted_cluster(refuses(500, "InternalError", "etcd is gone"), clock=clock) as (k8s, _):
        with pytest.raises(Transient, match="etcd is gone"):
            await k8s.get(CONFIG_MAP, "n", "a")
    assert 20 < clock.now <= 45


async def test_trouble_is_told_while_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    """Not the first moments, and once for all requests that meet it."""
    async with scripted_cluster(refuses(500, "InternalError", "etcd is gone"), clock=FakeClock()) as (k8s, _):
        await asyncio.gather(*(k8s.get(CONFIG_MAP, "n", "a") for _ in range(5)), return_exceptions=True)
    told = [record.getMessage() for record in caplog.records if "trying for another" in record.getMessage()]
    assert 2 <= len(told) <= 5
    assert "etcd is gone (HTTP 500 InternalError); trying for another" in told[0]


async def test_what_was_ridden_out_in_vain_is_not_ridden_out_again() -> None:
    """The task around it would only double the wait."""
    async with scripted_cluster(refuses(500, "InternalError", "etcd is gone"), clock=FakeClock()) as (k8s, _):
        with pytest.raises(Transient) as caught:
            await k8s.get(CONFIG_MAP, "n", "a")
    assert caught.value.tried_for > 20
    task: Any = None
    assert not worth_retrying(task, task, Failed(data=caught.value))
    assert worth_retrying(task, task, Failed(data=Transient("not tried again yet")))


async def test_a_missing_right_names_verb_and_resource() -> None:
    message = 'deployments.apps "miner-1" is forbidden: User "bob" cannot patch resource "deployments" in API group "apps" in the namespace "n"'
    async with scripted_cluster(refuses(403, "Forbidden", message, details={"kind": "deployments"})) as (k8s, script):
        with pytest.raises(Permanent) as caught:
            await k8s.apply(CONFIG_MAP, WANTED)
    assert 'cannot patch resource "deployments"' in str(caught.value)
    assert "right" in caught.value.advice
    assert len(script.asked) == 1


async def test_bad_credentials_are_not_tried_again_and_not_shown() -> None:
    async with scripted_cluster(refuses(401, "Unauthorized", "Unauthorized")) as (k8s, script):
        with pytest.raises(Permanent) as caught:
            await k8s.get(CONFIG_MAP, "n", "a")
    assert "kubeconfig" in caught.value.advice
    assert "secret-token" not in str(caught.value)
    assert len(script.asked) == 1


async def test_credentials_that_ran_out_are_renewed() -> None:
    """As with an `exec` section, whose tokens last an hour."""
    async with serving(refuses(401, "Unauthorized", "Unauthorized"), says(config_map(k="v"))) as script:
        block = Cluster(kubeconfig=kubeconfig(script.url))
        k8s = Connection(await block.client(), renew=block.client, clock=FakeClock())
        assert (await k8s.get(CONFIG_MAP, "n", "a"))["data"] == {"k": "v"}
        await k8s.close()
    assert len(script.asked) == 2


async def test_a_list_goes_on_until_the_last_page() -> None:
    first = says({"metadata": {"resourceVersion": "7", "continue": "more"}, "items": [{"metadata": {"name": "a"}}]})
    second = says({"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "b"}}]})
    async with scripted_cluster(first, second) as (k8s, script):
        found, version = await k8s.find(CONFIG_MAP, "n", "x=y")
    assert [(obj["kind"], obj["metadata"]["name"]) for obj in found] == [("ConfigMap", "a"), ("ConfigMap", "b")]
    assert version == "7"
    assert script.asked[1][1].endswith("continue=more")


async def test_a_secret_is_not_posted_again_when_the_answer_got_lost() -> None:
    """The POST was carried out, its answer was not delivered: a second POST would say that somebody else has made it."""
    tally = Tally()
    async with scripted_cluster(hang_up, says({**SECRET_OBJECT, "data": {"private": "OTHER"}})) as (k8s, script):
        await create_once(k8s, SECRET_OBJECT, Present(), tally)
    assert [method for method, _ in script.asked] == ["POST", "GET"]
    assert tally.created == 1


async def test_a_secret_whose_post_got_lost_on_the_way_is_posted_again() -> None:
    tally = Tally()
    async with scripted_cluster(hang_up, refuses(404, "NotFound", "no"), says(SECRET_OBJECT, 201)) as (k8s, script):
        await create_once(k8s, SECRET_OBJECT, Present(), tally)
    assert [method for method, _ in script.asked] == ["POST", "GET", "POST"]


async def test_a_secret_that_is_there_is_left_alone() -> None:
    tally = Tally()
    async with scripted_cluster(refuses(409, "AlreadyExists", "there")) as (k8s, script):
        await create_once(k8s, SECRET_OBJECT, Present(), tally)
    assert [method for method, _ in script.asked] == ["POST"]
    assert tally.unchanged == 1


async def test_a_secret_seen_in_the_list_costs_no_request() -> None:
    tally = Tally()
    async with scripted_cluster(says({})) as (k8s, script):
        await create_once(k8s, SECRET_OBJECT, Present([{**SECRET_OBJECT, "data": None}]), tally)
    assert script.asked == []
    assert tally.unchanged == 1


@pytest.mark.parametrize(
    ("before", "answer", "expected"),
    [
        (None, says(config_map("5", k="v"), 201), (1, 0, 0)),
        (config_map("5", k="v"), says(config_map("5", k="v")), (0, 0, 1)),
        (config_map("5", k="old"), says(config_map("6", k="v")), (0, 1, 0)),
        ({**config_map("5", k="v"), "status": {"a": 1}}, says({**config_map("9", k="v"), "status": {"a": 2}}), (0, 0, 1)),
    ],
    ids=["created", "unchanged", "changed", "only its status moved"],
)
async def test_ensure_tells_what_it_did(before, answer, expected) -> None:
    tally = Tally()
    async with scripted_cluster(answer) as (k8s, script):
        await ensure_objects(k8s, [WANTED], Present([before] if before else []), tally)
    assert (tally.created, tally.changed, tally.unchanged) == expected
    assert json.loads(script.bodies[0]) == WANTED
    assert len(script.asked) == 1


async def test_an_object_ensured_twice_counts_once() -> None:
    tally = Tally()
    present = Present()
    async with scripted_cluster(says(config_map("5", k="v"), 201), says(config_map("5", k="v"))) as (k8s, _):
        await ensure_objects(k8s, [WANTED], present, tally)
        await ensure_objects(k8s, [WANTED], present, tally)
    assert (tally.created, tally.unchanged) == (1, 0)


async def collect(k8s: Connection) -> list[str]:
    return [event async for event, _ in k8s.watch(POD, "n", "5")]


async def test_a_watch_gives_events_until_the_server_ends_it() -> None:
    pod = {"metadata": {"name": "a", "resourceVersion": "6"}}
    async with scripted_cluster(streams({"type": "ADDED", "object": pod}, {"type": "BOOKMARK", "object": pod})) as (k8s, script):
        assert await collect(k8s) == ["ADDED", "BOOKMARK"]
    assert "resourceVersion=5" in script.asked[0][1]


async def test_a_watch_from_too_old_a_version_says_so() -> None:
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 5 (9)"}}
    async with scripted_cluster(streams(gone)) as (k8s, _):
        with pytest.raises(Expired, match="too old"):
            await collect(k8s)


async def test_a_watch_that_breaks_off_is_a_passing_trouble() -> None:
    async with scripted_cluster(streams(cut=True)) as (k8s, _):
        with pytest.raises(Transient, match="cut"):
            await collect(k8s)


async def test_reading_what_is_not_there() -> None:
    async with scripted_cluster(refuses(404, "NotFound", 'secrets "s" not found')) as (k8s, _):
        with pytest.raises(NotThere):
            await k8s.get(SECRET, "n", "s")
