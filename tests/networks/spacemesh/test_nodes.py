"""Who stands where, and whether there is room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from networks.spacemesh import nodes
from networks.spacemesh.model import resolve
from networks.spacemesh.nodes import Load
from tests.networks.spacemesh.examples import WORKERS, big_enough, network, plan, worker


def test_nodes_are_used_in_a_fixed_order_and_only_where_pods_may_go() -> None:
    found = nodes.usable([worker(3), worker(1), worker(2, unschedulable=True)])
    assert [node.name for node in found] == ["node-1", "node-3"]
    assert nodes.usable(reversed(WORKERS)) == nodes.usable(WORKERS)


def test_bootnodes_are_spread_over_machines_in_turn() -> None:
    pins = nodes.round_robin([0] * 5, nodes.usable(WORKERS), "external")
    assert [pin.node for pin in pins] == ["node-1", "node-2", "node-3", "node-1", "node-2"]
    assert pins[1].address == "203.0.113.2"


def test_a_node_is_pinned_to_by_its_hostname_label() -> None:
    (pin,) = nodes.round_robin([5001], [worker(1, hostname="gke-abc")], "external")
    assert pin.node == "gke-abc"


def test_another_networks_ports_are_avoided() -> None:
    """Miner n of every network listens on 5000 + n of its machine."""
    taken = [worker(number, taken_ports=frozenset({5000 + number})) for number in (1, 2, 3)]
    pins = nodes.round_robin([5001, 5002, 5003, 5004], taken, "external")
    assert [pin.node for pin in pins] == ["node-2", "node-3", "node-1", "node-1"]


def test_where_every_machine_has_the_port_taken_there_is_no_room() -> None:
    taken = [worker(number, taken_ports=frozenset({5001})) for number in (1, 2)]
    why = "it listens on port 5001 of its machine, which pods of another network have on every worker node"
    for pinned_to in ("", "node-1"):
        (misfit,) = nodes.misfits([Load("miner-1", "1", "1Gi", pinned_to, 5001), Load("miner-2", "1", "1Gi", pinned_to, 5002)], taken)
        assert (misfit.load.name, misfit.why) == ("miner-1", why)
    one_left = [*taken, worker(3, cpu="1")]
    loads = [Load("poet", "1", "1Gi", "node-3"), Load("miner-1", "1", "1Gi", "", 5001)]
    assert nodes.misfits(loads, one_left)[0].why == "asks for 1 cpu and 1Gi memory; no worker node has more than 0 cpu and 63Gi memory left"


def test_external_addresses_fall_back_to_internal_ones() -> None:
    inside = worker(1, external_ip="")
    assert inside.address("external") == "10.0.0.1"
    assert worker(1).address("external") == "203.0.113.1"
    assert worker(1).address("internal") == "10.0.0.1"


def test_everything_fits_where_there_is_room() -> None:
    assert nodes.misfits([Load(f"m-{i}", "4", "16Gi") for i in range(12)], WORKERS) == ()


def test_the_pod_without_room_is_named_with_what_is_left() -> None:
    (misfit,) = nodes.misfits([Load(f"m-{i}", "4", "20Gi") for i in range(10)], WORKERS)
    assert misfit.load.name == "m-9"
    assert misfit.why == "asks for 4 cpu and 20Gi memory; no worker node has more than 4 cpu and 4Gi memory left"


def test_a_pinned_pod_finds_room_only_on_its_node() -> None:
    loads = [Load("m-1", "10", "1Gi", "node-1"), Load("m-2", "10", "1Gi", "node-1"), Load("m-3", "1", "1Gi", "node-9")]
    second, third = nodes.misfits(loads, WORKERS)
    assert second.why == "asks for 10 cpu and 1Gi memory; worker node node-1 has 6 cpu and 63Gi memory left"
    assert third.why == "asks for 1 cpu and 1Gi memory on worker node node-9, which is not there or not schedulable"


@given(st.integers(1, 40), st.integers(1, 20), st.integers(1, 6))
def test_equal_pods_fit_exactly_as_often_as_they_go_into_the_nodes(count: int, cpu: int, machines: int) -> None:
    loads = [Load(f"m-{i}", str(cpu), "1Gi") for i in range(count)]
    room = machines * (16 // cpu)
    assert len(nodes.misfits(loads, big_enough(machines))) == max(0, count - room)


def test_fault_1_cpu_in_thousandths_counts_in_the_number_of_machines() -> None:
    assert nodes.node_count([Load(f"m-{i}", "100m", "1Mi") for i in range(161)], 16, 64) == 2
    assert nodes.node_count([Load(f"m-{i}", "100m", "1Mi") for i in range(160)], 16, 64) == 1


def test_the_number_of_machines_is_the_larger_of_what_cpu_and_memory_take() -> None:
    assert nodes.node_count([], 16, 64) == 1
    assert nodes.node_count([Load("a", "1", "65Gi")], 16, 64) == 2
    assert nodes.node_count([Load("a", "33", "1Gi")], 16, 64) == 3


def test_fault_1_elasticsearch_replicas_watcher_and_prometheus_are_counted() -> None:
    names = [load.name for load in nodes.later_loads(resolve(network(preset="devnet")))]
    assert names == ["elasticsearch-0", "elasticsearch-1", "kibana", "prometheus", "pyroscope", "spacemesh-watch"]
    assert [load.name for load in nodes.later_loads(resolve(network()))] == ["elasticsearch-0", "kibana"]


def test_machines_of_the_presets() -> None:
    assert plan().machines() == 1  # 13 cpu, 26 GiB
    assert plan(preset="devnet").machines() == 1  # 2.5 + 0.1 + 4 + 1 + 0.1 + 0.1 + 0.1 cpu, but 25 + 2 + 16 + 2 + 4 + 8 GiB
