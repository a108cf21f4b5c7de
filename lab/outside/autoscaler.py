"""GKE's cluster autoscaler, upwards only: pods that find no place get nodes, if nodes of a pool would do for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from lab.clock import Clock
from lab.controllers.events import Recorder
from lab.controllers.node_match import untolerated, wants_node
from lab.controllers.scheduler_nodes import Amounts, amounts, host_ports, pod_requests, ports_clash
from lab.kubelet.nodes import make_node
from lab.kubernetes.kinds import POD
from lab.outside.gke_cluster import GkeCluster, Pool

Obj = dict[str, Any]

LOOK_SECONDS = 10.0  # lab time between looks
BOOT_SECONDS = 45.0  # lab time until a node is there
_LEAST_REAL = 0.1  # real seconds: a lab that runs fast must not be busy with looking


def nodes_needed(pods: list[Obj], node: Obj) -> tuple[int, list[Obj]]:
    """How many nodes such as this one the pods fill, first fit, the largest first; and the pods that have a place then."""
    room = amounts(node["status"]["allocatable"])
    opened: list[tuple[Amounts, set[tuple[str, str, int]]]] = []
    placed = []
    for pod in sorted(pods, key=lambda one: pod_requests(one).get("cpu", 0), reverse=True):
        wanted, ports = {"pods": 1, **pod_requests(pod)}, host_ports(pod)
        if not wants_node(pod, node) or untolerated(pod, node["spec"].get("taints") or (), ("NoSchedule", "NoExecute")):
            continue
        if any(room.get(name, 0) < number for name, number in wanted.items()):
            continue
        for left, taken in opened:
            if all(left.get(name, 0) >= number for name, number in wanted.items()) and not ports_clash(ports, taken):
                break
        else:
            left, taken = dict(room), set()
            opened.append((left, taken))
        for name, number in wanted.items():
            left[name] -= number
        taken |= ports
        placed.append(pod)
    return len(opened), placed


class Autoscaler:
    """Of one cluster. `allow(pool, per_zone)` says whether a pool may have that many nodes now: no operation is in the way, quotas suffice."""

    def __init__(self, cluster: GkeCluster, clock: Clock, allow: Callable[[Pool, int], bool]) -> None:
        self._cluster, self._clock, self._allow = cluster, clock, allow
        self._recorder = Recorder(cluster.cluster.registry, "cluster-autoscaler")

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(max(self._clock.real(LOOK_SECONDS), _LEAST_REAL))
            pools = [pool for pool in self._cluster.pools.values() if pool.autoscaling.get("enabled") and pool.status == "RUNNING"]
            for pool in pools:
                await self._grow(pool)

    async def _grow(self, pool: Pool) -> None:
        pods = self._homeless()
        if not pods:
            return
        block = self._cluster.cluster.block
        assert block
        node = make_node(self._cluster.example(block, pool), 0, self._clock.now())
        count, placed = nodes_needed(pods, node)
        most = self._most(pool)
        wanted = min(pool.per_zone + -(-count // len(pool.zones)), most)
        if wanted <= pool.per_zone or not self._allow(pool, wanted):
            return
        for pod in placed:
            message = f"pod triggered scale-up: [{{{pool.name} {pool.per_zone}->{wanted} (max: {most})}}]"
            self._recorder.event(pod, "Normal", "TriggeredScaleUp", message)
        await self._clock.sleep(BOOT_SECONDS)
        if pool.name in self._cluster.pools and self._allow(pool, wanted):
            await self._cluster.resize(pool, wanted)

    @staticmethod
    def _most(pool: Pool) -> int:
        """In each zone."""
        total = int(pool.autoscaling.get("totalMaxNodeCount") or 0)
        return total // len(pool.zones) if total else int(pool.autoscaling.get("maxNodeCount") or 0)

    def _homeless(self) -> list[Obj]:
        """Pods that the scheduler has found no node for."""
        found = []
        for pod in self._cluster.cluster.registry.list(POD):
            conditions = (pod.get("status") or {}).get("conditions") or ()
            if not pod["spec"].get("nodeName") and any(one.get("reason") == "Unschedulable" for one in conditions):
                found.append(pod)
        return found
