"""The parts that need no lab: back-off, addresses, expansion, order of starts, phases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lab.addresses import AddressBlock
from lab.kubelet.actions import to_start
from lab.kubelet.backoff import Backoff
from lab.kubelet.environment import expand
from lab.kubelet.logbuffer import LogBuffer
from lab.kubelet.nodes import NodeSpec, make_node
from lab.kubelet.runs import ContainerState, Run
from lab.kubelet.starting import go_duration
from lab.kubelet.status import PodFacts, make_status, pod_resources

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


def test_backoff_doubles_up_to_five_minutes_and_forgets() -> None:
    backoff, now, seen = Backoff(), 0.0, []
    assert backoff.remaining("c", now, now) == 0  # the first restart comes at once
    for _ in range(7):
        backoff.next("c", now, now)
        seen.append(backoff.remaining("c", now, now))
        now += seen[-1]
    assert seen == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.remaining("c", now, now + 601) == 0
    backoff.next("c", now, now + 601)
    assert backoff.delay("c") == 10


def test_labs_have_blocks_of_their_own() -> None:
    one, other = AddressBlock.claim(), AddressBlock.claim()
    try:
        assert one.second_octet != other.second_octet
        first = one.take_pod()
        assert first == f"127.{one.second_octet}.16.1"
        one.give_back(first)
        assert one.take_pod() != first  # used again as late as possible
        assert str(one.service_network) == f"127.{one.second_octet}.128.0/17"
    finally:
        one.close()
        other.close()


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$(A)", "1"), ("x$(A)y$(B)", "x1y2"), ("$(NO)", "$(NO)"), ("$$(A)", "$(A)"), ("$A", "$A"), ("$(A", "$(A"), ("$$$(A)", "$1")],
)
def test_expansion(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expanded


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (80, "1m20s"), (160, "2m40s"), (300, "5m0s")])
def test_durations(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


def container(name: str, result: int | str | None = None, init: bool = False, **spec: Any) -> ContainerState:
    """A container that did not run (None), runs, or ended with an exit code."""
    state = ContainerState({"name": name, "image": "i", **spec}, init=init)
    if result is not None:
        state.current = Run("i", "sha256:0", LogBuffer(), started_at=NOW)
        state.ready = state.started = result == "running"
        if isinstance(result, int):
            state.current.finished_at, state.current.exit_code = NOW, result
    return state


@pytest.mark.parametrize(
    ("states", "policy", "due"),
    [
        ([container("a"), container("b")], "Always", "ab"),
        ([container("i", init=True), container("j", init=True), container("m")], "Always", "i"),
        ([container("i", 0, init=True), container("j", init=True), container("m")], "Always", "j"),
        ([container("i", "running", init=True), container("m")], "Always", ""),
        ([container("i", 1, init=True), container("m")], "OnFailure", "i"),
        ([container("i", 1, init=True), container("m")], "Never", ""),
        ([container("s", "running", init=True, restartPolicy="Always"), container("m")], "Always", "m"),
        ([container("s", 1, init=True, restartPolicy="Always"), container("m", "running")], "Never", "s"),
        ([container("m", 0)], "OnFailure", ""),
        ([container("m", 2)], "OnFailure", "m"),
        ([container("m", 0)], "Always", "m"),
        ([container("m", 2)], "Never", ""),
    ],
)
def test_whose_turn_it_is(states: list[ContainerState], policy: str, due: str) -> None:
    assert "".join(state.name for state in to_start(states, policy)) == due


@pytest.mark.parametrize(
    ("states", "policy", "phase"),
    [
        ([container("m")], "Always", "Pending"),
        ([container("m", "running")], "Always", "Running"),
        ([container("m", "running"), container("n")], "Always", "Pending"),
        ([container("m", 0)], "Never", "Succeeded"),
        ([container("m", 0)], "Always", "Running"),
        ([container("m", 1)], "OnFailure", "Running"),
        ([container("m", 0), container("n", 1)], "Never", "Failed"),
        ([container("i", 1, init=True), container("m")], "Never", "Failed"),
        ([container("i", 1, init=True), container("m")], "Always", "Pending"),
        ([container("s", "running", init=True, restartPolicy="Always"), container("m", 0)], "Never", "Succeeded"),
    ],
)
def test_phases(states: list[ContainerState], policy: str, phase: str) -> None:
    pod: dict[str, Any] = {"metadata": {"generation": 1}, "spec": {"restartPolicy": policy}, "status": {"phase": "Running"}}
    facts = PodFacts(states, "127.65.1.1", "127.65.16.1", True, NOW)
    status, real = make_status(pod, facts, NOW)
    assert real == phase
    assert status["phase"] == (phase if phase in ("Pending", "Running") else "Running")  # told when nothing runs any more
    facts.terminal = True
    assert make_status(pod, facts, NOW)[0]["phase"] in ("Succeeded", "Failed")


def test_transition_times_stay_while_nothing_changes() -> None:
    pod: dict[str, Any] = {"metadata": {"generation": 1}, "spec": {}, "status": {}}
    facts = PodFacts([container("m", "running")], "127.65.1.1", "127.65.16.1", True, NOW)
    pod["status"] = make_status(pod, facts, NOW)[0]
    later = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
    assert make_status(pod, facts, later)[0] == pod["status"]
    facts.containers[0].ready = False
    changed = {one["type"]: one["lastTransitionTime"] for one in make_status(pod, facts, later)[0]["conditions"]}
    assert changed["Ready"] == "2026-11-22T07:00:00Z"
    assert changed["Initialized"] == "2026-11-22T06:00:00Z"


def test_resources_are_added_up() -> None:
    found = pod_resources([
        {"resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}}, {"resources": {"requests": {"cpu": "1"}}},
    ])  # fmt: skip
    assert found == {
        "allocatedResources": {"cpu": "1250m", "memory": "64Mi"},
        "resources": {"limits": {"memory": "128Mi"}, "requests": {"cpu": "1250m", "memory": "64Mi"}},
    }


def test_nodes_keep_something_for_themselves() -> None:
    node = make_node(NodeSpec("n", "127.65.1.1", "", cpu="16", memory="64Gi", zone=""), 0, NOW)
    assert node["status"]["capacity"]["memory"] == "64Gi"
    assert node["status"]["allocatable"]["memory"] == "63Gi"
    assert node["status"]["allocatable"]["cpu"] == "15920m"
    assert [address["type"] for address in node["status"]["addresses"]] == ["InternalIP", "Hostname"]
    assert "topology.kubernetes.io/zone" not in node["metadata"]["labels"]
