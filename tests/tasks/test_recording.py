"""Writing to a network's record: only over what was read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from networks.errors import Permanent
from networks.spacemesh.plan import NetworkPlan
from networks.spacemesh.record import NetworkRecord
from tasks.kubernetes.rollout import outdated
from tasks.spacemesh.recording import write_record
from tests.networks.spacemesh.examples import LATER, plan
from tests.tasks.scripted import hang_up, refuses, says, scripted_cluster

MADE = plan()
DONE = MADE.record.completed_at(LATER)
OTHER = MADE.record.model_copy(update={"run_id": "run-2"})
STALE = refuses(409, "Conflict", "the object has been modified; please apply your changes to the latest version and try again")


def held(record: NetworkRecord, version: str = "7") -> dict[str, Any]:
    return {"metadata": {"name": "network-record", "namespace": "try", "resourceVersion": version}, "data": record.to_config_map_data()}


async def write(*answers: Any) -> tuple[dict[str, Any] | Permanent, list[tuple[str, str]], list[str]]:
    """What came of writing DONE over MADE's record."""
    made: NetworkPlan = MADE
    async with scripted_cluster(*answers) as (k8s, script):
        try:
            outcome: dict[str, Any] | Permanent = await write_record(k8s, made, held(made.record), DONE)
        except Permanent as error:
            outcome = error
        return outcome, script.asked, script.bodies


async def test_it_is_written_if_nobody_wrote_since() -> None:
    outcome, asked, bodies = await write(says(held(DONE, "8")))
    assert outcome == held(DONE, "8")
    assert asked == [("PATCH", "/api/v1/namespaces/try/configmaps/network-record")]
    assert json.loads(bodies[0])["metadata"] == {"resourceVersion": "7"}


@pytest.mark.parametrize("trouble", [STALE, hang_up, refuses(500, "InternalError", "etcd")], ids=["conflict", "hung up", "500"])
async def test_an_answer_that_got_lost_is_looked_up(trouble: Any) -> None:
    """It was written; the second attempt would be refused for that."""
    outcome, asked, _ = await write(trouble, says(held(DONE, "8")))
    assert outcome == held(DONE, "8")
    assert [method for method, _ in asked] == ["PATCH", "GET"]


async def test_something_else_in_the_object_was_changed() -> None:
    """A label, say: what the record says is as it was, so it is written over the newer version."""
    outcome, _, bodies = await write(STALE, says(held(MADE.record, "9")), says(held(DONE, "10")))
    assert outcome == held(DONE, "10")
    assert json.loads(bodies[2])["metadata"] == {"resourceVersion": "9"}


async def test_another_run_wrote_it() -> None:
    outcome, asked, _ = await write(STALE, says(held(OTHER, "9")))
    assert isinstance(outcome, Permanent)
    assert "was changed by somebody else while this run was at work" in str(outcome)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("generation", "observed", "replicas", "updated", "expected"),
    [(1, 1, 1, 1, False), (1, 1, 0, 0, False), (2, 1, 1, 1, True), (2, 2, 1, 0, True), (2, 2, 0, 0, False), (2, 2, 1, 1, False)],
)
def test_pods_of_an_older_version_are_not_judged(generation: int, observed: int, replicas: int, updated: int, expected: bool) -> None:
    status = {"observedGeneration": observed, "replicas": replicas, "updatedReplicas": updated}
    assert outdated({"metadata": {"generation": generation}, "status": status}) is expected
