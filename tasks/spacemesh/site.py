"""What the stages of one deployment share: the connection, the plan, what was there before, and what has been done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from networks import labels
from networks.spacemesh.model import SpacemeshNetwork
from networks.spacemesh.plan import Facts, MinerPlan, NetworkPlan, PoetPlan, make_plan
from networks.spacemesh.record import RECORD_NAME, read_record
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.ensure import Present, Tally, create_once, ensure_objects, look_around
from tasks.kubernetes.kinds import CONFIG_MAP, NODE, Obj
from tasks.kubernetes.nodes import as_worker_node
from tasks.reporting import Progress, logger
from tasks.retrying import worth_retrying
from tasks.spacemesh.checks import Checked
from tasks.spacemesh.reach import Reach
from tasks.spacemesh.recording import another_run, correct_record


class Site:
    """One deployment under way. Not a dataclass, so that Prefect hands it from task to task without walking through it."""

    def __init__(self, k8s: Connection, plan: NetworkPlan, present: Present, tally: Tally, checked: Checked, ready_within: float) -> None:
        self.k8s = k8s
        self.reach = Reach(k8s)
        self.plan = plan
        self.present = present
        self.tally = tally
        self.began = datetime.now(UTC)
        self.in_time = checked.in_time
        self._hosts = {node.name: node.address(plan.settings.node_address) for node in checked.nodes}
        self.ready_within = ready_within  # seconds that a group of pods may take
        self.deployments: dict[str, Obj] = {}
        self.pods: dict[str, Obj] = {}
        parts = len(plan.poets) + len(plan.miners)
        self.progress = Progress(f"{plan.name}-progress", f"PoETs and miners of {plan.name} that are ready", parts)
        self._ready: set[str] = set()

    async def count_ready(self, ready: int) -> None:
        """So many pods of the group under way are ready."""
        await self.progress.reach(len(self._ready) + ready)

    def group_done(self, deployments: dict[str, Obj], pods: dict[str, Obj]) -> None:
        """A group is ready as a whole: what its Deployments and pods were then."""
        self._ready.update(deployments)
        self.deployments.update(deployments)
        self.pods.update(pods)

    async def host_of(self, node: str) -> str:
        """The address by which a worker node is known, also one that has joined the cluster meanwhile."""
        if node not in self._hosts:
            self._hosts[node] = as_worker_node(await self.k8s.get(NODE, None, node), ()).address(self.plan.settings.node_address)
        return self._hosts[node]

    def log(self, text: str) -> None:
        """Tell the run's log."""
        logger().info(text)


@dataclass(frozen=True)
class RunningPoet:
    """A PoET that is ready."""

    plan: PoetPlan
    address: str
    node: str


@dataclass(frozen=True)
class RunningMiner:
    """A miner that is ready, and what others know it by."""

    plan: MinerPlan
    node: str
    p2p_address: str
    grpc: str
    json_api: str
    poet: str


@task(
    name="ensure namespace and record",
    description="The network's namespace, its record (made once: it fixes genesis and places) and its disruption budget.",
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=worth_retrying,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def ensure_site(k8s: Connection, network: SpacemeshNetwork, checked: Checked, ready_within: float) -> Site:
    """Everything that the stages need."""
    plan = checked.plan
    present = await look_around(k8s, plan.namespace, labels.selector(plan.name)) if plan.resumed else Present()
    if checked.namespace:
        present.remember(checked.namespace)
    tally = Tally()
    namespace, *others = plan.base_objects()
    await ensure_objects(k8s, [namespace], present, tally)
    if plan.corrections:
        await correct_record(k8s, plan, present, tally)
    else:
        await create_once(k8s, plan.record_object(), present, tally)
    if not plan.resumed:
        plan = await _as_recorded(k8s, network, plan)
    await ensure_objects(k8s, others, present, tally)
    site = Site(k8s, plan, present, tally, checked, ready_within)
    await site.progress.start()
    return site


async def _as_recorded(k8s: Connection, network: SpacemeshNetwork, plan: NetworkPlan) -> NetworkPlan:
    """The plan as the record in the cluster has it: another run may have made the record between our look and our write."""
    record = read_record(await k8s.get(CONFIG_MAP, plan.namespace, RECORD_NAME))
    if record == plan.record:
        return plan
    logger().warning("another run began the same network just now: going on with what it decided")
    facts = Facts(now=record.created, run_id=record.run_id, nodes=(), record=record, node_config=plan.record.node_config)
    theirs = make_plan(network, facts)
    if theirs.corrections:
        raise another_run(plan)
    return theirs
