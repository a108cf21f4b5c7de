"""Deleting a network: everything that is labelled as its own, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, Field

from networks import labels
from networks.errors import Permanent
from networks.spacemesh import publication
from networks.spacemesh.record import RECORD_NAME
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.deleting import (
    Contents,
    delete_objects,
    look_into,
    remaining_volumes,
    wait_until_namespace_gone,
    wait_until_objects_gone,
)
from tasks.kubernetes.errors import NotThere
from tasks.kubernetes.kinds import CONFIG_MAP, NAMESPACE, Obj
from tasks.reporting import logger, show_table
from tasks.retrying import worth_retrying
from tasks.spacemesh.bucket import InBucket


class DeletionReport(BaseModel):
    """What became of a network.

    `deleted`: its objects, counted by kind; `published`: what was removed from data buckets; `remains`: what is still there, each with why.
    """

    network: str
    namespace: str = ""
    planned_only: bool = False
    deleted: dict[str, int] = Field(default_factory=dict)
    namespace_gone: bool = False
    published: list[str] = Field(default_factory=list)
    remains: list[str] = Field(default_factory=list)

    def as_text(self) -> str:
        """For people."""
        word = "would delete" if self.planned_only else "deleted"
        if self.namespace:
            what = ", ".join(f"{count} {kind}" for kind, count in sorted(self.deleted.items())) or "nothing"
            first = f"{self.network}: {word} {what} in namespace {self.namespace}{' and the namespace itself' if self.namespace_gone else ''}"
        elif self.published or self.remains:
            first = f"{self.network}: there is no such network on the cluster"
        else:
            first = f"{self.network}: there is no such network; nothing to delete"
        return "\n".join([first, *(f"  {word} {url}" for url in self.published), *(f"  remains: {one}" for one in self.remains)])

    def with_published(self, objects: Sequence[InBucket]) -> DeletionReport:
        """The same with what became, or would become, of the network's objects in data buckets."""
        gone, stay = [one.url for one in objects if not one.stays], [str(one) for one in objects if one.stays]
        return self.model_copy(update={"published": gone, "remains": [*self.remains, *stay]})


@dataclass(frozen=True)
class Found:
    """A network's namespace and what is in it."""

    namespace: Obj
    contents: Contents

    @property
    def name(self) -> str:
        """The namespace's name."""
        return str(self.namespace["metadata"]["name"])

    @property
    def uid(self) -> str:
        """Which namespace of that name it is."""
        return str(self.namespace["metadata"]["uid"])

    @property
    def going(self) -> bool:
        """Whether its deletion was asked for already."""
        return bool(self.namespace["metadata"].get("deletionTimestamp"))

    @property
    def run(self) -> str | None:
        """The run that made the network."""
        return (self.namespace["metadata"].get("labels") or {}).get(labels.RUN)

    @property
    def noted_buckets(self) -> tuple[str, ...]:
        """The Bucket blocks that the network's record names; none in records of old."""
        records = [one.obj["metadata"] for one in self.contents.ours if (one.kind, one.obj["metadata"]["name"]) == (CONFIG_MAP, RECORD_NAME)]
        return tuple(name for meta in records for name in publication.noted_buckets(meta.get("annotations")))

    def by_kind(self) -> dict[str, int]:
        """How many objects of each kind are the network's."""
        kinds = [one.kind.kind for one in self.contents.ours]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


@task(
    name="find network",
    description="The network's namespace, found by its labels, and everything in it, sorted by whose it is.",
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=worth_retrying,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def find_network(k8s: Connection, network: str) -> Found | None:
    """None when there is no such network. Permanent when a namespace has its name and is somebody else's."""
    found, _ = await k8s.find(NAMESPACE, labels=labels.selector(network))
    if not found:
        await _refuse_foreign(k8s, network)
        return None
    if len(found) > 1:
        names = ", ".join(obj["metadata"]["name"] for obj in found)
        raise Permanent(f"network {network} has several namespaces: {names}", advice="take the label cosmodrome.dev/network off the wrong ones")
    return Found(found[0], await look_into(k8s, found[0]["metadata"]["name"], network))


async def _refuse_foreign(k8s: Connection, network: str) -> None:
    try:
        namespace = await k8s.get(NAMESPACE, None, network)
    except NotThere:
        return
    owner = labels.network_of(namespace["metadata"].get("labels"))
    whose = f"belongs to network {owner}" if owner else "was not made by Cosmodrome"
    raise Permanent(
        f"namespace {network} exists, but {whose}", advice="nothing was deleted; delete it with kubectl if you mean it, or name another network"
    )


@task(
    name="delete everything",
    description="Delete the network's objects, with the namespace when nothing of others is in it, and wait until they are gone.",
    retries=1,
    retry_delay_seconds=3,
    retry_condition_fn=worth_retrying,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def delete_everything(k8s: Connection, network: str, found: Found, within: float) -> DeletionReport:
    """What went and what stayed. `within`: seconds until it must be gone; then Permanent, with what it waits for."""
    report = DeletionReport(network=network, namespace=found.name, deleted=found.by_kind())
    why_kept = found.contents.keeps_namespace()
    if why_kept and not found.going:
        logger().warning("namespace %s is kept: %s", found.name, why_kept)
        await delete_objects(k8s, found.contents.ours)
        await wait_until_objects_gone(k8s, found.name, network, seconds=within)
        report.remains = [f"Namespace {found.name}: {why_kept}"]
    else:
        try:
            await k8s.delete(NAMESPACE, None, found.name, uid=found.uid)
        except NotThere:
            logger().info("namespace %s is gone already", found.name)
        await wait_until_namespace_gone(k8s, found.name, found.uid, seconds=within)
        report.namespace_gone = True
    report.remains += await remaining_volumes(k8s, found.name)
    return report


@task(name="report deletion", description="What went and what stayed.", cache_policy=NO_CACHE, persist_result=False)
async def report_deletion(report: DeletionReport) -> DeletionReport:
    """The report, shown."""
    logger().info(report.as_text())
    rows = [{"what": kind, "how many": str(count)} for kind, count in report.deleted.items()]
    rows += [{"what": url, "how many": "1"} for url in report.published]
    rows += [{"what": f"remains: {one}", "how many": ""} for one in report.remains]
    await show_table(f"{report.network}-deleted", rows, report.as_text().splitlines()[0])
    return report


def planned_deletion(network: str, found: Found | None) -> DeletionReport:
    """What would be deleted."""
    if found is None:
        return DeletionReport(network=network, planned_only=True)
    why_kept = found.contents.keeps_namespace()
    return DeletionReport(
        network=network,
        namespace=found.name,
        planned_only=True,
        deleted=found.by_kind(),
        namespace_gone=not why_kept,
        remains=[f"Namespace {found.name}: {why_kept}"] if why_kept else [],
    )
