"""deploy-network: a Spacemesh network from nothing."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field

from networks.spacemesh.model import SpacemeshNetwork
from networks.spacemesh.report import NetworkReport
from tasks.kubernetes.connection import connected
from tasks.spacemesh.checks import check_before_spending
from tasks.spacemesh.completing import complete_network
from tasks.spacemesh.miners import check_genesis_met, ensure_miners, waves
from tasks.spacemesh.planning import PlanReport, show_plan
from tasks.spacemesh.poets import activate_poets, ensure_poets
from tasks.spacemesh.publishing import publish_config, report
from tasks.spacemesh.site import ensure_site


@flow(name="deploy-network", flow_run_name="deploy {network.name}", result_serializer="json")
async def deploy_network(
    network: SpacemeshNetwork,
    cluster: Annotated[str, Field(min_length=1)] = "lab",
    data_bucket: str | None = None,
    plan_only: bool = False,
    ready_within_minutes: Annotated[int, Field(ge=1, le=240)] = 15,
) -> NetworkReport | PlanReport:
    """Create a Spacemesh network from nothing, or finish one that was begun.

    Run it again after whatever happened: what is there already is kept, keys, identities and genesis time above all, and what is missing is made.
    It changes nothing about a network that is as it was asked for, and refuses to turn it into another one.

    Until the first deployment is complete, mistakes may be put right by asking otherwise: images, CPU and memory, switches, the node configuration,
    more miners, and the genesis delay when genesis was missed.

    Args:
        network: What to deploy.
        cluster: Name of the Cluster block to deploy to.
        data_bucket: Name of the Bucket block to publish the node configuration to. Empty: it is not published. What is there and is not the
            network's own is never overwritten.
        plan_only: Show what would be made, and make nothing.
        ready_within_minutes: How long a group of pods (the PoETs, the bootnodes, a batch of miners) may take to become ready.
    """
    async with connected(cluster) as k8s:
        checked = await check_before_spending(k8s, network, flow_run.id or "by-hand", data_bucket)
        if plan_only:
            return await show_plan(checked.plan)
        site = await ensure_site(k8s, network, checked, ready_within_minutes * 60)
        plan = site.plan
        poets = await ensure_poets(site)
        miners = await ensure_miners(site, "bootstrap node", plan.bootstrap, poets, known=())
        miners += await ensure_miners(site, "bootnodes", plan.bootnodes, poets, known=miners)
        for wave in waves(plan):
            miners += await ensure_miners(site, wave.what, wave.miners, poets, known=miners)
        await check_genesis_met(site)
        activations = await activate_poets(site, poets, miners)
        published = await publish_config(site, data_bucket, poets, miners)
        await complete_network(site)
        return await report(site, poets, miners, activations, published)
