"""Bringing PoETs up, and activating them."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
from prefect import task
from prefect.cache_policies import NO_CACHE

from networks import labels
from networks.errors import Permanent, Transient
from networks.spacemesh.plan import PoetPlan
from networks.spacemesh.poet import REST_PORT
from tasks.kubernetes.ensure import all_of, ensure_objects
from tasks.retrying import retry_transient, worth_retrying
from tasks.spacemesh.miners import node_port, roll_out
from tasks.spacemesh.poet import Activation, PoetServer, poet_client
from tasks.spacemesh.site import RunningMiner, RunningPoet, Site

_PATIENCE = 45.0  # seconds: a PoET asks all its gateways before it answers


@task(
    name="ensure PoETs",
    description="Make the PoETs' objects, all at once, and wait until they answer.",
    retries=1,
    retry_delay_seconds=3,
    retry_condition_fn=worth_retrying,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def ensure_poets(site: Site) -> tuple[RunningPoet, ...]:
    """The PoETs, in the plan's order whichever comes up first."""
    plan = site.plan
    await all_of([_ensure_objects(site, poet) for poet in plan.poets])
    pods = await roll_out(site, [poet.name for poet in plan.poets], labels.selector(plan.name, component="poet"), "PoETs")
    running = tuple(
        RunningPoet(poet, plan.poet_address(poet, node_port(site, poet.name, "rest")), pods[poet.name]["spec"]["nodeName"]) for poet in plan.poets
    )
    site.log(f"{len(running)} PoETs ready: {', '.join(poet.address for poet in running[:5])}")
    return running


async def _ensure_objects(site: Site, poet: PoetPlan) -> None:
    for obj in site.plan.poet_objects(poet):
        await ensure_objects(site.k8s, [obj], site.present, site.tally)


@task(
    name="activate PoETs",
    description="Give every PoET its gateways: the first miners' gRPC addresses. PoETs that start by themselves need none.",
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def activate_poets(site: Site, poets: Sequence[RunningPoet], miners: Sequence[RunningMiner]) -> dict[str, Activation]:
    """How each PoET came to run. Permanent, with what it says, when one refuses."""
    grpc = {miner.plan.name: miner.grpc for miner in miners}
    gateways = [grpc[miner.name] for miner in site.plan.gateways]
    async with poet_client() as client:
        outcomes = await all_of([_activate(site, client, poet, gateways) for poet in poets])
    for poet, outcome in zip(poets, outcomes, strict=True):
        site.log(f"{poet.plan.name}: {outcome.value}")
    return {poet.plan.name: outcome for poet, outcome in zip(poets, outcomes, strict=True)}


async def _activate(site: Site, client: httpx.AsyncClient, poet: RunningPoet, gateways: list[str]) -> Activation:
    pod = site.pods[poet.plan.name]["metadata"]["name"]

    async def attempt() -> Activation:
        async with site.reach.port(poet.address, site.plan.namespace, pod, REST_PORT) as via:
            return await PoetServer(poet.address, client, via).activate(gateways)

    try:
        return await retry_transient(attempt, patience=_PATIENCE)
    except Transient as error:
        raise Permanent(f"{poet.plan.name} cannot be activated", why=f"{error.what}: {error.why}", advice=error.advice) from None
