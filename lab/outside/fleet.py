"""All GKE clusters, and the operations that change them: one at a time for each cluster, in lab time, with quotas that may not suffice. No HTTP."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lab.clock import Clock, micro_timestamp
from lab.faults import Faults
from lab.outside.autoscaler import Autoscaler
from lab.outside.disks import Disks
from lab.outside.gke_cluster import GkeCluster, Pool, read_pool
from lab.outside.google import Accounts, GoogleError

Obj = dict[str, Any]

log = logging.getLogger("lab.gke")

# Lab seconds, about what the real ones take.
SECONDS = {
    "CREATE_CLUSTER": 270, "DELETE_CLUSTER": 180, "CREATE_NODE_POOL": 75, "DELETE_NODE_POOL": 120, "SET_NODE_POOL_SIZE": 60, "SET_LABELS": 10,
    "UPDATE_CLUSTER": 30,
}  # fmt: skip
_PENDING = 2.0  # lab seconds until an operation runs
_DOING = {"CREATE_CLUSTER": "creating", "DELETE_CLUSTER": "deleting"}
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_LOCATION = re.compile(r"([a-z]+-[a-z]+\d{1,2})(?:-([a-f]))?")
_LABEL_KEY, _LABEL_VALUE = re.compile(r"[a-z][-_a-z0-9]{0,62}"), re.compile(r"[-_a-z0-9]{0,63}")
_CODES = {"FAILED_PRECONDITION": 9, "RESOURCE_EXHAUSTED": 8, "INTERNAL": 13, "ABORTED": 10}
_STANDARD, _SSD = ("pd-standard",), ("pd-balanced", "pd-ssd")


@dataclass
class Operation:
    """Something that takes time."""

    name: str
    type: str
    project: str
    location: str
    target: str
    started: datetime
    status: str = "PENDING"
    ended: datetime | None = None
    code: int = 0
    message: str = ""

    def shown(self) -> Obj:
        """As the API shows it."""
        where = f"https://container.googleapis.com/v1/projects/{self.project}/locations/{self.location}"
        shown: Obj = {
            "name": self.name, "location": self.location, "zone": self.location, "operationType": self.type, "status": self.status,
            "selfLink": f"{where}/operations/{self.name}", "targetLink": f"https://container.googleapis.com/v1/{self.target}",
            "startTime": micro_timestamp(self.started),
        }  # fmt: skip
        if self.ended:
            shown["endTime"] = micro_timestamp(self.ended)
        if self.message:
            shown |= {"statusMessage": self.message, "error": {"code": self.code, "message": self.message}}
        return shown


class OperationError(Exception):
    """An operation that fails half way: google.rpc.Code and a sentence."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Fleet:
    """The clusters of all projects. `stop()` at the end."""

    def __init__(self, clock: Clock, faults: Faults, accounts: Accounts, disks: Disks) -> None:
        self._clock, self._faults, self._accounts, self._disks = clock, faults, accounts, disks
        self.state = Path()  # where the clusters have their files
        self.quotas: dict[str, int] = {}  # of each region of each project; what is not named is plenty
        self.clusters: dict[str, GkeCluster] = {}  # by path
        self.operations: dict[str, Operation] = {}
        self._numbers = itertools.count(1)
        self._busy: dict[str, Operation] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """End all that goes on, and all clusters."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for cluster in self.clusters.values():
            await cluster.stop()

    def cluster(self, path: str) -> GkeCluster:
        """One of them, or 404."""
        if path not in self.clusters:
            raise GoogleError(404, f"Not found: {path}.")
        return self.clusters[path]

    def pool(self, path: str, name: str) -> tuple[GkeCluster, Pool]:
        """A cluster and one of its node pools, or 404."""
        cluster = self.cluster(path)
        if name not in cluster.pools:
            raise GoogleError(404, f"Not found: {path}/nodePools/{name}.")
        return cluster, cluster.pools[name]

    # What people ask for

    def create(self, project: str, location: str, wish: Obj) -> Operation:
        """A new cluster."""
        name, zones = wish.get("name"), _zones(location, wish)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            rule = "(?:[a-z](?:[-a-z0-9]{0,38}[a-z0-9])?)"
            raise GoogleError(400, f'Invalid value for field "cluster.name": "{name}". Must be a match of regex \'{rule}\'.')
        path = f"projects/{project}/locations/{location}/clusters/{name}"
        if path in self.clusters:
            raise GoogleError(409, f"Already exists: {path}.")
        _check_labels(wish.get("resourceLabels") or {})
        cluster = GkeCluster(project, location, name, wish, zones, self._clock, self._faults, self._disks)
        for given in _wanted_pools(wish):
            pool = _pool(given, zones)
            cluster.pools[pool.name] = pool
        self._check_quota(cluster, [(pool, pool.per_zone * len(pool.zones)) for pool in cluster.pools.values()])
        self.clusters[path] = cluster

        async def make() -> None:
            await cluster.start(self.state / cluster.project / cluster.location / cluster.name, self._accounts)
            cluster.cluster.life.spawn("autoscaler", Autoscaler(cluster, self._clock, lambda *wish: self._may_grow(cluster, *wish)).run())
            cluster.status = "RUNNING"
            for pool in cluster.pools.values():
                pool.status = "RUNNING"

        def failed(message: str) -> None:
            cluster.status, cluster.message = "ERROR", message
            for pool in cluster.pools.values():
                pool.status, pool.message = "ERROR", message

        return self._begin("CREATE_CLUSTER", cluster, path, make, failed)

    def delete(self, path: str) -> Operation:
        """No more cluster."""
        cluster = self.cluster(path)
        self._must_be_idle(cluster)
        before, cluster.status = cluster.status, "STOPPING"

        async def end() -> None:
            await cluster.stop()
            del self.clusters[path]

        def failed(message: str) -> None:
            cluster.status, cluster.message = "ERROR" if before == "ERROR" else before, message

        return self._begin("DELETE_CLUSTER", cluster, path, end, failed)

    def add_pool(self, path: str, given: Obj) -> Operation:
        """Another node pool."""
        cluster = self._running(path)
        pool = _pool(given, cluster.zones)
        target = f"{path}/nodePools/{pool.name}"
        if pool.name in cluster.pools:
            raise GoogleError(409, f"Already exists: {target}.")
        self._check_quota(cluster, [(pool, pool.per_zone * len(pool.zones))])
        cluster.pools[pool.name] = pool

        async def make() -> None:
            await cluster.resize(pool, pool.per_zone)
            pool.status = "RUNNING"

        return self._begin("CREATE_NODE_POOL", cluster, target, make, _pool_failed(pool))

    def delete_pool(self, path: str, name: str) -> Operation:
        """One node pool less."""
        self._running(path)
        cluster, pool = self.pool(path, name)
        pool.status = "STOPPING"

        async def end() -> None:
            await cluster.resize(pool, 0)
            del cluster.pools[name]

        return self._begin("DELETE_NODE_POOL", cluster, f"{path}/nodePools/{name}", end, _pool_failed(pool))

    def set_size(self, path: str, name: str, count: Any) -> Operation:
        """So many nodes in each zone of a pool."""
        self._running(path)
        cluster, pool = self.pool(path, name)
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise GoogleError(400, "Node count must be a number from 0 on.")
        self._check_quota(cluster, [(pool, (count - pool.per_zone) * len(pool.zones))])
        pool.status = cluster.status = "RECONCILING"

        async def change() -> None:
            await cluster.resize(pool, count)
            pool.status = cluster.status = "RUNNING"

        def failed(message: str) -> None:
            cluster.status = "RUNNING"
            pool.status, pool.message = "RUNNING_WITH_ERROR", message

        return self._begin("SET_NODE_POOL_SIZE", cluster, f"{path}/nodePools/{name}", change, failed)

    def set_labels(self, path: str, wish: Obj) -> Operation:
        """Other labels for a cluster; disks that exist keep theirs."""
        cluster = self._running(path)
        labels = dict(wish.get("resourceLabels") or {})
        _check_labels(labels)
        if wish.get("labelFingerprint", "") not in ("", cluster.shown()["labelFingerprint"]):
            raise GoogleError(400, "Labels could not be set due to fingerprint mismatch.", "FAILED_PRECONDITION")

        async def change() -> None:
            cluster.labels = labels

        return self._begin("SET_LABELS", cluster, path, change, lambda _message: None)

    def update(self, path: str, change: Callable[[GkeCluster], None]) -> Operation:
        """Settings that are kept and shown, nothing more."""
        cluster = self._running(path)

        async def apply() -> None:
            change(cluster)

        return self._begin("UPDATE_CLUSTER", cluster, path, apply, lambda _message: None)

    # How it is done

    def _running(self, path: str) -> GkeCluster:
        cluster = self.cluster(path)
        self._must_be_idle(cluster)
        if cluster.status not in ("RUNNING", "RECONCILING"):
            raise GoogleError(400, f"Cluster {path} is in state {cluster.status}.", "FAILED_PRECONDITION")
        return cluster

    def _must_be_idle(self, cluster: GkeCluster) -> None:
        if busy := self._busy.get(cluster.path):
            doing = _DOING.get(busy.type, "upgrading")
            message = f"Operation {busy.name} is currently {doing} cluster {cluster.name}. Please wait and try again once it is done."
            raise GoogleError(400, message, "FAILED_PRECONDITION")

    def _begin(
        self, kind: str, cluster: GkeCluster, target: str, work: Callable[[], Awaitable[None]], failed: Callable[[str], None]
    ) -> Operation:
        now = self._clock.now()
        name = f"operation-{int(now.timestamp() * 1000)}-{next(self._numbers):08x}"
        operation = Operation(name, kind, cluster.project, cluster.location, target, now)
        self.operations[name] = self._busy[cluster.path] = operation
        task = asyncio.create_task(self._carry_out(operation, cluster.path, work, failed), name=f"gke {kind} {target}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return operation

    async def _carry_out(self, operation: Operation, path: str, work: Callable[[], Awaitable[None]], failed: Callable[[str], None]) -> None:
        await self._clock.sleep(_PENDING)
        operation.status = "RUNNING"
        fault = self._faults.take("operation", f"{operation.type} {operation.target}")
        try:
            await self._clock.sleep(SECONDS[operation.type])
            if fault is not None and fault.effect == "slow":
                await self._clock.sleep(float(fault.options.get("seconds", 600)))
            if fault is not None and fault.effect == "fail":
                raise OperationError(int(fault.options.get("code", 8)), str(fault.options.get("message", _stockout(operation))))
            await work()
        except OperationError as error:
            operation.code, operation.message = error.code, error.message
            failed(error.message)
        except Exception as error:
            log.exception("%s %s", operation.type, operation.target)
            operation.code, operation.message = _CODES["INTERNAL"], f"Internal error: {error}"
            failed(operation.message)
        operation.status, operation.ended = "DONE", self._clock.now()
        del self._busy[path]

    def _may_grow(self, cluster: GkeCluster, pool: Pool, per_zone: int) -> bool:
        """Whether the autoscaler may do what it wants to."""
        try:
            self._must_be_idle(cluster)
            self._check_quota(cluster, [(pool, (per_zone - pool.per_zone) * len(pool.zones))])
        except GoogleError:
            return False
        return True

    # Quotas

    def usage(self, project: str, region: str) -> Counter[str]:
        """How much of each quota of a region is in use, or promised."""
        used: Counter[str] = Counter()
        for cluster in self.clusters.values():
            if cluster.project == project and cluster.region == region:
                for pool in cluster.pools.values():
                    used += _needs(pool, pool.per_zone * len(pool.zones))
        volumes = [disk for disk in self._disks.find(project) if disk.zone.rpartition("-")[0] == region and "goog-gke-node" not in disk.labels]
        used["DISKS_TOTAL_GB"] += sum(disk.size_gb for disk in volumes if disk.type in _STANDARD)
        used["SSD_TOTAL_GB"] += sum(disk.size_gb for disk in volumes if disk.type in _SSD)
        return used

    def _check_quota(self, cluster: GkeCluster, more: list[tuple[Pool, int]]) -> None:
        needs: Counter[str] = Counter()
        for pool, count in more:
            needs += _needs(pool, count)
        used = self.usage(cluster.project, cluster.region)
        problems = []
        for name, need in sorted(needs.items()):
            limit = self.quotas.get(name)
            if limit is None or used[name] + need <= limit:
                continue
            free = max(0, limit - used[name])
            problems.append(
                f"resource \"{name}\": request requires '{need:.1f}' and is short '{need - free:.1f}'. project has a quota of '{limit:.1f}' with "
                f"'{free:.1f}' available. View and manage quotas at https://console.cloud.google.com/iam-admin/quotas?usage=USED&project={cluster.project}"
            )
        if len(problems) == 1:
            raise GoogleError(403, f"Insufficient regional quota to satisfy request: {problems[0]}.")
        if problems:
            listed = "".join(f"\n\t({number}) insufficient regional quota to satisfy request: {one}." for number, one in enumerate(problems, 1))
            raise GoogleError(403, listed)


def _needs(pool: Pool, nodes: int) -> Counter[str]:
    if nodes <= 0:
        return Counter()
    kind = "DISKS_TOTAL_GB" if pool.disk_type in _STANDARD else "SSD_TOTAL_GB"
    return Counter({pool.machine.quota: nodes * pool.machine.cpus, "IN_USE_ADDRESSES": nodes, kind: nodes * pool.disk_gb})


def _zones(location: str, wish: Obj) -> list[str]:
    match = _LOCATION.fullmatch(location)
    if not match:
        raise GoogleError(400, f'Location "{location}" does not exist.')
    if chosen := wish.get("locations"):
        return list(chosen)
    return [location] if match[2] else [f"{location}-{letter}" for letter in "abc"]


def _wanted_pools(wish: Obj) -> list[Obj]:
    """The older way: a count and a configuration for the pool `default-pool`; the newer: a list of pools."""
    pools, count = wish.get("nodePools") or [], wish.get("initialNodeCount", 0)
    if pools and count:
        raise GoogleError(400, "Only one of cluster.initial_node_count or cluster.node_pools may be specified.")
    if pools:
        return list(pools)
    if not count:
        raise GoogleError(400, "Cluster.initial_node_count must be greater than zero.")
    return [{"name": "default-pool", "initialNodeCount": count, "config": wish.get("nodeConfig") or {}}]


def _pool(given: Obj, zones: list[str]) -> Pool:
    pool = read_pool(given, zones)
    if isinstance(pool, str):
        raise GoogleError(400, pool)
    if not _NAME.fullmatch(pool.name):
        raise GoogleError(400, f'Invalid value for field "node_pool.name": "{pool.name}".')
    return pool


def _pool_failed(pool: Pool) -> Callable[[str], None]:
    def failed(message: str) -> None:
        pool.status, pool.message = "ERROR", message

    return failed


def _check_labels(labels: Obj) -> None:
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            raise GoogleError(400, f'Invalid value for field "resource_labels": "{key}: {value}". Labels are lower-case letters, digits, - and _.')


def _stockout(operation: Operation) -> str:
    return (
        "Google Compute Engine: The zone "
        f"'projects/{operation.project}/zones/{operation.location}' does not have enough resources available to fulfill the request. "
        "Try a different zone, or try again later."
    )
