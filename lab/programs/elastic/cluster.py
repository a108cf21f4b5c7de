"""Nodes of one Elasticsearch cluster, who share what it holds. They are found by namespace and cluster name."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lab.clock import Clock
from lab.programs.elastic.indices import Holdings, Index
from lab.programs.program import Container

Obj = dict[str, Any]

_FILE = "nodes/0/lab.json"


class ElasticCluster:
    """What its nodes have in common. It forms once most of the masters that were named at first are there."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.holdings = Holdings()
        self.nodes: dict[str, str] = {}  # node name -> address
        self._clock = clock
        self._masters: set[str] = set()
        self._formed = False
        self._since = clock.monotonic()

    @classmethod
    def join(cls, container: Container, name: str, node: str, masters: Iterable[str], data: Path) -> ElasticCluster:
        """The cluster that this node belongs to from now on. The first one brings what is on its disk."""
        clusters = container.shared.setdefault("elasticsearch", {})
        cluster: ElasticCluster = clusters.setdefault((container.namespace, name), cls(name, container.clock))
        file = data / _FILE
        if not cluster.nodes:
            cluster._formed = file.exists()
            cluster.holdings = Holdings.load(file.read_text()) if file.exists() else Holdings()
            cluster._since = container.clock.monotonic() - cluster.holdings.age
        cluster._masters = set(masters) or cluster._masters
        cluster.nodes[node] = container.ip
        return cluster

    def leave(self, node: str, data: Path) -> None:
        """The node ends; its disk keeps what there is."""
        self.nodes.pop(node, None)
        self.tick()
        file = data / _FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.holdings.dump())

    def tick(self) -> list[str]:
        """Let time pass for what is held; gives the indices that their policies have deleted."""
        self.holdings.age = self._clock.monotonic() - self._since
        return self.holdings.delete_old()

    @property
    def master(self) -> str | None:
        """The elected node; None before there is one."""
        if not self._formed:
            here = len(self._masters & self.nodes.keys())
            self._formed = here > len(self._masters) // 2 or not self._masters
        return min(self.nodes, default=None) if self._formed else None

    def health(self, indices: list[Index]) -> Obj:
        """As `_cluster/health` says it."""
        count = len(self.nodes)
        wanted = sum(1 + index.replicas for index in indices)
        active = sum(min(1 + index.replicas, count) for index in indices)
        return {
            "cluster_name": self.name, "status": "green" if active == wanted else "yellow", "timed_out": False, "number_of_nodes": count,
            "number_of_data_nodes": count, "active_primary_shards": len(indices), "active_shards": active, "relocating_shards": 0,
            "initializing_shards": 0, "unassigned_shards": wanted - active, "delayed_unassigned_shards": 0, "number_of_pending_tasks": 0,
            "number_of_in_flight_fetch": 0, "task_max_waiting_in_queue_millis": 0,
            "active_shards_percent_as_number": 100.0 if not wanted else round(100.0 * active / wanted, 1),
        }  # fmt: skip

    def new_token(self, name: str) -> str:
        """A token for a service; the name must be free."""
        value = "AAEAAWVsYXN0aWMva2liYW5h" + secrets.token_urlsafe(24)
        self.holdings.tokens[name] = value
        return value
