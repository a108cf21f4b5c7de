"""The lab's own site: faults asked for over HTTP, and what people see."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from lab.clock import Clock
from lab.control import make_control
from lab.faults import Faults
from lab.kubernetes.kinds import NAMESPACE, POD, SERVICE_ACCOUNT
from lab.kubernetes.registry import Registry
from lab.outside.outside import Outside


class FakeLab:
    """The parts of a lab that the site reads."""

    def __init__(self) -> None:
        self.clock = Clock(10)
        self.registry = Registry(self.clock)
        self.faults = Faults()
        self.outside = Outside(self.clock, self.faults)
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.stopping = asyncio.Event()

    def addresses(self) -> dict[str, Any]:
        return {"kubernetes": "http://127.0.0.1:1", "kubeconfig": "/tmp/kubeconfig", "token": "lab-admin"}

    def shared(self) -> list[dict[str, Any]]:
        return [{}]

    def kubeconfig(self, cluster: str = "") -> str | None:
        return None if cluster else "apiVersion: v1\nkind: Config\n"


@pytest.fixture
async def lab() -> FakeLab:
    return FakeLab()


@pytest.fixture
async def site(lab: FakeLab) -> AsyncIterator[TestClient]:
    async with TestClient(TestServer(make_control(lab))) as client:
        yield client


async def test_faults_come_and_go(site: TestClient, lab: FakeLab) -> None:
    wish = {"place": "api", "target": "^GET /api/v1/pods", "effect": "status", "options": {"code": 429}, "times": 2, "after": 1}
    answer = await site.post("/faults", json=wish)
    assert answer.status == 201
    made = await answer.json()
    assert made["id"] == 1
    assert lab.faults.take("api", "GET /api/v1/pods") is None  # the first one passes
    assert lab.faults.take("api", "GET /api/v1/pods") is not None
    listed = (await (await site.get("/faults")).json())["faults"]
    assert [(fault["id"], fault["matches"], fault["hits"]) for fault in listed] == [(1, 2, 1)]
    assert (await site.delete("/faults/2")).status == 404
    assert (await site.delete("/faults/1")).status == 200
    await site.post("/faults", json=wish)
    assert (await (await site.delete("/faults")).json()) == {"removed": 1}
    assert lab.faults.all() == []


@pytest.mark.parametrize(
    ("wish", "complaints"),
    [
        ([], ["object"]),
        ({"place": "sky", "target": "x"}, ["place: 'sky'", "effect: missing"]),
        ({"place": "api", "target": "x", "effect": "oom"}, ["effect: 'oom'"]),
        ({"place": "api", "target": "(", "effect": "hang"}, ["regular expression"]),
        ({"place": "api", "target": "x", "effect": "hang", "times": 0, "after": -1, "more": 1}, ["times", "after", "more: unknown"]),
        ({"place": "api", "target": "x", "effect": "hang", "times": True}, ["times: must be of type int"]),
        ({"place": "slack", "target": "x", "effect": "hang", "probability": 2, "options": {"seconds": "1"}}, ["probability", "options.seconds"]),
        ({"place": "pod", "target": "x", "effect": "partition", "options": {"from": "("}}, ["options.from"]),
        ({"place": "pod", "target": "x", "effect": "partition", "options": {"from": 1}}, ["options.from"]),
    ],
)
async def test_faults_that_make_no_sense_are_refused(site: TestClient, lab: FakeLab, wish: Any, complaints: list[str]) -> None:
    answer = await site.post("/faults", json=wish)
    assert answer.status == 422
    error = (await answer.json())["error"]
    for complaint in complaints:
        assert complaint in error
    assert lab.faults.all() == []


async def test_state_and_page_show_the_pods(site: TestClient, lab: FakeLab) -> None:
    lab.registry.create(NAMESPACE, {"metadata": {"name": "net"}})
    lab.registry.create(SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "net")
    lab.registry.create(POD, {"metadata": {"name": "miner-1"}, "spec": {"containers": [{"name": "miner", "image": "busybox"}]}}, "net")
    await site.post("/faults", json={"place": "program", "target": "<b>", "effect": "crash"})
    state = await (await site.get("/state")).json()
    assert state["podsByPhase"] == {"Pending": 1}
    assert state["pods"][0]["name"] == "miner-1"
    page = await (await site.get("/")).text()
    assert "miner-1" in page
    assert "&lt;b&gt;" in page  # what others typed is text, never markup
    assert "lab-admin" not in page
    assert (await (await site.get("/networks")).json()) == {"networks": []}
    assert "kind: Config" in await (await site.get("/kubeconfig")).text()
    assert (await site.get("/kubeconfig?cluster=none")).status == 404


async def test_outside_is_set_up_and_shown(site: TestClient, lab: FakeLab) -> None:
    assert (await site.get("/outside/slack")).status == 404  # not before it is served
    lab.outside.services["slack"].url = "http://127.0.0.1:1"
    answer = await site.post("/outside/slack", json={"channels": [{"name": "alerts"}]})
    assert "alerts" in [channel["name"] for channel in (await answer.json())["channels"]]
    assert "#alerts: 0 messages" in (await (await site.get("/state")).json())["outside"]["slack"]
    assert "#alerts" in await (await site.get("/")).text()
    for wish in ([], {"channels": [{}]}, {"limits": {"nonsense": {}}}, {"channels": 5}, {"tokens": 1}):
        assert (await site.post("/outside/slack", json=wish)).status == 422, wish


async def test_shutdown(site: TestClient, lab: FakeLab) -> None:
    assert (await site.post("/shutdown")).status == 202
    assert lab.stopping.is_set()
    assert (await site.get("/nosuch")).status == 404
