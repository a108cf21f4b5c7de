"""Writing to the network's record: only over what was read, so that two runs cannot overwrite one another's decisions."""

from __future__ import annotations

from networks.errors import Permanent
from networks.spacemesh.plan import NetworkPlan
from networks.spacemesh.record import RECORD_NAME, NetworkRecord, read_record
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.ensure import Outcome, Present, Tally
from tasks.kubernetes.errors import Conflict, NotThere, Unsure
from tasks.kubernetes.kinds import CONFIG_MAP, Obj, kind_of
from tasks.reporting import logger

_ATTEMPTS = 3


async def correct_record(k8s: Connection, plan: NetworkPlan, present: Present, tally: Tally) -> None:
    """Write down what the plan corrects, after deleting what that leaves without a purpose: a run that dies in between is simply run again."""
    current = await k8s.get(CONFIG_MAP, plan.namespace, RECORD_NAME)
    found = read_record(current)
    if found != plan.record:
        if found != plan.corrects:
            raise another_run(plan)
        await _delete_left_over(k8s, plan, present, tally)
        current = await write_record(k8s, plan, current, plan.record)
    tally.note(current, Outcome.CHANGED)
    for correction in plan.corrections:
        logger().info("corrected %s", correction)


async def _delete_left_over(k8s: Connection, plan: NetworkPlan, present: Present, tally: Tally) -> None:
    for obj in plan.left_over():
        before = present.before(obj)
        if before is None:
            continue
        try:
            await k8s.delete(kind_of(obj), plan.namespace, obj["metadata"]["name"], uid=before["metadata"]["uid"])
        except NotThere:
            continue
        tally.note(obj, Outcome.CHANGED)


async def write_record(k8s: Connection, plan: NetworkPlan, current: Obj, record: NetworkRecord) -> Obj:
    """The record in place of what `current` holds, if nobody wrote to it since. Permanent when another run did."""
    held = read_record(current)
    for _ in range(_ATTEMPTS):
        changes = {"metadata": {"resourceVersion": current["metadata"]["resourceVersion"]}, "data": record.to_config_map_data()}
        try:
            return await k8s.merge(CONFIG_MAP, plan.namespace, RECORD_NAME, changes)
        except (Conflict, Unsure) as error:
            logger().warning("the record may or may not be written: %s", error)
        current = await k8s.get(CONFIG_MAP, plan.namespace, RECORD_NAME)
        found = read_record(current)
        if found == record:
            return current
        if found != held:
            break
    raise another_run(plan)


def another_run(plan: NetworkPlan) -> Permanent:
    """The error when the record is not as it was at this run's beginning."""
    return Permanent(
        f"network {plan.name} was changed by somebody else while this run was at work",
        why=f"ConfigMap {plan.namespace}/{RECORD_NAME} is not as it was when this run began",
        advice="see that no other run deploys this network, then run again",
    )
