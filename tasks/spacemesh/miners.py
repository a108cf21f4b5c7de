"""Bringing miners up, and finding out who they are."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from networks import labels
from networks.errors import Permanent
from networks.spacemesh.addresses import P2pAddress, host_port
from networks.spacemesh.coinbase import CoinbaseKey, coinbase_key
from networks.spacemesh.miner import GRPC_PORT
from networks.spacemesh.plan import MinerPlan, NetworkPlan
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.ensure import all_of, create_once, ensure_objects
from tasks.kubernetes.kinds import Obj
from tasks.kubernetes.rollout import Rollout, RolloutFailed
from tasks.retrying import worth_retrying
from tasks.spacemesh.checks import late_miners
from tasks.spacemesh.node import NotServed, identity_in_log, spacemesh_node
from tasks.spacemesh.reach import NoWay
from tasks.spacemesh.site import RunningMiner, RunningPoet, Site
from tasks.spacemesh.trouble import tell_trouble
from tasks.waiting import NotYet, wait_until

_ANSWER_SECONDS = 60.0  # a ready node's gRPC answers at once, unless something is between us and it
_LOG_BYTES = 2**20
_LOG_LINES = 2000


def new_key() -> CoinbaseKey:
    """A coinbase's key pair, from the system's randomness."""
    while True:
        try:
            return coinbase_key(secrets.token_bytes(32))
        except ValueError:  # once in 2^128
            continue


@dataclass(frozen=True)
class Wave:
    """Ordinary miners that are deployed together."""

    what: str
    miners: tuple[MinerPlan, ...]


def waves(plan: NetworkPlan) -> tuple[Wave, ...]:
    """The ordinary miners, at most *max at once* together."""
    size, ordinary = plan.max_at_once, plan.ordinary
    groups = [ordinary[start : start + size] for start in range(0, len(ordinary), size)]
    return tuple(Wave("miners" if len(groups) == 1 else f"miners, batch {number} of {len(groups)}", g) for number, g in enumerate(groups, start=1))


@task(
    name="ensure miners",
    task_run_name="{what}",
    description="Make these miners' objects, wait until their pods are ready, and ask each node who it is.",
    retries=1,
    retry_delay_seconds=3,
    retry_condition_fn=worth_retrying,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def ensure_miners(
    site: Site, what: str, miners: Sequence[MinerPlan], poets: Sequence[RunningPoet], known: Sequence[RunningMiner]
) -> tuple[RunningMiner, ...]:
    """The miners, ready. `known`: the miners that run already, among them all seeds of these."""
    if not miners:
        return ()
    check_genesis(site, known)
    site.log(f"{what}: {', '.join(m.name for m in miners[:8])}{' …' if len(miners) > 8 else ''}")
    running = {miner.plan.name: miner for miner in known}
    await all_of([_ensure_objects(site, miner, poets[miner.poet], running) for miner in miners])
    roles = {miner.role.value for miner in miners}
    wanted = labels.selector(site.plan.name, component="miner", **({"role": roles.pop()} if len(roles) == 1 else {}))
    pods = await roll_out(site, [m.name for m in miners], wanted, what)
    return tuple(await all_of([_meet(site, miner, pods[miner.name], poets[miner.poet]) for miner in miners]))


def check_genesis(site: Site, up: Sequence[RunningMiner]) -> None:
    """Permanent when genesis has come and there are miners that were not even begun: they would start into a network that began without them."""
    names = {miner.plan.name for miner in up} | site.in_time
    now = datetime.now(UTC)
    if too_late := site.plan.genesis_missed(now, len([m for m in site.plan.miners if m.name not in names]), took=now - site.began):
        raise too_late


@task(
    name="check genesis",
    description="Were all miners up when the network's first layer began?",
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def check_genesis_met(site: Site) -> None:
    """Permanent, with how many minutes to add, when miners came up only after genesis, in this run or in one before that did not get to its end."""
    late = late_miners(site.deployments, site.pods, site.plan.genesis, {miner.name for miner in site.plan.miners})
    now = datetime.now(UTC)
    if too_late := site.plan.genesis_missed(now, len(late), took=now - site.began):
        raise too_late


async def _ensure_objects(site: Site, miner: MinerPlan, poet: RunningPoet, running: dict[str, RunningMiner]) -> None:
    """The Secret first: the Deployment's pods need it. The key is made anew each time and thrown away when there is one."""
    await create_once(site.k8s, site.plan.coinbase_secret(miner, new_key()), site.present, site.tally)
    seeds = tuple(running[seed.name].p2p_address for seed in site.plan.seeds(miner))
    # In turn, not side by side: the Deployment comes last, so that no pod ever waits for its volume or configuration.
    for obj in site.plan.miner_objects(miner, poet.address, seeds):
        await ensure_objects(site.k8s, [obj], site.present, site.tally)


