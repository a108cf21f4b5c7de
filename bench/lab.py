"""The lab's size: pods from a deployment to Ready, watches held, simple gets.

    python -m bench.lab [--pods 1000] [--watches 200] [--seconds 5]

Prints each figure beside its limit (for 2 cores) and what share of the limit it takes: below 1 is good, for times, memory and rates alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import psutil

from tests.lab.labs import RunningLab, running_lab

SPEED = 100
NODES = 20
READY_SECONDS, MEGABYTES, GETS_PER_SECOND = 30.0, 700.0, 500.0
AT_ONCE = 8  # connections that ask
SPACE = "/api/v1/namespaces/default"


@dataclass(frozen=True)
class Figure:
    """One thing measured."""

    name: str
    value: float
    limit: float
    unit: str
    more_is_better: bool = False

    @property
    def share(self) -> float:
        """Of the limit: above 1 is too much (or, for rates, too little)."""
        return self.limit / self.value if self.more_is_better else self.value / self.limit

    def __str__(self) -> str:
        return f"{self.name:<32} {self.value:>9.1f} {self.unit:<6} limit {self.limit:>6.0f}   {self.share:.2f}"


def deployment(pods: int) -> dict[str, Any]:
    """So many pods of one container that just stays up."""
    template = {"metadata": {"labels": {"app": "many"}}, "spec": {"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]}}
    spec = {"replicas": pods, "selector": {"matchLabels": {"app": "many"}}, "template": template}
    return {"metadata": {"name": "many"}, "spec": spec}


async def follow(api: aiohttp.ClientSession, path: str, counts: list[int], number: int) -> None:
    """One watch; counts its events."""
    async with api.get(f"{path}?watch=true&resourceVersion=0", timeout=aiohttp.ClientTimeout(total=None)) as answer:
        async for _ in answer.content:
            counts[number] += 1


async def until_ready(api: aiohttp.ClientSession, pods: int) -> float:
    """Seconds from the deployment's creation to all its pods being ready, as a watch shows it."""
    began = time.monotonic()
    assert (await api.post("/apis/apps/v1/namespaces/default/deployments", json=deployment(pods))).status == 201
    path = "/apis/apps/v1/namespaces/default/deployments?watch=true&fieldSelector=metadata.name=many"
    async with api.get(path, timeout=aiohttp.ClientTimeout(total=600)) as answer:
        async for line in answer.content:
            if json.loads(line)["object"].get("status", {}).get("readyReplicas", 0) == pods:
                return time.monotonic() - began
    raise RuntimeError("the watch ended")


async def gets(api: aiohttp.ClientSession, seconds: float) -> float:
    """Simple gets per second: of one pod after the other."""
    names = [one["metadata"]["name"] for one in (await (await api.get(f"{SPACE}/pods?limit=500")).json())["items"]]
    done, end = 0, time.monotonic() + seconds

    async def ask(start: int) -> None:
        nonlocal done
        number = start
        while time.monotonic() < end:
            async with api.get(f"{SPACE}/pods/{names[number % len(names)]}") as answer:
                assert answer.status == 200
                await answer.read()
            number += AT_ONCE
            done += 1

    began = time.monotonic()
    await asyncio.gather(*(ask(number) for number in range(AT_ONCE)))
    return done / (time.monotonic() - began)


async def measure(lab: RunningLab, pods: int, watches: int, seconds: float) -> list[Figure]:
    """Everything, with the watches held all the while."""
    process = psutil.Process(lab.pid)
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0)
        headers = {"Authorization": f"Bearer {lab.token}"}
        api = await stack.enter_async_context(aiohttp.ClientSession(lab.kubernetes, headers=headers, connector=connector))
        before, began = process.memory_info().rss / 1e6, sum(process.cpu_times()[:2])
        ready = await until_ready(api, pods)
        worked = sum(process.cpu_times()[:2]) - began
        used = process.memory_info().rss / 1e6
        counts = [0] * watches
        paths = [f"{SPACE}/{kind}" for kind in ("services", "configmaps", "persistentvolumeclaims", "endpoints")]
        held = [asyncio.create_task(follow(api, paths[number % len(paths)], counts, number)) for number in range(watches)]
        rate = await gets(api, seconds)
        seen = await all_see_a_change(api, counts)
        alive = sum(not task.done() for task in held)
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
    return [
        Figure(f"{pods} pods from deployment to Ready", ready, READY_SECONDS * pods / 1000, "s"),
        Figure("the lab's work for that", worked, READY_SECONDS * pods / 1000, "CPU s"),
        Figure(f"memory with {pods} pods ({before:.0f} without)", used, MEGABYTES, "MB"),
        Figure("simple gets", rate, GETS_PER_SECOND, "/s", more_is_better=True),
        Figure("watches held", alive, watches, "", more_is_better=True),
        Figure("a change seen by all of them", seen, 1.0, "s"),
    ]


async def all_see_a_change(api: aiohttp.ClientSession, counts: list[int]) -> float:
    """Seconds until every watch of configmaps (each fourth) has a new one."""
    watching = range(1, len(counts), 4)
    before = [counts[number] for number in watching]
    began = time.monotonic()
    assert (await api.post(f"{SPACE}/configmaps", json={"metadata": {"name": "news"}})).status == 201
    while any(counts[number] <= old for number, old in zip(watching, before, strict=True)):
        await asyncio.sleep(0.001)
        if time.monotonic() - began > 30:
            break
    return time.monotonic() - began


async def main() -> int:
    """The command line; 1 when a limit is passed."""
    parser = argparse.ArgumentParser(prog="python -m bench.lab", description=__doc__)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--watches", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to send gets")
    given = parser.parse_args()
    arguments = ("--no-storage", "--nodes", str(max(NODES, given.pods // 100 + 1)))
    async with running_lab(speed=SPEED, arguments=arguments) as lab:
        figures = await measure(lab, given.pods, given.watches, given.seconds)
    for figure in figures:
        print(figure)
    return int(any(figure.share > 1 for figure in figures))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
