"""delete-network: everything of a network, and nothing else."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import Field

from tasks.kubernetes.connection import connected
from tasks.spacemesh.bucket import delete_published, find_published
from tasks.spacemesh.deleting import DeletionReport, delete_everything, find_network, planned_deletion, report_deletion


@flow(name="delete-network", flow_run_name="delete {network}", result_serializer="json")
async def delete_network(
    network: Annotated[str, Field(min_length=1, max_length=40)],
    cluster: Annotated[str, Field(min_length=1)] = "lab",
    data_bucket: str | None = None,
    plan_only: bool = False,
    gone_within_minutes: Annotated[int, Field(ge=1, le=240)] = 10,
) -> DeletionReport:
    """Delete everything that is labelled as a network's own, and wait until it is gone.

    What it published goes too, from every data bucket that its record names and the one that is given here.
    The namespace goes with it, unless something of others is in it. A namespace that Cosmodrome did not make is refused. Safe to run twice.

    Args:
        network: The network's name.
        cluster: Name of the Cluster block that it runs on.
        data_bucket: Name of a Bucket block to remove the network's configuration from. Only needed when the network is gone already, or was
            deployed by a version that did not note where it was published.
        plan_only: Show what would be deleted, and delete nothing.
        gone_within_minutes: How long it may take until all is gone; after that the flow fails and says what remains and why.
    """
    async with connected(cluster) as k8s:
        found = await find_network(k8s, network)
        run, noted = (found.run, found.noted_buckets) if found else (None, ())
        published = await find_published(network, run, noted, data_bucket)
        if plan_only:
            report = planned_deletion(network, found)
        else:
            published = await delete_published(network, run, published)  # first: without the network's record nobody would find it
            report = await delete_everything(k8s, network, found, gone_within_minutes * 60) if found else DeletionReport(network=network)
        return await report_deletion(report.with_published(published))
