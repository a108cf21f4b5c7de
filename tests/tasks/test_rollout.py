"""Waiting for Deployments: when they are ready, and why they will not be."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from networks.errors import Permanent
from tasks.kubernetes import rollout
from tasks.kubernetes.rollout import Rollout, RolloutFailed, pod_of, rolled_out
from tests.tasks.scripted import hang_up, refuses, says, serving, streams
from tests.tasks.scripted import kubeconfig as kubeconfig_of

Obj = dict[str, Any]


def deployment(ready: bool, generation: int = 1, observed: int | None = None, version: str = "5") -> Obj:
    count = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1} if ready else {}
    return {
        "metadata": {"name": "miner-1", "generation": generation, "resourceVersion": version},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"name": "miner-1"}}},
        "status": {"observedGeneration": generation if observed is None else observed, **count},
    }


def pod(name: str = "miner-1-x", made: str = "2026-11-22T08:00:00Z", **meta: Any) -> Obj:
    metadata = {"name": name, "uid": name, "labels": {"name": "miner-1"}, "creationTimestamp": made, "resourceVersion": "5", **meta}
    return {"metadata": metadata, "spec": {"nodeName": "node-1"}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (deployment(ready=True), True),
        (deployment(ready=False), False),
        (deployment(ready=True, generation=2, observed=1), False),  # what is available is the old version
        ({**deployment(ready=True), "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 1}}, False),
    ],
    ids=["ready", "not ready", "not noticed yet", "old pod still there"],
)
def test_only_the_newest_version_counts(obj: Obj, expected: bool) -> None:
    assert rolled_out(obj) is expected


def test_the_pod_is_the_newest_that_stays() -> None:
    pods = [
        pod("old", "2026-11-22T07:00:00Z"),
        pod("new", "2026-11-22T08:00:00Z"),
        pod("going", "2026-11-22T09:00:00Z", deletionTimestamp="2026-11-22T09:00:01Z"),
        pod("foreign", "2026-11-22T09:30:00Z", labels={"name": "miner-11"}),
    ]
    found = pod_of(deployment(ready=True), {p["metadata"]["name"]: p for p in pods})
    assert found is not None
    assert found["metadata"]["name"] == "new"


def test_a_pod_whose_watch_is_behind_is_waited_for() -> None:
    """The Deployment is known to be ready, of its pod only that it was made."""
    unscheduled = {**pod(), "spec": {}, "status": {"phase": "Pending"}}
    wait = Rollout(None, "net", "", ("miner-1",), 1, "miners")  # type: ignore[arg-type]
    assert wait._sort({"miner-1": deployment(ready=True)}, {"miner-1-x": unscheduled}) == ({}, ["miner-1"])
    assert wait._sort({"miner-1": deployment(ready=True)}, {"miner-1-x": pod()}) == ({"miner-1": pod()}, [])


class Api:
    """Lists and watches of Deployments, pods and events, as a test says."""

    def __init__(self, deployments: list[Any], pods: list[Any], events: list[Obj] | None = None) -> None:
        self.answers = {"deployments": deployments, "pods": pods}
        self.events = events or []
        self.lists = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        plural = request.path.rsplit("/", 1)[-1]
        if plural == "events":
            return says({"metadata": {"resourceVersion": "9"}, "items": self.events})
        self.lists += "watch" not in request.query
        answers = self.answers[plural]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            found: web.StreamResponse = await answer(request)
            return found
        if isinstance(answer, web.Response):
            return answer
        return says({"metadata": {"resourceVersion": "5"}, "items": answer})


async def roll_out(api: Api, timeout: float = 20) -> dict[str, Obj]:
    from blocks.cluster import Cluster
    from tasks.kubernetes.connection import Connection

    async with serving(api) as script:
        k8s = Connection(await Cluster(kubeconfig=kubeconfig_of(script.url)).client())
        try:
            return await Rollout(k8s, "n", "a=b", ("miner-1",), timeout, "miners").wait()
        finally:
            await k8s.close()


ADDED = {"type": "ADDED", "object": pod()}
READY = {"type": "MODIFIED", "object": deployment(ready=True, version="7")}


async def test_ready_at_once_costs_two_lists() -> None:
    api = Api([[deployment(ready=True)]], [[pod()], streams()])
    assert (await roll_out(api))["miner-1"]["metadata"]["name"] == "miner-1-x"
    assert api.lists == 2


async def test_a_watch_tells_when_it_is_ready() -> None:
    await roll_out(Api([[deployment(ready=False)], streams(READY)], [[], streams(ADDED)]))


async def test_watches_that_break_are_taken_up_again() -> None:
    api = Api([[deployment(ready=False)], hang_up, streams(cut=True), streams(READY)], [[], streams(ADDED)])
    await roll_out(api)
    assert api.lists == 2  # a broken watch goes on where it was


async def test_a_version_that_is_too_old_is_listed_anew() -> None:
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}}
    api = Api([[deployment(ready=False)], streams(gone), [deployment(ready=True)], streams()], [[pod()], streams()])
    await roll_out(api)
    assert api.lists == 3


async def test_a_watch_that_is_refused_ends_the_wait() -> None:
    api = Api([[deployment(ready=False)], refuses(403, "Forbidden", 'User "ci" cannot watch resource "deployments"')], [[], streams()])
    with pytest.raises(Permanent, match='cannot watch resource "deployments"'):
        await roll_out(api)


async def test_pods_that_are_refused_end_the_wait() -> None:
    """A quota: there is no pod that could tell."""
    refused = deployment(ready=False)
    message = 'pods "miner-1-x" is forbidden: exceeded quota: small, requested: cpu=2'
    refused["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}]
    with pytest.raises(RolloutFailed, match="exceeded quota"):
        await roll_out(Api([[refused], streams()], [[], streams()]))


async def test_a_hopeless_pod_ends_the_wait_with_its_reason() -> None:
    broken = pod()
    waiting = {"waiting": {"reason": "InvalidImageName", "message": "couldn't parse image name"}}
    broken["status"] = {"phase": "Pending", "containerStatuses": [{"name": "miner", "image": "A:B", "ready": False, "state": waiting}]}
    with pytest.raises(RolloutFailed, match="no image name") as caught:
        await roll_out(Api([[deployment(ready=False)], streams()], [[broken], streams()]))
    assert [t.deployment for t in caught.value.troubles] == ["miner-1"]
    assert caught.value.advice


async def test_time_up_tells_what_was_seen_last() -> None:
    with pytest.raises(RolloutFailed, match="not ready after 0 s: miner-1") as caught:
        await roll_out(Api([[deployment(ready=False)], streams()], [[pod()], streams()]), timeout=0.01)
    assert "Running" in str(caught.value)


async def test_a_cluster_that_cannot_be_watched_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """An API server that stays down: soon, with its own words, and not only when the pods' time is up."""
    monkeypatch.setattr(rollout, "_BLIND_SECONDS", 0.3)
    down = refuses(500, "InternalError", "etcd is gone")
    with pytest.raises(RolloutFailed, match=r"could not be watched.*etcd is gone"):
        await roll_out(Api([[deployment(ready=False)], down], [[pod()], down]), timeout=600)


async def test_a_watch_that_is_only_quiet_is_not_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """It broke once, and was taken up again; nothing happens since."""
    monkeypatch.setattr(rollout, "_BLIND_SECONDS", 0.3)

    async def quiet(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(1.5)
        await response.write(json.dumps(READY).encode() + b"\n")
        return response

    await roll_out(Api([[deployment(ready=False)], hang_up, quiet], [[pod()], streams()]))
