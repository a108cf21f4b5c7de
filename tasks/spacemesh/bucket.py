"""A network's place in a data bucket: looked at before anything is spent, found and cleared when the network is deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from networks.errors import Permanent, Transient
from networks.labels import Ownership
from networks.spacemesh import publication
from tasks.reporting import logger
from tasks.retrying import retry_transient, worth_retrying
from tasks.storage import check_ours, find_object, load_bucket, remove_object

_PATIENCE = 20.0  # seconds


@dataclass(frozen=True)
class InBucket:
    """A network's object in a bucket. `block`: the Bucket block's name. `stays`: why it will not be removed; empty when it will."""

    block: str
    url: str
    stays: str = ""

    def __str__(self) -> str:
        return f"{self.url}: {self.stays}" if self.stays else self.url


async def check_data_bucket(name: str, owner: Ownership) -> None:
    """Permanent when the network cannot be published there: no such block, no such bucket, no right to look, or another's object in its place."""
    block = await load_bucket(name)
    document = publication.object_name(owner.network)
    if there := await find_object(block, document):
        check_ours(block, document, there.marks, owner)


@task(
    name="find published",
    description="What the network has published: in the data bucket that was named, and in those that its record names.",
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=worth_retrying,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def find_published(network: str, run: str | None, noted: Sequence[str], named: str | None) -> tuple[InBucket, ...]:
    """The network's objects, also those that cannot be looked at or are another's: these stay, each with why.

    `run`: the run that made the network, None when nobody knows. `noted`: Bucket blocks that its record names; a bucket that is gone since does
    not keep a network from being deleted. `named`: the one that this run was given; an error when there is no such.
    """
    found = []
    for block in dict.fromkeys([*([named] if named else []), *noted]):
        try:
            one = await _look(block, network, run)
        except (Transient, Permanent) as error:
            if block == named:
                raise
            one = InBucket(block, f"{publication.object_name(network)} in Bucket block {block}", str(error))
        if one:
            found.append(one)
    return tuple(found)


async def _look(name: str, network: str, run: str | None) -> InBucket | None:
    block = await load_bucket(name)
    document = publication.object_name(network)
    there = await retry_transient(lambda: find_object(block, document), patience=_PATIENCE)
    return InBucket(name, block.url(document), publication.not_ours(there.marks, network, run)) if there else None


@task(
    name="delete published",
    description="Remove what the network has published, if nobody wrote to it since.",
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def delete_published(network: str, run: str | None, found: Sequence[InBucket]) -> tuple[InBucket, ...]:
    """The same, with what became of each. What cannot be removed does not keep the network from being deleted: it stays, with why."""
    return tuple([one if one.stays else await _remove(one, network, run) for one in found])


async def _remove(one: InBucket, network: str, run: str | None) -> InBucket:
    try:
        block = await load_bucket(one.block)
        await retry_transient(lambda: remove_object(block, publication.object_name(network), network, run), patience=_PATIENCE)
    except (Transient, Permanent) as error:
        logger().warning("%s stays: %s", one.url, error)
        return InBucket(one.block, one.url, f"{error} (`delete-network` with data_bucket {one.block} tries again)")
    return one
