"""A lab of one node without an API and without controllers: pods are bound by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lab.addresses import AddressBlock
from lab.clock import Clock
from lab.faults import Faults
from lab.kubelet.kubelet import Kubelet
from lab.kubelet.logs import PodLogs
from lab.kubelet.machine import Surroundings
from lab.kubelet.nodes import NodeSpec
from lab.kubernetes.kinds import CONFIG_MAP, EVENT, NAMESPACE, POD, SERVICE_ACCOUNT
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]


class Bench:
    """The lab under test."""

    def __init__(self, around: Surroundings, kubelet: Kubelet) -> None:
        self.around, self.kubelet, self.registry, self.faults = around, kubelet, around.registry, around.faults
        self.logs = PodLogs(kubelet, around.clock)
        self.history: list[Obj] = []  # every state of every pod

    def pod(self, name: str = "p", node: str = "node1", containers: list[Obj] | None = None, **spec: Any) -> Obj:
        """Create a pod; `command` and the like go to its only container."""
        container = {key: spec.pop(key) for key in list(spec) if key in CONTAINER_FIELDS}
        container = {"name": "main", "image": "localhost/busybox:local", **container}
        whole = {"terminationGracePeriodSeconds": 1, "nodeName": node, "containers": containers or [container], **spec}
        return self.registry.create(POD, {"metadata": {"name": name}, "spec": whole}, "default")

    def get(self, name: str = "p") -> Obj | None:
        """The pod as it is."""
        return self.registry.find(POD, "default", name)

    async def until(self, fits: Callable[[Obj], Any], name: str = "p", seconds: float = 20) -> Obj:
        """Wait until a pod fits; gives it."""
        async with asyncio.timeout(seconds):
            while True:
                pod = self.get(name)
                if pod is not None and fits(pod):
                    return pod
                await asyncio.sleep(0.005)

    async def until_gone(self, name: str = "p", seconds: float = 20) -> None:
        """Wait until a pod is no more."""
        async with asyncio.timeout(seconds):
            while self.get(name) is not None:
                await asyncio.sleep(0.005)

    def phases(self, name: str = "p") -> list[str]:
        """What became of a pod: its phases in order, without repeats."""
        found: list[str] = []
        for pod in self.history:
            if pod["metadata"]["name"] == name and found[-1:] != [pod["status"]["phase"]]:
                found.append(pod["status"]["phase"])
        return found

    def events(self, name: str = "p") -> list[tuple[str, str, int]]:
        """Reason, message and count of the events about a pod."""
        return [
            (event["reason"], event["message"], event["count"])
            for event in sorted(self.registry.list(EVENT, "default"), key=lambda event: event["metadata"]["name"].rpartition(".")[2])
            if event["involvedObject"]["name"] == name
        ]

    async def log(self, name: str = "p", **query: str) -> str:
        """A container's log."""
        pod = self.registry.get(POD, "default", name)
        return b"".join([chunk async for chunk in self.logs.logs(pod, query.pop("container", None), query)]).decode()


CONTAINER_FIELDS = (
    "image", "command", "args", "env", "envFrom", "ports", "resources", "volumeMounts", "readinessProbe", "livenessProbe", "startupProbe",
    "lifecycle", "imagePullPolicy", "workingDir", "terminationMessagePolicy", "terminationMessagePath",
)  # fmt: skip


def running(pod: Obj) -> bool:
    """The pod runs and is ready."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions") or ())


def state(pod: Obj, container: str = "main", field: str = "containerStatuses") -> Obj:
    """A container's status; empty when there is none."""
    return next((one for one in pod["status"].get(field) or () if one["name"] == container), {"state": {}, "lastState": {}, "restartCount": 0})


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A lab that runs twenty times as fast."""
    block = AddressBlock.claim()
    registry = Registry(Clock(20))
    registry.admission.services.network = block.service_network
    around = Surroundings(registry, block, Faults(), tmp_path)
    one, two = block.node(1), block.node(2)
    kubelet = Kubelet(around, [NodeSpec("node1", one, one), NodeSpec("node2", two, two, cpu="2", memory="2Gi")])
    lab = Bench(around, kubelet)
    for name in ("default", "kube-system"):
        registry.create(NAMESPACE, {"metadata": {"name": name}})
    registry.create(SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
    registry.create(CONFIG_MAP, {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "none"}}, "default")
    registry.store.listen(POD, lambda event: lab.history.append(event.object))
    task = asyncio.create_task(kubelet.run())
    await asyncio.sleep(0)
    try:
        yield lab
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await kubelet.stop()
        block.close()
