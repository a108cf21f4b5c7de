"""Telling the rest of the world of a network: its configuration in the data bucket, and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from networks.spacemesh import publication
from networks.spacemesh.record import RECORD_NAME
from networks.spacemesh.report import Changes, MinerRow, NetworkReport, PoetRow
from tasks.kubernetes.ensure import Outcome
from tasks.kubernetes.kinds import CONFIG_MAP
from tasks.reporting import show_link, show_table
from tasks.retrying import retry_transient, worth_retrying
from tasks.spacemesh.poet import Activation
from tasks.spacemesh.site import RunningMiner, RunningPoet, Site
from tasks.storage import Published, load_bucket, publish_json

_PATIENCE = 20.0  # seconds


@task(
    name="publish node configuration",
    description="Put the ordinary miners' configuration into the data bucket, where home smeshers and later steps read it.",
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=worth_retrying,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def publish_config(site: Site, bucket: str | None, poets: Sequence[RunningPoet], miners: Sequence[RunningMiner]) -> Published | None:
    """Where it is; None when no bucket was named."""
    if not bucket:
        site.log("no data_bucket was given: the node configuration is not published")
        return None
    block = await load_bucket(bucket)
    addresses = {miner.plan.name: miner.p2p_address for miner in miners}
    seeds = tuple(addresses[miner.name] for miner in (site.plan.bootnodes or site.plan.bootstrap))
    document = site.plan.published_config(poets[0].address, seeds)
    await _note_bucket(site, bucket)
    published = await publish_json(block, site.plan.published_name, document, site.plan.owner)
    site.log(f"node configuration {published.outcome.value}: {published.url} (generation {published.generation})")
    return published


async def _note_bucket(site: Site, name: str) -> None:
    """Write down in the network's record where it is published, before it is: so that delete-network finds it by itself."""

    async def attempt() -> None:
        current = await site.k8s.get(CONFIG_MAP, site.plan.namespace, RECORD_NAME)
        meta = current["metadata"]
        known = publication.noted_buckets(meta.get("annotations"))
        if name in known:
            return
        changes = {"metadata": {"resourceVersion": meta["resourceVersion"], "annotations": publication.note([*known, name])}}
        after = await site.k8s.merge(CONFIG_MAP, site.plan.namespace, RECORD_NAME, changes)
        site.tally.note(after, Outcome.CHANGED)

    await retry_transient(attempt, patience=_PATIENCE)


@task(
    name="report",
    description="The network's tables and links.",
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def report(
    site: Site,
    poets: Sequence[RunningPoet],
    miners: Sequence[RunningMiner],
    activations: Mapping[str, Activation],
    published: Published | None,
) -> NetworkReport:
    """The network as it now is."""
    plan, tally = site.plan, site.tally
    made = NetworkReport(
        network=plan.name,
        namespace=plan.namespace,
        network_id=plan.network_id,
        genesis=plan.genesis,
        expires=plan.record.expires,
        node_image=plan.settings.images.node,
        changes=Changes(created=tally.created, changed=tally.changed, unchanged=tally.unchanged),
        poets=tuple(poet_row(poet, activations) for poet in poets),
        miners=tuple(miner_row(miner, plan.settings.images.node) for miner in miners),
        published=published.url if published else "",
        corrected=tuple(map(str, plan.corrections)),
        warnings=(*plan.warnings, *site.reach.warnings),
    )
    await show_table(f"{plan.name}-miners", made.miner_table(), f"Miners of {plan.name}")
    await show_table(f"{plan.name}-poets", made.poet_table(), f"PoETs of {plan.name}")
    if published:
        await show_link(f"{plan.name}-config", published.url, f"Node configuration of {plan.name}")
    site.log(f"{plan.name}: {made.changes}; {site.k8s.requests} requests to the API server")
    return made


def poet_row(poet: RunningPoet, activations: Mapping[str, Activation]) -> PoetRow:
    """A PoET in the report."""
    state = activations.get(poet.plan.name)
    return PoetRow(name=poet.plan.name, address=poet.address, node=poet.node, state=state.value if state else "", ready=True)


def miner_row(miner: RunningMiner, image: str) -> MinerRow:
    """A miner in the report."""
    return MinerRow(
        name=miner.plan.name,
        role=miner.plan.role.value,
        node=miner.node,
        p2p_address=miner.p2p_address,
        grpc=miner.grpc,
        json_api=miner.json_api,
        poet=miner.poet,
        image=image,
        ready=True,
    )
