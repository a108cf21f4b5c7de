"""Whether a network finds room on a cluster's worker nodes, and where its bootnodes go."""

from __future__ import annotations

from typing import Any

from networks.errors import Problem
from networks.spacemesh import nodes
from networks.spacemesh.nodes import Load, Pin, WorkerNode
from networks.spacemesh.rules import FIRST_P2P_PORT
from networks.spacemesh.settings import Settings


def pins(settings: Settings, usable: tuple[WorkerNode, ...]) -> tuple[Pin, ...]:
    """Places of the bootstrap node and the bootnodes: in turn over the nodes that have what a miner needs."""
    wanted = settings.miners
    count = wanted.bootnodes + int(settings.bootstrap)
    fitting = tuple(node for node in usable if node.takes(wanted.gpus, wanted.gpu_type)) or usable
    return nodes.round_robin([FIRST_P2P_PORT + number for number in range(1, count + 1)], fitting, settings.node_address)


def loads(settings: Settings, pinned: tuple[Pin, ...]) -> tuple[Load, ...]:
    """What all pods ask for, in the order in which they are created."""
    poets = [Load(f"poet-{i}", settings.poets.cpu, settings.poets.memory) for i in range(settings.poets.count)]
    wanted = settings.miners
    places = [pin.node for pin in pinned] + [""] * (wanted.count - len(pinned))
    miners = (
        Load(f"miner-{n}", wanted.cpu, wanted.memory, place, FIRST_P2P_PORT + n, wanted.gpus, wanted.gpu_type)
        for n, place in enumerate(places, start=1)
    )
    return (*poets, *miners)


def size(settings: Settings) -> tuple[Any, ...]:
    """What decides how much room a network takes."""
    miners, poets = settings.miners, settings.poets
    return (miners.count, miners.cpu, miners.memory, miners.gpus, miners.gpu_type, poets.cpu, poets.memory)


def problems(settings: Settings, all_nodes: tuple[WorkerNode, ...], pinned: tuple[Pin, ...] | None = None) -> list[Problem]:
    """Why the cluster cannot take the network. `pinned`: where bootnodes are already."""
    usable = nodes.usable(all_nodes)
    if not usable:
        return [Problem("cluster", f"none of its {len(all_nodes)} worker nodes is schedulable", "uncordon a node, or add one")]
    silent = [node.name for node in usable if not node.address(settings.node_address)]
    if silent:
        return [Problem("node_address", f"worker nodes without an address: {', '.join(silent[:5])}", "give them one, or cordon them")]
    left_over = nodes.misfits(loads(settings, pins(settings, usable) if pinned is None else pinned), usable)
    if not left_over:
        return []
    first = left_over[0]
    more = f" (and {len(left_over) - 1} more)" if len(left_over) > 1 else ""
    group = "poets" if first.load.name.startswith("poet") else "miners"
    advice = "ask for fewer or smaller ones, delete what is there, or add worker nodes"
    return [Problem(f"{group}.count", f"{first.load.name}{more} does not fit: {first.why}", advice)]
