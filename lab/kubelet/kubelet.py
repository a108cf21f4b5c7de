"""All kubelets of the lab in one: it registers the nodes, runs the pods that are bound to them, and lets faults happen."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from typing import Any

from lab.controllers.events import Recorder
from lab.faults import Fault, Faults
from lab.kubelet.dns import ClusterDns
from lab.kubelet.machine import Machine, Surroundings
from lab.kubelet.network import Network
from lab.kubelet.nodes import HEARTBEAT, RENEWAL, NodeReporter, NodeSpec
from lab.kubelet.partitions import Partitions
from lab.kubelet.runs import ContainerState
from lab.kubelet.starting import kill_run
from lab.kubelet.volumes import volume_directory
from lab.kubelet.worker import PodWorker
from lab.kubernetes.context import DeleteOptions
from lab.kubernetes.kinds import CONFIG_MAP, NODE, POD, PV, SECRET
from lab.kubernetes.store import Event

Obj = dict[str, Any]

_REFRESH = 30.0  # lab seconds until a changed ConfigMap shows in volumes
_FAULT_PERIOD = 0.2  # real seconds between looks for faults
_LEAST_BEAT = 5.0  # real seconds: a lab that runs fast must not be busy with heartbeats


class Kubelet:
    """The node side of the lab. `run` until cancelled, then `stop`."""

    def __init__(self, around: Surroundings, nodes: list[NodeSpec]) -> None:
        self._around = around
        self._registry = around.registry
        self.reporter = NodeReporter(around.registry, nodes)
        self.machines = {spec.name: self._machine(spec) for spec in nodes}
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stops: list[Callable[[], None]] = []
        self._partitions = Partitions(around.registry, around.faults)
        self._network = Network(around.registry, self.machines.values(), self._partitions)
        self.dns = ClusterDns(around.registry)
        around.shared["resolve"] = self.dns.resolve
        around.shared["partitions"] = self._partitions

    def _machine(self, spec: NodeSpec) -> Machine:
        machine = Machine(spec.name, spec.internal_ip, spec.external_ip, Recorder(self._registry, "kubelet", host=spec.name))
        machine.neighbours = lambda uid: [
            worker.pod for other, worker in self._workers.items() if other != uid and worker.active and worker.pod["spec"]["nodeName"] == spec.name
        ]
        return machine

    def states(self, uid: str) -> list[ContainerState]:
        """The containers of a pod, for logs and exec."""
        worker = self._workers.get(uid)
        return worker.states if worker else []

    def reachable(self, node: str) -> bool:
        """Whether a node answers."""
        machine = self.machines.get(node)
        return machine is not None and not machine.lost

    def register(self) -> None:
        """Make the Node objects."""
        for name in self.machines:
            self.reporter.register(name)

    def add(self, spec: NodeSpec) -> None:
        """Another machine."""
        self.machines[spec.name] = self._machine(spec)
        self.reporter.specs[spec.name] = spec
        self._network.set_machines(self.machines.values())
        self.reporter.register(spec.name)

    async def remove(self, name: str) -> None:
        """A machine is gone, and with it what ran there; its pods and its Node object are removed as a cloud's controllers do."""
        machine = self.machines.pop(name)
        workers = self._on(machine)
        await asyncio.gather(*(worker.lose() for worker in workers))
        for worker in workers:
            meta = worker.pod["metadata"]
            if self._registry.find(POD, meta["namespace"], meta["name"]) is not None:
                self._registry.delete(POD, meta["namespace"], meta["name"], DeleteOptions(grace=0))
        if self._registry.find(NODE, "", name) is not None:
            self._registry.delete(NODE, "", name)
        del self.reporter.specs[name]
        self._network.set_machines(self.machines.values())

    async def run(self) -> None:
        """Serve all nodes until cancelled."""
        self.register()
        self._stops = [
            self._registry.store.listen(POD, self._on_pod),
            self._registry.store.listen(CONFIG_MAP, self._on_source),
            self._registry.store.listen(SECRET, self._on_source),
            self._registry.store.listen(PV, self._on_volume),
        ]
        for pod in self._registry.list(POD):
            self._take(pod)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat(RENEWAL, self.reporter.renew))
                group.create_task(self._beat(HEARTBEAT, self.reporter.report))
                group.create_task(self._watch_faults())
        finally:
            for stop in self._stops:
                stop()

    async def stop(self) -> None:
        """End every pod at once; nothing is told to anybody, nothing stays behind."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._network.close()
        self._partitions.close()
        self.dns.close()

    # Events: called within writes, so they only note things

    def _on_pod(self, event: Event) -> None:
        uid = event.object["metadata"]["uid"]
        if event.type != "DELETED":
            self._take(event.object)
        elif uid in self._workers:
            self._workers[uid].gone()

    def _take(self, pod: Obj) -> None:
        uid, node = pod["metadata"]["uid"], pod["spec"].get("nodeName")
        worker = self._workers.get(uid)
        if worker is not None:
            worker.update(pod)
            return
        machine = self.machines.get(node or "")
        if machine is None or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return
        self._workers[uid] = PodWorker(self._around, machine, pod)
        self._tasks[uid] = asyncio.create_task(self._work(uid), name=f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}")

    async def _work(self, uid: str) -> None:
        try:
            await self._workers[uid].run()
        finally:
            self._workers.pop(uid, None)
            self._tasks.pop(uid, None)

    def _on_source(self, event: Event) -> None:
        if event.type != "MODIFIED":
            return
        meta, kind = event.object["metadata"], event.kind.kind
        for uid, worker in self._workers.items():
            if worker.pod["metadata"]["namespace"] == meta["namespace"] and worker.volumes.uses(kind, meta["name"]):
                asyncio.get_running_loop().call_later(self._around.clock.real(_REFRESH), self._refresh, uid)

    def _refresh(self, uid: str) -> None:
        if uid in self._workers:
            self._workers[uid].refresh_volumes()

    def _on_volume(self, event: Event) -> None:
        if event.type == "DELETED":
            shutil.rmtree(volume_directory(self._around.state, event.object), ignore_errors=True)

    # Heartbeats and faults

    async def _beat(self, period: float, beat: Callable[[str], None]) -> None:
        while True:
            for machine in self.machines.values():
                if not machine.lost and not machine.silent:
                    beat(machine.name)
            await asyncio.sleep(max(self._around.clock.real(period), _LEAST_BEAT))

    async def _watch_faults(self) -> None:
        faults = self._around.faults
        while True:
            await asyncio.sleep(_FAULT_PERIOD)
            wanted = {fault.place for fault in faults.all()}
            if "node" in wanted or any(machine.lost or machine.silent for machine in self.machines.values()):
                self._silence_nodes(faults)
                await self._lose_nodes(faults)
            if "pod" in wanted:
                self._partitions.look()
            if "container" in wanted:
                await self._hurt_containers(faults)

    def _silence_nodes(self, faults: Faults) -> None:
        for machine in self.machines.values():
            silent = _standing(faults, "no-heartbeat", machine)
            if silent and not machine.silent:
                silent[0].hits += 1
            elif machine.silent and not silent and not machine.lost:
                self.reporter.report(machine.name)
                self.reporter.renew(machine.name)
            machine.silent = bool(silent)

    async def _lose_nodes(self, faults: Faults) -> None:
        for machine in list(self.machines.values()):
            lost = _standing(faults, "lost", machine)
            if lost and not machine.lost:
                lost[0].hits += 1  # it stays lost until the fault is removed
                machine.lost = True
                await asyncio.gather(*(worker.lose() for worker in self._on(machine)))
            elif machine.lost and not lost:
                machine.lost = False
                self.reporter.report(machine.name)
                self.reporter.renew(machine.name)
                for worker in self._on(machine):
                    worker.restore()

    def _on(self, machine: Machine) -> list[PodWorker]:
        return [worker for worker in self._workers.values() if worker.pod["spec"]["nodeName"] == machine.name]

    async def _hurt_containers(self, faults: Faults) -> None:
        for worker in list(self._workers.values()):
            meta = worker.pod["metadata"]
            for state in worker.states:
                run = state.current
                if run is None or not run.running or run.container is None or run.container.hanging.is_set():
                    continue
                fault = faults.take("container", f"{meta['namespace']}/{meta['name']}/{state.name}")
                if fault is None:
                    continue
                if fault.effect == "hang":
                    run.container.hanging.set()
                    if hang := getattr(run.program, "hang", None):
                        hang(run.container)
                elif fault.effect in ("oom", "crash"):
                    run.forced = (137, "OOMKilled") if fault.effect == "oom" else (int(fault.options.get("code", 1)), "Error")
                    await kill_run(run)


def _standing(faults: Faults, effect: str, machine: Machine) -> list[Fault]:
    """Faults of a node: they last until they are removed."""
    return [one for one in faults.all() if one.place == "node" and one.effect == effect and re.search(one.target, machine.name)]
