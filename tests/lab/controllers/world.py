"""A small cluster without HTTP and without real containers: registry, controllers, and nodes that only play the pods' status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from lab.clock import Clock
from lab.controllers.manager import run_controllers
from lab.faults import Faults
from lab.kubernetes.kinds import DEPLOYMENT, NAMESPACE, NODE, POD, Kind
from lab.kubernetes.registry import DeleteOptions, Registry
from lab.kubernetes.store import Event

Obj = dict[str, Any]


class Nodes:
    """Plays kubelets: scheduled pods become ready at once (unless `stuck`), deleted ones end after their grace."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.stuck: Callable[[Obj], bool] = lambda pod: False
        self._addresses = iter(range(1, 60000))
        self.log: list[Event] = []
        registry.store.listen(None, self.log.append)

    async def run(self) -> None:
        subscription = self.registry.store.subscribe(lambda event: event.type != "DELETED", POD)
        try:
            async for event in subscription:
                self.play(event.object)
        finally:
            subscription.close()

    def play(self, seen: Obj) -> None:
        meta = seen["metadata"]
        pod = self.registry.find(POD, meta["namespace"], meta["name"])
        if pod is None or not pod["spec"].get("nodeName"):
            return
        if "deletionTimestamp" in pod["metadata"]:
            self.registry.delete(POD, meta["namespace"], meta["name"], DeleteOptions(grace=0))
        elif pod["status"].get("phase") == "Pending" and not self.stuck(pod):
            self.registry.modify(POD, meta["namespace"], meta["name"], self._start, "status")

    def _start(self, pod: Obj) -> None:
        number = next(self._addresses)
        pod["status"]["phase"] = "Running"
        pod["status"]["podIP"] = f"127.1.{16 + number // 250}.{1 + number % 250}"
        now = self.registry.now()
        pod["status"]["conditions"] = [
            {"type": name, "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
            for name in ("Ready", "ContainersReady", "PodScheduled")
        ]


class Cluster:
    """What tests talk to."""

    def __init__(self, speed: float) -> None:
        self.registry = Registry(Clock(speed))
        self.faults = Faults()
        self.nodes = Nodes(self.registry)

    def add_node(self, name: str, cpu: str = "16", memory: str = "64Gi", **more: Any) -> Obj:
        resources = {"cpu": cpu, "memory": memory, "pods": "110", "ephemeral-storage": "100Gi"}
        condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastTransitionTime": self.registry.now()}
        labels = {"kubernetes.io/hostname": name, **more.pop("labels", {})}
        return self.registry.create(
            NODE,
            {
                "metadata": {"name": name, "labels": labels},
                "spec": more.pop("spec", {}),
                "status": {"capacity": resources, "allocatable": resources, "conditions": [condition], **more},
            },
        )

    def namespace(self, name: str = "demo") -> None:
        self.registry.create(NAMESPACE, {"metadata": {"name": name}})

    def deploy(self, name: str = "web", namespace: str = "demo", replicas: int = 2, **spec: Any) -> Obj:
        container = {"name": "main", "image": "busybox", **spec.pop("container", {})}
        pod = {"containers": [container], "terminationGracePeriodSeconds": 1, **spec.pop("pod", {})}
        labels = {"app": name}
        body = {
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}, **spec},
        }
        return self.registry.create(DEPLOYMENT, body, namespace)

    def pods(self, namespace: str = "demo") -> list[Obj]:
        return self.registry.list(POD, namespace)

    def history(self, kind: Kind) -> list[Event]:
        return [event for event in self.nodes.log if event.kind is kind]

    async def settle(self, rounds: int = 40) -> None:
        """Until nothing has been written for some turns of the loop. Waits of a few lab milliseconds (retries) are included."""
        quiet = 0
        while quiet < rounds:
            version = self.registry.store.version
            await asyncio.sleep(0.001)
            quiet = quiet + 1 if self.registry.store.version == version else 0

    async def until(self, condition: Callable[[], Any], what: str = "") -> None:
        """Until something holds; fails after a while."""
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.002)


@asynccontextmanager
async def cluster(speed: float = 100, nodes: int = 1) -> AsyncIterator[Cluster]:
    """A running cluster with a namespace `demo`."""
    made = Cluster(speed)
    for number in range(nodes):
        made.add_node(f"node{number + 1}")
    made.namespace()
    tasks = [asyncio.create_task(run_controllers(made.registry, made.faults, "a certificate")), asyncio.create_task(made.nodes.run())]
    try:
        await made.settle(5)
        yield made
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, asyncio.CancelledError):
                raise result
