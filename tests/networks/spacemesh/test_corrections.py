"""What may be put right as long as a network's first deployment is not complete: the table, and what follows from it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from networks.errors import SpecError
from networks.spacemesh.corrections import decide
from networks.spacemesh.model import SpacemeshNetwork, resolve
from networks.spacemesh.plan import NetworkPlan, effective_node_config, make_plan
from networks.spacemesh.settings import Settings
from tests.networks.spacemesh.examples import JOINING, LATER, NOW, big_enough, facts, network, objects_of, plan

SOON = NOW + timedelta(minutes=1)
ALL_UP = frozenset(f"miner-{n}" for n in range(1, 11))
PASSED = NOW + timedelta(minutes=11)

CORRECTED = [
    ({"images": {"node": "me/node:2"}}, "images.node: 'spacemeshos/go-spacemesh-dev:develop' → 'me/node:2'", True),
    ({"images": {"poet": "me/poet:2"}}, "images.poet: 'spacemeshos/poet:develop' → 'me/poet:2'", False),
    ({"miners": {"cpu": "2"}}, "miners.cpu: '1' → '2'", True),
    ({"miners": {"memory": "3Gi"}}, "miners.memory: '2Gi' → '3Gi'", True),
    ({"miners": {"json_api": False}}, "miners.json_api: True → False", True),
    ({"miners": {"go_debug": True}}, "miners.go_debug: False → True", True),
    ({"miners": {"pprof": True}}, "miners.pprof: False → True", True),
    ({"miners": {"count": 11}}, "miners.count: 10 → 11", True),
    ({"metrics": {"enabled": True}}, "metrics.enabled: False → True", True),
    ({"profiling": {"server_url": "http://s"}}, "profiling.server_url: '' → 'http://s'", True),
    ({"poets": {"cpu": "2"}}, "poets.cpu: '1' → '2'", False),
    ({"poets": {"memory": "3Gi"}}, "poets.memory: '2Gi' → '3Gi'", False),
    ({"poets": {"gateways": 2}}, "poets.gateways: 4 → 2", False),
    ({"poets": {"init_phase_shift_seconds": 9}}, "poets.init_phase_shift_seconds: 0 → 9", False),
    ({"node_config": {"overrides": {"main": {"hdist": 11}}}}, "node_config.main.hdist: 10 → 11", True),
    ({"node_config": {"overrides": {"p2p": {"network-id": 77}}}}, "node_config.p2p.network-id: 1 → 77", True),
]
REFUSED = [
    ({"miners": {"count": 9}}, "miners.count: the network has 10, asked for is 9; miners that were made would be left over (more may be asked for)"),
    ({"miners": {"bootnodes": 5}}, "miners.bootnodes: the network has 6, asked for is 5; which miners are bootnodes, and where, was fixed"),
    ({"miners": {"disk": "11Gi"}}, "miners.disk: the network has '10Gi', asked for is '11Gi'; a disk's size is fixed when it is made"),
    ({"poets": {"disk": "11Gi"}}, "poets.disk: the network has '10Gi', asked for is '11Gi'; a disk's size is fixed when it is made"),
    ({"poets": {"count": 2}}, "poets.count: the network has 1, asked for is 2; which PoET a miner submits to was fixed"),
    ({"volumes": {"kind": "ephemeral"}}, "volumes.kind: the network has 'persistent', asked for is 'ephemeral'; the miners' data would be left"),
    ({"volumes": {"storage_class": "ssd"}}, "volumes.storage_class: the network has nothing, asked for is 'ssd'; the miners' data would be left"),
    ({"node_address": "internal"}, "node_address: the network has 'external', asked for is 'internal'; the addresses of bootnodes and PoETs were"),
    ({"expires_after_hours": 1}, "expires_after_hours: the network has 24, asked for is 1; what was made is labelled with when it expires"),
    ({"bootstrap": False, "node_config": {"inline": JOINING}}, "bootstrap: the network has True, asked for is False; whose genesis it has was fixed"),
    (
        {"node_config": {"overrides": {"post": {"post-bits-per-label": 1}}}},
        "node_config: post.post-bits-per-label: the network has 8, asked for is 1; data",
    ),
    ({"genesis_delay_minutes": 20}, "genesis_delay_minutes: genesis is at 2026-11-22T06:06:15Z and can still be met; ask for 10 again"),
]


def again(now: Any = SOON, up: frozenset[str] = frozenset(), first: NetworkPlan | None = None, **changes: Any) -> NetworkPlan:
    """The plan of a second run, which asks for something else."""
    record = (first or plan()).record
    return make_plan(network(**changes), facts(now=now, run_id="run-2", record=record, up=up, nodes=big_enough(3)))


@pytest.mark.parametrize(("changes", "told", "restarts"), CORRECTED)
def test_what_can_be_changed_without_harm_is_corrected(changes: dict[str, Any], told: str, restarts: bool) -> None:
    made = again(**changes)
    assert told in [str(each) for each in made.corrections]
    assert made.restarts_miners is restarts
    assert made.settings == resolve(network(**changes))
    assert made.record.node_config == effective_node_config(network(**changes), None)
    first = plan().record
    assert made.corrects == first
    kept = ("run_id", "created", "genesis", "pins", "poet_hosts", "completed")
    assert {name: getattr(made.record, name) for name in kept} == {name: getattr(first, name) for name in kept}


@pytest.mark.parametrize(("changes", "told"), REFUSED)
def test_what_cannot_be_changed_is_refused_with_the_reason(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError) as caught:
        again(**changes)
    assert f"\n- {told}" in str(caught.value)


def test_every_setting_is_in_one_of_the_two_tables() -> None:
    """A setting that is added later must be thought about."""
    told = {str(text).partition(":")[0] for _, text, *_ in (*CORRECTED, *REFUSED)} | {"name", "namespace"}  # these two find the record
    told |= {"metrics.push_url", "profiling.miners", "miners.gpus", "miners.gpu_type"}  # see the next test
    free = ("preset", "miners.max_at_once", "machine.", "logs.", "watch.")
    assert {field for field in resolve(network()).flat() if not field.startswith(free)} <= told


def test_further_switches() -> None:
    first = plan(metrics={"enabled": True}, profiling={"server_url": "http://s", "miners": [1]})
    changes = {"metrics": {"enabled": True, "push_url": "http://p"}, "profiling": {"server_url": "http://s", "miners": [2]}}
    assert [each.field for each in again(first=first, **changes).corrections] == ["metrics.push_url", "profiling.miners"]
    gpus = decide(plan().record, resolve(network(miners={"gpus": 1, "gpu_type": "nvidia-l4"})), plan().record.node_config, now=SOON, up=0)
    assert [each.field for each in gpus.corrections] == ["miners.gpus", "miners.gpu_type"]
    assert gpus.restarts_miners


def test_one_refusal_refuses_all() -> None:
    with pytest.raises(SpecError) as caught:
        again(images={"node": "me/node:2"}, miners={"count": 9, "disk": "1Gi"})
    assert [problem.field for problem in caught.value.problems] == ["miners.count", "miners.disk"]


@pytest.mark.parametrize("changes", [changes for changes, *_ in (*CORRECTED, *REFUSED)])
def test_nothing_is_corrected_once_the_first_deployment_is_complete(changes: dict[str, Any]) -> None:
    record = plan().record.completed_at(LATER)
    with pytest.raises(SpecError, match="deploy-network only finishes or verifies what was begun"):
        make_plan(network(**changes), facts(now=PASSED, record=record, nodes=big_enough(3)))


def test_a_complete_network_never_misses_its_genesis() -> None:
    first = plan()
    assert first.genesis_missed(PASSED, 3) is not None
    done = make_plan(network(), facts(now=PASSED, record=first.record.completed_at(LATER)))
    assert done.genesis_missed(PASSED, 3) is None


def test_the_same_again_corrects_nothing() -> None:
    made = again(now=PASSED)
    assert made == plan()
    assert (made.corrections, made.corrects, made.left_over()) == ((), None, ())


# ---- genesis


def test_a_longer_delay_fixes_a_missed_genesis_anew() -> None:
    made = again(now=PASSED, genesis_delay_minutes=15)
    assert made.genesis == PASSED + timedelta(minutes=15)
    assert [str(each) for each in made.corrections] == [
        "genesis_delay_minutes: 10 → 15",
        "genesis: '2026-11-22T06:06:15Z' → '2026-11-22T06:22:15Z'",
    ]
    assert made.restarts_miners
    assert made.poets[0].initial_seconds == 15 * 60 + 60
    assert made.record.created == NOW
    assert made.genesis_missed(PASSED, 10) is None


def test_also_when_all_miners_came_up_but_too_late() -> None:
    assert again(now=PASSED, up=ALL_UP, genesis_delay_minutes=15).genesis == PASSED + timedelta(minutes=15)


def test_a_genesis_that_cannot_be_met_any_more_is_as_good_as_missed() -> None:
    """Ten miners take 130 seconds at least."""
    late = NOW + timedelta(minutes=8)
    assert again(now=late, genesis_delay_minutes=15).genesis == late + timedelta(minutes=15)
    with pytest.raises(SpecError, match="can still be met"):
        again(now=late, up=ALL_UP, genesis_delay_minutes=15)


def test_a_correction_after_genesis_fixes_it_anew_with_the_same_delay() -> None:
    """A wrong image on one evening, corrected on the next morning."""
    made = again(now=LATER, images={"node": "me/node:2"})
    assert made.genesis == LATER + timedelta(minutes=10)
    assert [each.field for each in made.corrections] == ["images.node", "genesis"]


def test_a_corrected_poet_leaves_the_genesis_that_all_miners_met() -> None:
    made = again(now=PASSED, up=ALL_UP, images={"poet": "me/poet:2"})
    assert made.genesis == plan().genesis
    assert not made.restarts_miners
    assert again(now=PASSED, up=ALL_UP - {"miner-3"}, images={"poet": "me/poet:2"}).genesis == PASSED + timedelta(minutes=10)


def test_miners_that_join_another_network_have_its_genesis_whatever_is_corrected() -> None:
    joining: dict[str, Any] = {"bootstrap": False, "node_config": {"inline": JOINING}}
    first = plan(**joining)
    made = again(now=PASSED, first=first, **joining, genesis_delay_minutes=20, images={"node": "me/node:2"})
    assert made.genesis == first.genesis
    assert [each.field for each in made.corrections] == ["genesis_delay_minutes", "images.node"]


# ---- what follows


def test_selectors_and_disks_never_change() -> None:
    """Kubernetes would refuse it."""
    first, second = (
        plan(),
        again(now=PASSED, miners={"count": 12, "cpu": "2", "gpus": 0}, images={"node": "n:1", "poet": "p:1"}, metrics={"enabled": True}),
    )

    def fixed(made: NetworkPlan) -> dict[Any, Any]:
        kept = {"Deployment": lambda spec: spec["selector"], "PersistentVolumeClaim": lambda spec: spec}
        return {(obj["kind"], obj["metadata"]["name"]): kept[obj["kind"]](obj["spec"]) for obj in objects_of(made) if obj["kind"] in kept}

    assert fixed(first).items() <= fixed(second).items()
    assert first.miners == second.miners[:10]


def test_metrics_that_are_switched_off_leave_services_over() -> None:
    first = plan(metrics={"enabled": True})
    assert [obj["metadata"]["name"] for obj in again(first=first).left_over()] == [f"miner-{n}-metrics" for n in range(1, 11)]
    assert again(metrics={"enabled": True}).left_over() == ()


def test_corrections_must_find_room() -> None:
    with pytest.raises(SpecError, match=r"miner-1 \(and 9 more\) does not fit: asks for 200 cpu"):
        again(miners={"cpu": "200"})
    small = facts(now=SOON, record=plan().record, nodes=big_enough(3, cpu="1"))
    assert make_plan(network(images={"node": "me/node:2"}), small).corrections  # its size stays


def test_a_plan_tells_what_it_corrects() -> None:
    assert again(images={"poet": "p:1"}).summary()["corrections"] == "images.poet: 'spacemeshos/poet:develop' → 'p:1'"
    assert "corrections" not in plan().summary()


def test_how_it_is_deployed_is_not_what_it_is() -> None:
    spec: SpacemeshNetwork = network(miners={"max_at_once": 2})
    wanted: Settings = resolve(spec)
    assert decide(plan().record, wanted, plan().record.node_config, now=SOON, up=0).corrections == ()
