"""delete-network: everything of a network, and nothing else."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import Field

from tasks.kubernetes.connection import connected
from tasks.spacemesh.deleting import DeletionReport, delete_everything, find_network, planned_deletion, report_deletion


@flow(name="delete-network", flow_run_name="delete {network}", result_serializer="json")
async def delete_network(
    network: Annotated[str, Field(min_length=1, max_length=40)],
    cluster: Annotated[str, Field(min_length=1)] = "lab",
    plan_only: bool = False,
    gone_within_minutes: Annotated[int, Field(ge=1, le=240)] = 10,
) -> DeletionReport:
    """Delete everything that is labelled as a network's own, and wait until it is gone.

    The namespace goes with it, unless something of others is in it. A namespace that Cosmodrome did not make is refused. Safe to run twice.

    Args:
        network: The network's name.
        cluster: Name of the Cluster block that it runs on.
        plan_only: Show what would be deleted, and delete nothing.
        gone_within_minutes: How long it may take until all is gone; after that the flow fails and says what remains and why.
    """
    async with connected(cluster) as k8s:
        found = await find_network(k8s, network)
        if found is None:
            return await report_deletion(DeletionReport(network=network))
        if plan_only:
            return await report_deletion(planned_deletion(network, found))
        return await report_deletion(await delete_everything(k8s, network, found, gone_within_minutes * 60))
