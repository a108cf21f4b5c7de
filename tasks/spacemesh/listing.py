"""The networks of a cluster, found by their labels: a handful of lists, however many networks there are."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel

from networks import labels
from networks.errors import Permanent
from networks.spacemesh import node_config
from networks.spacemesh.addresses import host_port
from networks.spacemesh.record import RECORD_NAME, NetworkRecord, read_record
from networks.spacemesh.report import MinerRow, NetworkReport, PoetRow
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.kinds import CONFIG_MAP, DEPLOYMENT, NAMESPACE, NODE, POD, SERVICE, Kind, Obj
from tasks.kubernetes.nodes import as_worker_node, host_ports
from tasks.kubernetes.rollout import pod_of, rolled_out
from tasks.reporting import logger, show_table
from tasks.retrying import worth_retrying
from tasks.spacemesh.asking import Node, Told, ask_nodes


class NetworkList(BaseModel):
    """The networks of a cluster."""

    cluster: str
    networks: list[NetworkReport]

    def table(self) -> list[dict[str, str]]:
        """A row for every network."""
        return [
            {
                "network": one.network,
                "namespace": one.namespace,
                "network id": one.network_id,
                "layer": "" if one.current_layer is None else str(one.current_layer),
                "synced": one.synced,
                "miners": f"{sum(row.ready for row in one.miners)}/{len(one.miners)}",
                "PoETs": f"{sum(row.ready for row in one.poets)}/{len(one.poets)}",
                "image": one.node_image,
                "genesis": one.genesis.isoformat() if one.genesis else "",
                "expires": one.expires.isoformat() if one.expires else "",
                "hosts": one.hosts(),
            }
            for one in self.networks
        ]

    def as_text(self) -> str:
        """For people."""
        if not self.networks:
            return f"no networks on cluster {self.cluster}"
        return "\n\n".join(_paragraph(row, one) for row, one in zip(self.table(), self.networks, strict=True))


def _paragraph(row: dict[str, str], network: NetworkReport) -> str:
    lines = [f"{key:<11}{value}" for key, value in row.items() if value]
    lines += [f"{'p2p':<11}{miner.p2p_address}/{miner.name}" for miner in network.miners if miner.p2p_address]
    return "\n".join([*lines, *(f"{'warning':<11}{text}" for text in network.warnings)])


@dataclass(frozen=True)
class Seen:
    """What a cluster has of networks: objects by namespace, and the addresses of its worker nodes."""

    namespaces: tuple[Obj, ...]
    objects: Mapping[tuple[str, str], list[Obj]]  # (namespace, kind)
    nodes: Mapping[str, Obj]

    def of(self, namespace: str, kind: Kind) -> list[Obj]:
        """The objects of a kind in a namespace."""
        return self.objects.get((namespace, kind.kind), [])


@task(
    name="find networks",
    description="All networks on the cluster, with their miners' and PoETs' addresses, and how the miners do.",
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=worth_retrying,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def find_networks(k8s: Connection, cluster: str, ask: bool) -> NetworkList:
    """The networks, by name. `ask`: also ask every miner that is ready who it is and how it does."""
    kinds = (CONFIG_MAP, DEPLOYMENT, SERVICE, POD)
    selector = labels.selector()
    (namespaces, _), (nodes, _), *lists = await asyncio.gather(
        k8s.find(NAMESPACE, labels=selector),
        k8s.find(NODE),
        k8s.find(CONFIG_MAP, fields=f"metadata.name={RECORD_NAME}", labels=selector),
        *(k8s.find(kind, labels=selector) for kind in kinds[1:]),
    )
    objects: dict[tuple[str, str], list[Obj]] = defaultdict(list)
    for kind, (found, _) in zip(kinds, lists, strict=True):
        for obj in found:
            objects[obj["metadata"]["namespace"], kind.kind].append(obj)
    seen = Seen(tuple(namespaces), objects, {node["metadata"]["name"]: node for node in nodes})
    described = sorted((describe_network(seen, namespace) for namespace in namespaces), key=lambda one: one[0].network)
    networks = await _asked(k8s, described) if ask else [report for report, _ in described]
    made = NetworkList(cluster=cluster, networks=networks)
    for one in made.networks:
        await show_table(f"{one.network}-on-{cluster}", one.miner_table(), f"Miners of {one.network}")
    await show_table(f"networks-of-{cluster}", made.table(), f"Networks on cluster {cluster}")
    return made


async def _asked(k8s: Connection, described: Sequence[tuple[NetworkReport, list[Node]]]) -> list[NetworkReport]:
    told, warnings = await ask_nodes(k8s, [node for _, nodes in described for node in nodes])
    by_name = {(node.namespace, node.name): answer for node, answer in told.items()}

    def complete(namespace: str, row: MinerRow) -> MinerRow:
        answer = by_name.get((namespace, row.name), Told())
        status = answer.status
        return row.model_copy(
            update={
                "p2p_address": answer.p2p_address,
                "layer": status.top_layer if status else None,
                "synced": status.is_synced if status else None,
            }
        )

    for warning in warnings:
        logger().warning(warning)
    return [report.model_copy(update={"miners": tuple(complete(report.namespace, row) for row in report.miners)}) for report, _ in described]


def describe_network(seen: Seen, namespace: Obj) -> tuple[NetworkReport, list[Node]]:
    """One network, from its objects alone; and the nodes that could be asked for more."""
    meta = namespace["metadata"]
    network = labels.network_of(meta.get("labels")) or ""
    name = meta["name"]
    warnings: list[str] = []
    record = _record(seen.of(name, CONFIG_MAP), warnings)
    if meta.get("deletionTimestamp"):
        warnings.append("is being deleted")
    kind = record.settings.node_address if record else "external"
    addresses = {node: as_worker_node(obj, ()).address(kind) for node, obj in seen.nodes.items()}
    deployments = seen.of(name, DEPLOYMENT)
    miners = [(d, _Place.of(seen, name, d, addresses)) for d in _of_component(deployments, "miner")]
    report = NetworkReport(
        network=network,
        namespace=name,
        network_id=node_config.network_id(record.node_config) if record else "",
        genesis=record.genesis if record else None,
        expires=labels.expiry_of(meta.get("labels")),
        node_image=record.settings.images.node if record else "",
        poets=tuple(_poet_row(d, _Place.of(seen, name, d, addresses), record) for d in _of_component(deployments, "poet")),
        miners=tuple(_miner_row(d, place) for d, place in miners),
        warnings=tuple(warnings),
    )
    return report, [_node(name, d, place, record) for d, place in miners if place.address("grpc") and rolled_out(d)]


def _node(namespace: str, deployment: Obj, place: _Place, record: NetworkRecord | None) -> Node:
    """A miner to be asked. Bootnodes are known by the address that they were pinned to."""
    name = deployment["metadata"]["name"]
    number = _number(name)[1]
    pins = record.pins if record else ()
    host = pins[number - 1].address if 0 < number <= len(pins) else place.host
    return Node(namespace, name, place.pod, place.address("grpc"), host, place.p2p_port)


@dataclass(frozen=True)
class _Place:
    """Where a workload's pod runs, and which of its ports lead there."""

    pod: str
    node: str
    host: str
    ports: Mapping[str, int]
    p2p_port: int  # of its machine; 0: none

    @classmethod
    def of(cls, seen: Seen, namespace: str, deployment: Obj, addresses: Mapping[str, str]) -> _Place:
        pods = {pod["metadata"]["name"]: pod for pod in seen.of(namespace, POD)}
        pod = pod_of(deployment, pods) or {"metadata": {"name": ""}}
        spec = pod.get("spec") or {}
        node = str(spec.get("nodeName") or "")
        services = [s for s in seen.of(namespace, SERVICE) if s["metadata"]["name"] == deployment["metadata"]["name"]]
        ports = {p["name"]: p["nodePort"] for s in services for p in s["spec"].get("ports") or [] if p.get("nodePort")}
        return cls(pod["metadata"]["name"], node, addresses.get(node, ""), ports, next(iter(host_ports(spec)), 0))

    def address(self, port: str) -> str:
        """`host:port` from outside; empty when it is not known."""
        return host_port(self.host, self.ports[port]) if self.host and port in self.ports else ""


