"""The end of a network's first deployment."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from networks.spacemesh.record import RECORD_NAME, read_record
from tasks.kubernetes.ensure import Outcome
from tasks.kubernetes.kinds import CONFIG_MAP
from tasks.retrying import worth_retrying
from tasks.spacemesh.recording import another_run, write_record
from tasks.spacemesh.site import Site


@task(
    name="complete network",
    description="Note in the network's record that its first deployment is complete: from now on what it is stays as it is.",
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=worth_retrying,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def complete_network(site: Site) -> None:
    """Once in a network's life; later runs find it noted."""
    plan = site.plan
    if plan.record.completed is not None:
        return
    current = await site.k8s.get(CONFIG_MAP, plan.namespace, RECORD_NAME)
    found = read_record(current)
    if found.completed is not None and found == plan.record.completed_at(found.completed):
        return  # another run of the same was quicker, or this is a second attempt
    if found != plan.record:
        raise another_run(plan)
    after = await write_record(site.k8s, plan, current, plan.record.completed_at(datetime.now(UTC)))
    site.tally.note(after, Outcome.CHANGED)
