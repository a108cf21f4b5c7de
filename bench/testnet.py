"""The testnet preset on the lab: how long, how much memory, how many API requests; against a bare client that sends the same objects.

    python -m bench.testnet [--miners N]

The flow cannot be quicker than the bare client: it has to wait for the bootstrap node before the bootnodes and for these before the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from kubernetes import client, config, watch

from deployments.local import Surroundings, Trouble, bring_up, say

FULL_SPEED = 100
NODES = 20  # 100 miners of 2 CPUs and 5 PoETs of 8 on machines of 16
NAMESPACE = "bench"
AT_ONCE = 32  # requests under way in the bare client
LIMITS = {"ready_seconds": 60, "flow_mb": 400, "lab_mb": 600}
# What a flow sends for a network, in the order in which a cluster needs it. Path prefix and plural.
KINDS = (
    ("/apis/policy/v1", "poddisruptionbudgets"),
    ("/api/v1", "configmaps"),
    ("/api/v1", "secrets"),
    ("/api/v1", "persistentvolumeclaims"),
    ("/api/v1", "services"),
    ("/apis/apps/v1", "deployments"),
)
SERVER_FIELDS = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "ownerReferences", "finalizers")


class ReadyWatch(threading.Thread):
    """One watch on pods: notes when the last miner became ready."""

    def __init__(self, kubeconfig: str, miners: int) -> None:
        super().__init__(daemon=True)
        self.api = client.CoreV1Api(config.new_client_from_config(kubeconfig))
        self.miners = miners
        self.last: float | None = None

    def run(self) -> None:
        ready: set[str] = set()
        stream = watch.Watch().stream(self.api.list_pod_for_all_namespaces, label_selector="app=miner", _request_timeout=600)
        for event in stream:
            pod = event["object"]
            if any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or []):
                ready.add(pod.metadata.uid)
            if len(ready) >= self.miners:
                self.last = time.monotonic()
                return


class FirstRequest(threading.Thread):
    """Notes when the flow sent its first request, to some hundredths of a second: where the bare client's time begins, too."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(daemon=True)
        self.around = around
        self.before = asyncio.run(our_requests(around))
        self.at: float | None = None

    def run(self) -> None:
        while asyncio.run(our_requests(self.around)) == self.before:
            time.sleep(0.02)
        self.at = time.monotonic()


class Memory(threading.Thread):
    """Peak resident memory of a process, in MB, sampled ten times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process = psutil.Process(pid)
        self.peak = 0.0
        self.on = True

    def run(self) -> None:
        while self.on:
            try:
                self.peak = max(self.peak, self.process.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                return
            time.sleep(0.1)


@dataclass
class Figures:
    """What one run of the flow cost."""

    wall: float
    ready: float
    flow_mb: float
    lab_mb: float
    requests: int
    objects: int


async def fetch(around: Surroundings, path: str, **query: str) -> Any:
    """JSON from the lab's Kubernetes API, as the administrator."""
    async with aiohttp.ClientSession(around.lab["kubernetes"], headers=authorization(around)) as session, session.get(path, params=query) as answer:
        answer.raise_for_status()
        return await answer.json()


def authorization(around: Surroundings) -> dict[str, str]:
    """As the lab's administrator, under a name of our own."""
    return {"Authorization": f"Bearer {around.lab['token']}", "User-Agent": "bare"}


async def our_requests(around: Surroundings) -> int:
    """API requests that the flow has made so far, as the lab counted them."""
    async with aiohttp.ClientSession() as session, session.get(f"{around.lab['control']}/requests") as answer:
        counted = await answer.json()
    return sum(row["count"] for row in counted if row["user_agent"].startswith("cosmodrome"))


def run_flow(around: Surroundings, miners: int) -> Figures:
    """deploy_network as a person would run it, measured from outside."""
    ready = ReadyWatch(around.lab["kubeconfig"], miners)
    ready.start()
    lab = Memory(around.lab_pid)
    lab.start()
    first = FirstRequest(around)
    first.start()
    command = [sys.executable, "-m", "flows.cli", "deploy-network", "-o", "json", "-q", "--network.name", NAMESPACE, "--network.preset", "testnet"]
    command += ["--network.miners.count", str(miners), "--cluster", "lab"]
    begun = time.monotonic()
    flow = subprocess.Popen(command, env=around.environment, stdout=subprocess.PIPE)
    memory = Memory(flow.pid)
    memory.start()
    output, _ = flow.communicate(timeout=600)
    wall = time.monotonic() - begun
    if flow.returncode != 0:
        raise Trouble(f"deploy-network ended with exit code {flow.returncode}")
    if len(json.loads(output)["miners"]) != miners or ready.last is None or first.at is None:
        raise Trouble("the flow completed, but not every miner was seen ready")
    lab.on = False
    requests = asyncio.run(our_requests(around)) - first.before
    return Figures(wall, ready.last - first.at, memory.peak, lab.peak, requests, 0)


