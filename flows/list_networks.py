"""list-networks: what runs on a cluster, and where to reach it."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import Field

from tasks.kubernetes.connection import connected
from tasks.spacemesh.listing import NetworkList, find_networks


@flow(name="list-networks", flow_run_name="list networks on {cluster}", result_serializer="json")
async def list_networks(cluster: Annotated[str, Field(min_length=1)] = "lab", ask_nodes: bool = True) -> NetworkList:
    """All networks on a cluster, each with its miners' hosts, also as spacemesh-watch takes them (`ip:port/miner-n,…`).

    Args:
        cluster: Name of the Cluster block.
        ask_nodes: Ask every miner for its p2p address, its current layer and whether it is synced. What does not answer in time stays empty.
    """
    async with connected(cluster) as k8s:
        return await find_networks(k8s, cluster, ask_nodes)
