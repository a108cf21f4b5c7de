"""From a wish and a few facts to every object, and the same on every later run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from networks.errors import Permanent, SpecError
from networks.spacemesh import node_config
from networks.spacemesh.plan import Role, effective_node_config, make_plan
from networks.spacemesh.presets import NODE_CONFIGS
from networks.spacemesh.record import read_record
from networks.spacemesh.settings import Preset
from tests.networks.spacemesh.examples import JOINING, LATER, NOW, big_enough, facts, network, objects_of, plan, worker


def refused(spec: dict[str, Any], **known: Any) -> str:
    with pytest.raises((SpecError, Permanent)) as caught:
        make_plan(network(**spec), facts(**known))
    return str(caught.value)


def joining(**fields: Any) -> dict[str, Any]:
    return {"bootstrap": False, "node_config": {"inline": JOINING}, **fields}


def test_miners_are_a_bootstrap_node_bootnodes_and_the_rest() -> None:
    made = plan()
    assert [m.name for m in made.bootstrap] == ["miner-1"]
    assert [m.name for m in made.bootnodes] == [f"miner-{n}" for n in range(2, 8)]
    assert [m.name for m in made.ordinary] == ["miner-8", "miner-9", "miner-10"]
    assert [m.port for m in made.miners] == list(range(5001, 5011))


def test_miners_that_join_have_no_bootstrap_node() -> None:
    made = plan(**joining())
    assert made.bootstrap == ()
    assert [m.name for m in made.bootnodes] == [f"miner-{n}" for n in range(1, 7)]


def test_who_must_know_whom() -> None:
    made = plan()
    assert made.seeds(made.bootstrap[0]) == ()
    assert made.seeds(made.bootnodes[0]) == made.bootstrap
    assert made.seeds(made.ordinary[0]) == made.bootnodes
    without = plan(miners={"bootnodes": 0})
    assert without.seeds(without.ordinary[0]) == without.bootstrap
    other = plan(**joining())
    assert other.seeds(other.bootnodes[0]) == ()
    assert other.seeds(other.ordinary[0]) == other.bootnodes


def test_bootstrap_node_and_bootnodes_are_pinned_and_no_other() -> None:
    made = plan()
    assert [m.pin.node for m in (*made.bootstrap, *made.bootnodes) if m.pin] == ["node-1", "node-2", "node-3", "node-1", "node-2", "node-3", "node-1"]
    assert all(m.pin is None for m in made.ordinary)


def test_fault_3_poets_keep_their_order() -> None:
    """Which one is published as the first does not hang on which came up first."""
    made = make_plan(network(poets={"count": 3, "init_phase_shift_seconds": 100}), facts())
    assert [(p.index, p.name, p.host) for p in made.poets] == [
        (0, "poet-0", "203.0.113.1"),
        (1, "poet-1", "203.0.113.2"),
        (2, "poet-2", "203.0.113.3"),
    ]
    assert [m.poet for m in made.miners] == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert made.poet_address(made.poets[1], 31234) == "203.0.113.2:31234"


def test_initial_durations_are_genesis_delay_one_layer_and_a_shift_each() -> None:
    made = make_plan(network(preset="testnet"), facts(nodes=big_enough(40)))
    assert [p.initial_seconds for p in made.poets] == [600 + 300 + i * 6000 for i in range(5)]


def test_gateways_are_the_first_miners() -> None:
    assert [m.name for m in plan(poets={"gateways": 3}).gateways] == ["miner-1", "miner-2", "miner-3"]


def test_genesis_is_now_and_the_delay() -> None:
    assert plan(genesis_delay_minutes=25).genesis == NOW + timedelta(minutes=25)


def test_miners_that_join_keep_the_other_networks_genesis() -> None:
    assert plan(**joining()).genesis == datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_planning_does_not_change_what_it_is_given() -> None:
    spec, known = network(node_config={"inline": {"main": {"layer-duration-sec": 60, "layers-per-epoch": 6}}}), facts()
    before = (spec.model_dump_json(), repr(known))
    objects_of(make_plan(spec, known))
    assert (spec.model_dump_json(), repr(known)) == before


# ---- the second run


SPECS = st.fixed_dictionaries(
    {
        "miners": st.fixed_dictionaries({"count": st.integers(4, 12), "bootnodes": st.integers(0, 3), "cpu": st.sampled_from(["100m", "1"])}),
        "poets": st.fixed_dictionaries({"count": st.integers(1, 3), "gateways": st.integers(1, 4)}),
        "volumes": st.fixed_dictionaries({"kind": st.sampled_from(["persistent", "ephemeral"])}),
        "node_address": st.sampled_from(["external", "internal"]),
        "metrics": st.sampled_from([{}, {"enabled": True}, {"enabled": True, "push_url": "http://push:9091"}]),
        "profiling": st.sampled_from([{}, {"server_url": "http://scope:4040", "miners": [4, 1]}]),
    }
)


@settings(max_examples=25)
@given(SPECS, st.booleans(), st.permutations([1, 2, 3]))
def test_fault_2_a_later_run_plans_equal_objects(spec: dict[str, Any], joins: bool, order: list[int]) -> None:
    """Whatever the time, the run and the worker nodes then are."""
    asked = network(**spec, **(joining() if joins else {}))
    first = make_plan(asked, facts())
    record = read_record(first.record_object())
    changed = (*(worker(number, external_ip=f"198.51.100.{number}") for number in order), worker(0))
    second = make_plan(asked, facts(now=LATER, run_id="run-2", nodes=changed, record=record))
    assert second == first
    assert objects_of(second) == objects_of(first)
    assert second.resumed
    assert not first.resumed


def test_a_later_run_goes_on_after_a_record_that_was_just_written() -> None:
    first = plan()
    assert make_plan(network(), facts(record=first.record)) == first


def test_deploying_fewer_at_once_is_not_another_network() -> None:
    first = plan()
    second = make_plan(network(miners={"max_at_once": 2}), facts(record=first.record))
    assert second == first
    assert (first.max_at_once, second.max_at_once) == (100, 2)


def test_a_preset_that_means_the_same_is_not_another_network() -> None:
    spelt_out = {
        "preset": "devnet",
        "miners": {"count": 10, "cpu": "1", "memory": "2Gi", "disk": "10Gi"},
        "poets": {"cpu": "1", "memory": "2Gi", "disk": "10Gi"},
        "expires_after_hours": 24,
        "metrics": {"enabled": False},
        "node_config": {"inline": NODE_CONFIGS[Preset.MININET]},
    }
    first = plan()
    assert make_plan(network(**spelt_out), facts(record=first.record)) == first


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"miners": {"count": 12}}, "miners.count: the network has 10, asked for is 12; deploy-network only finishes or verifies what was begun"),
        ({"images": {"node": "me/node:2"}}, "images.node: the network has 'spacemeshos/go-spacemesh-dev:develop', asked for is 'me/node:2'"),
        ({"genesis_delay_minutes": 20}, "genesis is fixed once in a network's life"),
        ({"volumes": {"kind": "ephemeral"}}, "volumes.kind: the network has 'persistent', asked for is 'ephemeral'"),
        ({"expires_after_hours": 1}, "expires_after_hours: the network has 24, asked for is 1"),
        ({"node_config": {"overrides": {"main": {"hdist": 11}}}}, "node_config: main.hdist: the network has 10, asked for is 11"),
        ({"node_config": {"overrides": {"new": {"key": 1}}}}, "node_config: new: the network has nothing, asked for is {'key': 1}"),
        ({"node_config": {"overrides": {"hare": None}}}, "node_config: hare: the network has {'hare-committee-size': 50"),
    ],
)
def test_another_spec_for_a_complete_network_is_refused_naming_what_differs(changes: dict[str, Any], told: str) -> None:
    text = refused(changes, record=plan().record.completed_at(LATER))
    assert text.startswith("Network try exists and is not what is asked for now:\n- ")
    assert told in text
    assert "delete-network first" in text


def test_all_differences_are_told_together() -> None:
    text = refused({"miners": {"count": 12, "cpu": "2"}, "images": {"poet": "p:1"}}, record=plan().record.completed_at(LATER))
    assert text.count("\n- ") == 3


def test_a_namespace_with_another_network_is_refused() -> None:
    other = plan(name="other", namespace="shared")
    assert "Namespace shared holds another network, other" in refused({"namespace": "shared"}, record=other.record)


def test_a_lost_worker_node_is_told_on_a_later_run() -> None:
    record = plan().record
    again = make_plan(network(), facts(record=record, nodes=(worker(1), worker(3, unschedulable=True), worker(4))))
    assert again.warnings == (
        "Worker node node-2, to which bootnodes are pinned, is not there or not schedulable: their pods cannot start again.",
        "Worker node node-3, to which bootnodes are pinned, is not there or not schedulable: their pods cannot start again.",
    )


def test_a_later_run_is_not_refused_for_room_that_its_own_pods_take() -> None:
    record = plan().record
    full = big_enough(3, cpu="1", memory="1Gi")
    assert make_plan(network(), facts(record=record, nodes=full)).warnings == ()


def test_a_second_network_on_the_same_machines_stands_beside_the_first() -> None:
    first = plan()
    there: dict[str, set[int]] = {}
    for miner in first.miners:
        there.setdefault(miner.pin.node if miner.pin else "node-3", set()).add(miner.port)
    beside = tuple(worker(number, taken_ports=frozenset(there[f"node-{number}"])) for number in (1, 2, 3))
    second = make_plan(network(name="second"), facts(nodes=beside))
    assert all(m.port not in there[m.pin.node] for m in second.miners if m.pin)
    full = tuple(replace(node, taken_ports=frozenset({5009})) for node in beside)
    assert "miners.count: miner-9 does not fit: it listens on port 5009 of its machine" in refused({"name": "third"}, nodes=full)


# ---- what cannot be


def test_no_worker_node_at_all() -> None:
    assert "cluster: none of its 0 worker nodes is schedulable; uncordon a node, or add one" in refused({}, nodes=())
    assert "none of its 1 worker nodes" in refused({}, nodes=(worker(1, unschedulable=True),))


def test_a_worker_node_without_an_address() -> None:
    text = refused({"node_address": "internal"}, nodes=(worker(1), worker(2, internal_ip="")))
    assert "node_address: worker nodes without an address: node-2" in text


def test_the_first_pod_without_room_is_named() -> None:
    text = refused({"preset": "testnet"})
    assert text == (
        "Network try cannot be deployed:\n- miners.count: miner-1 (and 95 more) does not fit: asks for 2 cpu and 8Gi memory; "
        "worker node node-1 has 0 cpu and 0 memory left; ask for fewer or smaller ones, delete what is there, or add worker nodes"
    )
    small = refused({"poets": {"cpu": "17"}})
    assert "- poets.count: poet-0 does not fit: asks for 17 cpu and 2Gi memory; no worker node has more than 16 cpu and 64Gi memory left" in small


def test_room_and_configuration_are_told_together() -> None:
    text = refused({"node_config": {"file": "x"}}, nodes=(worker(1, cpu="1"),), node_config={"main": {"layers-per-epoch": 6}})
    assert "main.layer-duration-sec is missing" in text
    assert "miner-1 (and 9 more) does not fit: asks for 1 cpu and 2Gi memory; worker node node-1 has 0 cpu and 62Gi memory left" in text


def test_gpus_that_are_not_there() -> None:
    wanted = {"count": 3, "bootnodes": 0, "gpus": 1, "gpu_type": "nvidia-l4"}
    few = (worker(1, gpus=2, gpu_type="nvidia-l4"), worker(2, gpus=4, gpu_type="nvidia-tesla-t4"))
    spec = {"miners": wanted, "poets": {"gateways": 1}}
    assert "miners.count: miner-1 (and 2 more) does not fit: GPUs asked for: 1 of type nvidia-l4; worker node node-1 has fewer free" in refused(spec)
    assert "miner-3 does not fit: asks for 1 cpu and 2Gi memory and 1 GPUs; no worker node has more than" in refused(spec, nodes=few)
    assert make_plan(network(**{**spec, "miners": {**wanted, "gpu_type": None}}), facts(nodes=few)).warnings == ()
    kept_free = refused({}, nodes=(worker(1, gpus=2, gpus_only=True),))
    assert "poet-0 (and 10 more) does not fit: all worker nodes are kept free for pods that use GPUs" in kept_free


def test_a_profiler_that_nobody_reports_to_is_told() -> None:
    made = plan(miners={"count": 9}, profiling={"server_url": "http://scope:4040"})
    assert made.warnings == ("No miner sends profiles to the Pyroscope server: name some in profiling.miners.",)
    assert plan(profiling={"server_url": "http://scope:4040"}).warnings == ()


def test_a_short_genesis_delay_is_a_warning() -> None:
    made = make_plan(network(preset="testnet", genesis_delay_minutes=2), facts(nodes=big_enough(40)))
    assert made.warnings == ("Deploying 100 miners usually takes longer than the genesis delay: raise genesis_delay_minutes by about 2.",)


# ---- the node configuration


def test_a_given_configuration_replaces_the_presets() -> None:
    given_config = {"main": {"layer-duration-sec": 30, "layers-per-epoch": 3}}
    assert effective_node_config(network(node_config={"inline": given_config}), None) == given_config
    assert effective_node_config(network(node_config={"url": "http://a/b"}), given_config) == given_config
    assert effective_node_config(network(), None) == NODE_CONFIGS[Preset.MININET]


def test_changes_are_merged_into_whichever_configuration_it_is() -> None:
    changes = {"main": {"layer-duration-sec": 30, "hdist": None}}
    config = effective_node_config(network(node_config={"overrides": changes}), None)
    assert config["main"]["layer-duration-sec"] == 30
    assert "hdist" not in config["main"]
    assert config["p2p"] == NODE_CONFIGS[Preset.MININET]["p2p"]


def test_a_file_must_be_fetched_before_planning() -> None:
    with pytest.raises(ValueError, match="must be fetched first"):
        make_plan(network(node_config={"file": "config.json"}), facts())


def test_the_published_configuration_is_that_of_ordinary_miners() -> None:
    made = plan()
    config = made.published_config("203.0.113.1:30000", ("/ip4/203.0.113.2/tcp/5002/p2p/abc",))
    assert made.published_name == "try-archive/config.json"
    assert config["p2p"] == {"network-id": 1, "bootnodes": ["/ip4/203.0.113.2/tcp/5002/p2p/abc"]}
    assert config["main"]["poet-server"] == "203.0.113.1:30000"
    assert config["main"]["genesis-time"] == "2026-11-22T06:06:15Z"
    assert config["main"]["genesis-active-size"] == 10


def test_a_published_configuration_is_one_that_another_network_can_join_with() -> None:
    published = plan().published_config("203.0.113.1:30000", ("/ip4/203.0.113.2/tcp/5002/p2p/abc",))
    other = make_plan(network(name="more", bootstrap=False, node_config={"url": "http://a/b"}), facts(node_config=published))
    assert other.genesis == plan().genesis
    assert other.network_id == plan().network_id
    assert node_config.bootnodes(other.record.node_config) == ("/ip4/203.0.113.2/tcp/5002/p2p/abc",)


# ---- views


def test_the_plan_can_be_printed() -> None:
    made = plan()
    rows = made.as_table()
    assert len(rows) == 11
    assert rows[1] == {
        "name": "miner-1", "role": "bootstrap", "node": "node-1", "p2p port": "5001", "PoET": "poet-0", "cpu": "1", "memory": "2Gi", "disk": "10Gi",
    }  # fmt: skip
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    summary = made.summary()
    assert summary["miners"] == "10 (1 bootstrap, 6 bootnodes, 3 ordinary)"
    assert summary["state"] == "new"
    assert summary["warnings"] == "none"
    assert make_plan(network(), facts(record=made.record)).summary()["state"] == "begun 2026-11-22T05:56:15Z, to be finished or verified"


def test_roles_are_said_on_each_miner() -> None:
    assert [m.role for m in plan(miners={"count": 3, "bootnodes": 1}, poets={"gateways": 1}).miners] == [Role.BOOTSTRAP, Role.BOOTNODE, Role.ORDINARY]


def test_times_without_a_zone_are_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        make_plan(network(), replace(facts(), now=datetime(2026, 1, 1)))  # noqa: DTZ001
