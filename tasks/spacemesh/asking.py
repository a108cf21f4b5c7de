"""Asking many nodes at once how they do: for a list, so what is not known in time stays unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from networks.errors import Permanent, Transient
from networks.spacemesh.addresses import P2pAddress
from networks.spacemesh.miner import GRPC_PORT
from tasks.kubernetes.connection import Connection
from tasks.reporting import logger
from tasks.spacemesh.miners import logged_identity
from tasks.spacemesh.node import NodeStatus, NotServed, SpacemeshNode, spacemesh_node
from tasks.spacemesh.reach import NoWay, Reach

T = TypeVar("T")

_AT_ONCE = 32
_DIRECT_SECONDS = 2.0  # node ports of what has been running for a while
_EACH_SECONDS = 8.0
_ALL_SECONDS = 45.0


@dataclass(frozen=True)
class Node:
    """A node to ask: its pod, and what leads there. `host` and `port`: where others reach it for p2p; port 0 when that is not known."""

    namespace: str
    name: str
    pod: str
    grpc: str
    host: str
    port: int


@dataclass(frozen=True)
class Told:
    """What a node told; empty or None where it did not."""

    p2p_address: str = ""
    status: NodeStatus | None = None


async def ask_nodes(k8s: Connection, nodes: Sequence[Node]) -> tuple[dict[Node, Told], tuple[str, ...]]:
    """What each node told, and warnings about the way there. Takes at most some 45 seconds, whatever does not answer."""
    reach = Reach(k8s, direct_seconds=_DIRECT_SECONDS)
    slots = asyncio.Semaphore(_AT_ONCE)
    told: dict[Node, Told] = {}

    async def ask(node: Node) -> None:
        async with slots:
            told[node] = await _within(_EACH_SECONDS, _ask(k8s, reach, node)) or Told()

    asking = [asyncio.create_task(ask(node)) for node in nodes]
    try:
        if asking:
            await asyncio.wait(asking, timeout=_ALL_SECONDS)
    finally:
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    if silent := [node.name for node in nodes if told.get(node, Told()) == Told()]:
        logger().warning("%d of %d nodes told nothing: %s%s", len(silent), len(nodes), ", ".join(silent[:8]), " …" if len(silent) > 8 else "")
    return told, reach.warnings


async def _ask(k8s: Connection, reach: Reach, node: Node) -> Told:
    try:
        async with reach.port(node.grpc, node.namespace, node.pod, GRPC_PORT) as address, spacemesh_node(address) as asked:
            status = await _unless_trouble(asked.status())
            identity = await _identity(k8s, asked, node, answers=status is not None)
    except NoWay:
        identity, status = await _unless_trouble(logged_identity(k8s, node.namespace, node.pod)), None
    return Told(str(P2pAddress(node.host, node.port, identity)) if identity and node.port else "", status)


async def _identity(k8s: Connection, asked: SpacemeshNode, node: Node, answers: bool) -> str | None:
    """Raises Transient when the node answers nothing at all, so that the way to it can tell why."""
    try:
        return await asked.identity()
    except NotServed:  # a node of old
        return await _unless_trouble(logged_identity(k8s, node.namespace, node.pod))
    except Permanent:
        return None
    except Transient:
        if answers:
            return None
        raise


async def _unless_trouble(answer: Awaitable[T]) -> T | None:
    with suppress(Transient, Permanent):
        return await answer
    return None


async def _within(seconds: float, answer: Awaitable[T]) -> T | None:
    with suppress(TimeoutError, Transient, Permanent):
        async with asyncio.timeout(seconds):
            return await answer
    return None