def _record(found: list[Obj], warnings: list[str]) -> NetworkRecord | None:
    for obj in found:
        try:
            return read_record(obj)
        except Permanent as error:
            warnings.append(str(error))
    return None


def _of_component(deployments: Iterable[Obj], component: str) -> list[Obj]:
    own = [d for d in deployments if d["metadata"]["labels"].get(labels.COMPONENT) == component]
    return sorted(own, key=lambda d: _number(d["metadata"]["name"]))


def _number(name: str) -> tuple[str, int]:
    word, _, number = name.rpartition("-")
    return (word, int(number)) if number.isdecimal() else (name, 0)


def _image(deployment: Mapping[str, Any]) -> str:
    return str(deployment["spec"]["template"]["spec"]["containers"][0].get("image", ""))


def _miner_row(deployment: Obj, place: _Place) -> MinerRow:
    meta = deployment["metadata"]
    return MinerRow(
        name=meta["name"],
        role=meta["labels"].get(labels.ROLE, ""),
        node=place.node,
        grpc=place.address("grpc"),
        json_api=place.address("json"),
        image=_image(deployment),
        ready=rolled_out(deployment),
    )


def _poet_row(deployment: Obj, place: _Place, record: NetworkRecord | None) -> PoetRow:
    """A PoET under the address that miners have in their configuration, which stays when its pod goes to another machine."""
    name = deployment["metadata"]["name"]
    hosts = {f"poet-{index}": host for index, host in enumerate(record.poet_hosts)} if record else {}
    known = replace(place, host=hosts.get(name, place.host))
    return PoetRow(name=name, address=known.address("rest"), node=place.node, ready=rolled_out(deployment))
