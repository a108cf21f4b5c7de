"""Looking before anything is spent: is there a cluster, is there room, is this namespace ours, can genesis still be met; then the plan."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from networks import labels
from networks.errors import Permanent, Problem, SpecError
from networks.spacemesh.model import SpacemeshNetwork, resolve
from networks.spacemesh.nodes import WorkerNode
from networks.spacemesh.plan import Facts, NetworkPlan, make_plan
from networks.spacemesh.record import RECORD_NAME, NetworkRecord, read_record
from networks.spacemesh.settings import Settings
from tasks.documents import fetch_node_config
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.errors import NotThere
from tasks.kubernetes.kinds import CONFIG_MAP, DEPLOYMENT, NAMESPACE, STORAGE_CLASS, Obj
from tasks.kubernetes.nodes import worker_nodes
from tasks.kubernetes.rollout import rolled_out
from tasks.reporting import logger
from tasks.retrying import worth_retrying
from tasks.spacemesh.bucket import check_data_bucket

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True)
class Checked:
    """A plan that can be carried out, the worker nodes, and what of the network was there already."""

    plan: NetworkPlan
    nodes: tuple[WorkerNode, ...]
    in_time: frozenset[str]  # miners that were begun before genesis: whatever became of them since, they did not miss it
    namespace: Obj | None  # as it was, if it was there


@task(
    name="check before spending",
    description="Look at the cluster, the namespace, the data bucket and the node configuration, and plan the network. Changes nothing.",
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=worth_retrying,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def check_before_spending(k8s: Connection, network: SpacemeshNetwork, run_id: str, data_bucket: str | None = None) -> Checked:
    """The plan. SpecError or Permanent, with what to do, when it cannot be carried out."""
    settings = resolve(network)
    config = await fetch_node_config(network.node_config)
    namespace, record = await find_record(k8s, settings.namespace, settings.name)
    nodes, seen_all = await worker_nodes(k8s, settings.name)
    if not seen_all:
        logger().warning("these credentials may not list the pods of other namespaces: what is free on the worker nodes is a guess")
    if record is None and settings.volumes.kind == "persistent":
        await check_storage_class(k8s, settings)
    begun = await miners_begun(k8s, settings) if record else {}
    up = frozenset(name for name, deployment in begun.items() if rolled_out(deployment))
    plan = make_plan(network, Facts(now=datetime.now(UTC), run_id=run_id, nodes=nodes, record=record, node_config=config, up=up))
    if data_bucket:
        await check_data_bucket(data_bucket, plan.owner)
    for warning in plan.warnings:
        logger().warning(warning)
    stay = {} if plan.restarts_miners else begun
    in_time = frozenset(name for name, deployment in stay.items() if made_before(deployment, plan.genesis))
    if too_late := plan.genesis_missed(datetime.now(UTC), len(plan.miners) - len(in_time)):
        raise too_late
    return Checked(plan, nodes, in_time, namespace)


async def find_record(k8s: Connection, namespace: str, network: str) -> tuple[Obj | None, NetworkRecord | None]:
    """The network's namespace, and what was fixed when the network was begun; None for what is not there.

    Permanent when the namespace is somebody else's, or on its way out.
    """
    try:
        found = await k8s.get(NAMESPACE, None, namespace)
    except NotThere:
        return None, None
    check_namespace(found, network)
    try:
        return found, read_record(await k8s.get(CONFIG_MAP, namespace, RECORD_NAME))
    except NotThere:
        return found, None


def check_namespace(namespace: Obj, network: str) -> None:
    """Permanent unless the namespace is the network's own and will stay."""
    name = namespace["metadata"]["name"]
    owner = labels.network_of(namespace["metadata"].get("labels"))
    if owner is None:
        raise Permanent(
            f"namespace {name} exists and was not made by Cosmodrome", advice="choose another namespace or name: a network gets one of its own"
        )
    if owner != network:
        raise Permanent(f"namespace {name} belongs to network {owner}", advice="choose another namespace: every network has one of its own")
    if namespace["metadata"].get("deletionTimestamp"):
        raise Permanent(f"namespace {name} is being deleted", advice="wait until it is gone (delete-network tells what it waits for), then run again")


async def check_storage_class(k8s: Connection, settings: Settings) -> None:
    """SpecError when no volume would ever come: told now, instead of by pods that wait for ever."""
    wanted = settings.volumes.storage_class
    try:
        classes, _ = await k8s.find(STORAGE_CLASS)
    except Permanent:  # not allowed to look: pods will tell
        return
    names = [c["metadata"]["name"] for c in classes]
    has_default = any((c["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true" for c in classes)
    if wanted in names or (not wanted and has_default):
        return
    known = f"it has: {', '.join(names)}" if names else "it has none"
    what = f"the cluster has no StorageClass {wanted!r}" if wanted else "the cluster has no default StorageClass"
    advice = "name one of its classes in volumes.storage_class, or set volumes.kind to ephemeral (data is then gone with its pod)"
    raise SpecError([Problem("volumes", f"{what} ({known})", advice)], what=f"Network {settings.name} cannot be deployed")


async def miners_begun(k8s: Connection, settings: Settings) -> dict[str, Obj]:
    """The Deployments of the miners that there are, by name."""
    found, _ = await k8s.find(DEPLOYMENT, settings.namespace, labels.selector(settings.name, component="miner"))
    return {obj["metadata"]["name"]: obj for obj in found}


def made_before(obj: Obj, moment: datetime) -> bool:
    """Whether an object was created before then."""
    return datetime.fromisoformat(obj["metadata"]["creationTimestamp"]) < moment


def late_miners(deployments: dict[str, Obj], pods: dict[str, Obj], genesis: datetime, waited_for: set[str]) -> list[str]:
    """Miners that this run brought up, and only after genesis. One that was restarted since, or made anew, is not late for that."""

    late = []
    for name in sorted(waited_for & deployments.keys() & pods.keys()):
        pod = pods[name]
        status = pod.get("status") or {}
        restarts = sum(c.get("restartCount", 0) for c in status.get("containerStatuses") or [])
        ready = next((c["lastTransitionTime"] for c in status.get("conditions") or [] if c["type"] == "Ready"), pod["metadata"]["creationTimestamp"])
        ready_late = made_before(pod, genesis) and genesis <= datetime.fromisoformat(ready) and restarts == 0
        if not made_before(deployments[name], genesis) or ready_late:
            late.append(name)
    return late