async def take_objects(around: Surroundings) -> list[tuple[str, dict[str, Any]]]:
    """Every object that the flow sent, as it could be sent again: path of its collection and body."""
    found = []
    for prefix, plural in KINDS:
        path = f"{prefix}/namespaces/{NAMESPACE}/{plural}"
        for item in (await fetch(around, path, labelSelector="app.kubernetes.io/managed-by=cosmodrome"))["items"]:
            meta = {key: value for key, value in item["metadata"].items() if key not in SERVER_FIELDS}
            body = {**item, "metadata": meta}
            body.pop("status", None)
            if plural == "persistentvolumeclaims":
                body["spec"].pop("volumeName", None)
            if plural == "services":
                for field in ("clusterIP", "clusterIPs"):
                    body["spec"].pop(field, None)
            found.append((path, body))
    return found


async def send_bare(around: Surroundings, objects: list[tuple[str, dict[str, Any]]]) -> None:
    """The same objects, as quick as a client can send them."""
    slots = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession(around.lab["kubernetes"], headers=authorization(around)) as session:

        async def post(path: str, body: dict[str, Any]) -> None:
            async with slots, session.post(path, json=body) as answer:
                if answer.status != 201:
                    raise Trouble(f"POST {path}: {answer.status} {await answer.text()}")

        await post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        await asyncio.gather(*(post(path, body) for path, body in objects))


async def delete_namespace(around: Surroundings) -> None:
    """Delete what the flow made and wait until it is gone."""
    async with aiohttp.ClientSession(around.lab["kubernetes"], headers=authorization(around)) as session:
        path = f"/api/v1/namespaces/{NAMESPACE}"
        await (await session.delete(path)).read()
        for _ in range(600):
            async with session.get(path) as answer:
                if answer.status == 404:
                    return
            await asyncio.sleep(0.1)
    raise Trouble(f"namespace {NAMESPACE} was not gone after 60 s")


def run_bare(around: Surroundings, objects: list[tuple[str, dict[str, Any]]], miners: int) -> float:
    """Seconds from the first request to the last miner ready, for the bare client."""
    ready = ReadyWatch(around.lab["kubeconfig"], miners)
    ready.start()
    begun = time.monotonic()
    asyncio.run(send_bare(around, objects))
    ready.join(120)
    if ready.last is None:
        raise Trouble("the bare client's miners were not all ready after 120 s")
    return ready.last - begun


def verdict(name: str, value: float, limit: float, unit: str, form: Callable[[float], str] = "{:.1f}".format) -> str:
    """A row: figure, limit, and whether it holds."""
    return f"  {name:<46}{form(value):>9} {unit:<10} limit {form(limit):>7}   {'ok' if value <= limit else 'ABOVE THE LIMIT'}"


def report(figures: Figures, bare: float, miners: int) -> bool:
    """Print everything; True when every limit holds."""
    per_miner, objects_per_miner = figures.requests / miners, figures.objects / miners
    rows = [
        verdict("first request to every miner ready", figures.ready, LIMITS["ready_seconds"], "s"),
        verdict("peak memory of the flow's process", figures.flow_mb, LIMITS["flow_mb"], "MB"),
        verdict("peak memory of the lab", figures.lab_mb, LIMITS["lab_mb"], "MB"),
        verdict("API requests per miner (limit: objects + 1)", per_miner, objects_per_miner + 1, "requests", "{:.2f}".format),
    ]
    say(f"\ntestnet preset, {miners} miners, lab at speed {FULL_SPEED}:")
    say("\n".join(rows))
    say(f"  {'the whole flow, with process start':<46}{figures.wall:>9.1f} s")
    say(f"  {'the same objects by a bare concurrent client':<46}{bare:>9.1f} s")
    say(f"  {'ratio, flow to bare client':<46}{figures.ready / bare:>9.2f}")
    return not any("ABOVE" in row for row in rows)


def main() -> None:
    """Entry point: exit code 1 when a limit is exceeded."""
    parser = argparse.ArgumentParser(prog="python -m bench.testnet", description=__doc__)
    parser.add_argument("--miners", type=int, default=100)
    miners = parser.parse_args().miners
    try:
        with ExitStack() as stack:
            around = bring_up(stack, FULL_SPEED, NODES, Path(".lab/bench").resolve())
            figures = run_flow(around, miners)
            objects = asyncio.run(take_objects(around))
            figures.objects = len(objects) + 1  # and the namespace
            asyncio.run(delete_namespace(around))
            bare = run_bare(around, objects, miners)
    except Trouble as trouble:
        sys.exit(f"It did not work: {trouble}")
    sys.exit(0 if report(figures, bare, miners) else 1)


if __name__ == "__main__":
    main()