async def roll_out(site: Site, names: Sequence[str], selector: str, what: str) -> dict[str, Obj]:
    """The ready pod of each of these Deployments; on failure the reasons are shown before the error is raised."""
    rollout = Rollout(site.k8s, site.plan.namespace, selector, tuple(names), site.ready_within, what, site.count_ready)
    try:
        pods = await rollout.wait()
    except RolloutFailed as error:
        await tell_trouble(site.k8s, site.plan.namespace, site.plan.name, error)
        raise
    site.group_done(rollout.deployments, pods)
    return pods


async def _meet(site: Site, miner: MinerPlan, pod: Obj, poet: RunningPoet) -> RunningMiner:
    """Where a ready miner is, and who."""
    host = await address_of_pod(site, miner, pod)
    grpc = host_port(host, node_port(site, miner.name, "grpc"))
    identity = await identity_of(site, pod["metadata"]["name"], grpc, miner.name)
    return RunningMiner(
        plan=miner,
        node=pod["spec"]["nodeName"],
        p2p_address=str(P2pAddress(host, miner.port, identity)),
        grpc=grpc,
        json_api=host_port(host, node_port(site, miner.name, "json")) if site.plan.settings.miners.json_api else "",
        poet=poet.address,
    )


async def address_of_pod(site: Site, miner: MinerPlan, pod: Obj) -> str:
    """The address of the machine that a miner runs on: its pin's, fixed in the record, or the one of the node that the scheduler chose."""
    return miner.pin.address if miner.pin else await site.host_of(pod["spec"]["nodeName"])


def node_port(site: Site, service: str, port: str) -> int:
    """The port of every worker node that leads to a service's port. Kubernetes chose it when the service was made, and keeps it."""
    found = site.present.get("Service", site.plan.namespace, service)
    for entry in (found or {}).get("spec", {}).get("ports") or []:
        if entry.get("name") == port and entry.get("nodePort"):
            return int(entry["nodePort"])
    raise Permanent(f"service {service} has no node port {port}", advice="something changed the service: delete it and run again")


async def identity_of(site: Site, pod: str, grpc: str, name: str) -> str:
    """A node's p2p identity: from the node itself, or from its log when the node is too old to tell or cannot be reached."""

    async def ask() -> str:
        async with site.reach.port(grpc, site.plan.namespace, pod, GRPC_PORT) as address, spacemesh_node(address) as node:
            return await node.identity()

    async def look_up() -> str:
        if found := await logged_identity(site.k8s, site.plan.namespace, pod):
            return found
        raise NotYet("no identity in its log")

    try:
        return await wait_until(ask, timeout=_ANSWER_SECONDS, interval=1, describe=f"{name} to say who it is", advice="look at the node's log")
    except (NotServed, NoWay):
        return await wait_until(look_up, timeout=_ANSWER_SECONDS, interval=2, describe=f"{name} to write down who it is", advice="look at its log")


async def logged_identity(k8s: Connection, namespace: str, pod: str) -> str | None:
    """A node's p2p identity as it wrote it down, if that can be found."""
    for tail in (0, _LOG_LINES):  # a node writes it down at its start; of a log that was rotated since, only the end is there
        if found := identity_in_log(await k8s.log(namespace, pod, tail=tail, limit=_LOG_BYTES)):
            return found
    return None
