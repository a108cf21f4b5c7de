"""Every object of a network, as Kubernetes gets it."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from networks import labels, names
from networks.spacemesh.coinbase import coinbase_key
from networks.spacemesh.plan import NetworkPlan, make_plan
from tests.networks.spacemesh.examples import JOINING, NOW, big_enough, facts, network, objects_of, plan, worker

SEED = "/ip4/203.0.113.1/tcp/5001/p2p/12D3KooWAbc"
Obj = dict[str, Any]


def by_kind(objects: tuple[Obj, ...]) -> dict[str, Obj]:
    assert len({obj["kind"] for obj in objects}) == len(objects)
    return {obj["kind"]: obj for obj in objects}


def bootnode(made: NetworkPlan) -> dict[str, Obj]:
    return by_kind(made.miner_objects(made.bootnodes[0], "203.0.113.1:30000", (SEED,)))


def container(deployment: Obj) -> Obj:
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(only)


def config(objects: dict[str, Obj]) -> Obj:
    return dict(json.loads(objects["ConfigMap"]["data"]["config.json"]))


def test_every_object_says_whose_it_is_and_when_it_expires() -> None:
    made = plan(poets={"count": 2})
    for obj in (*objects_of(made), made.coinbase_secret(made.miners[0], coinbase_key(b"k" * 32))):
        found = obj["metadata"]["labels"]
        assert labels.network_of(found) == "try", obj["kind"]
        assert found[labels.RUN] == "run-1"
        assert labels.expiry_of(found) == NOW + timedelta(hours=24)
        assert {labels.NAME, labels.INSTANCE, labels.COMPONENT, labels.PART_OF} <= set(found)
        assert all(labels.is_label_value(value) for value in found.values())
        assert names.subdomain_fault(obj["metadata"]["name"]) is None
        if obj["kind"] == "Deployment":
            pod = obj["spec"]["template"]["metadata"]["labels"]
            assert found.items() <= pod.items()


def test_every_object_but_the_namespace_is_in_the_networks_namespace() -> None:
    for obj in objects_of(plan(namespace="here")):
        place = obj["metadata"]["name"] if obj["kind"] == "Namespace" else obj["metadata"]["namespace"]
        assert place == "here"


def test_no_two_objects_have_the_same_name() -> None:
    every = [(obj["kind"], obj["metadata"]["name"]) for obj in objects_of(plan(poets={"count": 3}))]
    assert len(set(every)) == len(every)


def test_fault_12_only_api_groups_that_exist() -> None:
    assert {(obj["apiVersion"], obj["kind"]) for obj in objects_of(plan())} == {
        ("v1", "Namespace"),
        ("policy/v1", "PodDisruptionBudget"),
        ("v1", "ConfigMap"),
        ("v1", "PersistentVolumeClaim"),
        ("v1", "Service"),
        ("apps/v1", "Deployment"),
    }


def test_miners_and_poets_are_never_rescheduled() -> None:
    made = plan()
    _, budget = made.base_objects()
    assert budget["spec"] == {"maxUnavailable": 0, "selector": {"matchLabels": {"restart": "false"}}}
    for obj in objects_of(made):
        if obj["kind"] == "Deployment":
            template = obj["spec"]["template"]["metadata"]
            assert template["labels"]["restart"] == "false"
            assert template["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_a_deployment_finds_its_own_pods_and_no_others() -> None:
    for obj in objects_of(plan(poets={"count": 2})):
        if obj["kind"] in ("Deployment", "Service"):
            spec = obj["spec"]
            selector = spec["selector"]["matchLabels"] if obj["kind"] == "Deployment" else spec["selector"]
            assert selector == {"app": obj["metadata"]["labels"]["app"], "name": obj["metadata"]["name"]}
        if obj["kind"] == "Deployment":
            assert selector.items() <= obj["spec"]["template"]["metadata"]["labels"].items()
            assert obj["spec"]["strategy"] == {"type": "Recreate"}
            assert obj["spec"]["replicas"] == 1


# ---- miners


def test_a_miners_command_line() -> None:
    miner = container(bootnode(plan())["Deployment"])
    assert miner["command"] == ["/bin/go-spacemesh"]
    assert miner["args"] == [
        "--listen=/ip4/0.0.0.0/tcp/5002",
        "--json-server=true",
        "--config=/etc/config/config.json",
        "-d=/root/data/node",
        "--smeshing-coinbase=$(COINBASE)",
        "--smeshing-start=true",
        "--smeshing-opts-datadir=/root/data/post",
        "--log-encoder=json",
        "--grpc-port=6000",
        "--json-port=7000",
    ]


def test_without_the_json_api_nothing_of_it_is_left() -> None:
    objects = bootnode(plan(miners={"json_api": False}))
    assert not [arg for arg in container(objects["Deployment"])["args"] if "json-port" in arg or "json-server" in arg]
    assert [port["name"] for port in objects["Service"]["spec"]["ports"]] == ["grpc"]


def test_profiling_and_runtime_trace() -> None:
    objects = bootnode(plan(miners={"pprof": True, "go_debug": True}))
    miner = container(objects["Deployment"])
    assert "--pprof-server" in miner["args"]
    assert {"name": "GODEBUG", "value": "gctrace=1,scavtrace=1,gcpacertrace=1"} in miner["env"]
    assert {"name": "pprof", "port": 6060, "targetPort": 6060, "protocol": "TCP"} in objects["Service"]["spec"]["ports"]
    plain = container(bootnode(plan())["Deployment"])
    assert [variable["name"] for variable in plain["env"]] == ["COINBASE"]


def test_metrics_are_served_inside_the_cluster() -> None:
    made = plan(metrics={"enabled": True, "push_url": "http://push:9091/a$(COINBASE)"})
    objects = made.miner_objects(made.bootnodes[0], "203.0.113.1:30000", (SEED,))
    assert [(obj["kind"], obj["metadata"]["name"]) for obj in objects] == [
        ("PersistentVolumeClaim", "miner-2"),
        ("ConfigMap", "miner-2"),
        ("Service", "miner-2"),
        ("Service", "miner-2-metrics"),
        ("Deployment", "miner-2"),
    ]
    service, miner = objects[3], container(objects[4])
    assert service["spec"] == {
        "type": "ClusterIP",
        "selector": {"app": "miner", "name": "miner-2"},
        "ports": [{"name": "metrics", "port": 1010, "targetPort": 1010, "protocol": "TCP"}],
    }
    assert miner["args"][-2:] == ["--metrics", "--metrics-push=http://push:9091/a$$(COINBASE)"]  # the kubelet turns $$ into $
    assert {"name": "metrics", "containerPort": 1010, "protocol": "TCP"} in miner["ports"]
    assert "metrics" not in [port["name"] for port in objects[2]["spec"]["ports"]]


def test_without_metrics_nothing_of_them_is_left() -> None:
    text = json.dumps(objects_of(plan()))
    assert not [
        word for word in ('metrics"', "-metrics", "1010", "profiler", "pprof") if word in text.replace(json.dumps(plan().record_object()), "")
    ]


def test_chosen_miners_send_profiles() -> None:
    made = plan(profiling={"server_url": "http://scope:4040", "miners": [2]})
    args = {obj["metadata"]["name"]: container(obj)["args"] for obj in objects_of(made) if obj["kind"] == "Deployment"}
    assert args["miner-2"][-3:] == ["--pprof-server", "--profiler-url=http://scope:4040", "--profiler-name=try-miner-2"]
    assert args["miner-3"][-1] == "--pprof-server"
    assert not [arg for arg in args["miner-3"] if "profiler" in arg]
    services = {obj["metadata"]["name"]: obj["spec"]["ports"] for obj in objects_of(made) if obj["kind"] == "Service"}
    assert "pprof" in [port["name"] for port in services["miner-3"]]


def test_miners_with_gpus() -> None:
    made = make_plan(
        network(miners={"count": 3, "bootnodes": 1, "gpus": 2, "gpu_type": "nvidia-l4"}, poets={"gateways": 1}),
        facts(nodes=(*big_enough(2), worker(3, gpus=8, gpu_type="nvidia-l4", gpus_only=True))),
    )
    pods = {obj["metadata"]["name"]: obj["spec"]["template"]["spec"] for obj in objects_of(made) if obj["kind"] == "Deployment"}
    assert pods["miner-3"]["nodeSelector"] == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    assert pods["miner-2"]["nodeSelector"] == {"cloud.google.com/gke-accelerator": "nvidia-l4", "kubernetes.io/hostname": "node-3"}
    assert pods["miner-3"]["containers"][0]["resources"]["limits"] == {"memory": "2Gi", "nvidia.com/gpu": "2"}
    assert pods["miner-3"]["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert not {"nodeSelector", "tolerations"} & set(pods["poet-0"])
    assert "nvidia" not in json.dumps(objects_of(plan())[2:]).replace(json.dumps(plan().record_object()), "")


def test_p2p_is_bound_to_the_host_on_tcp_and_udp() -> None:
    ports = [port for port in container(bootnode(plan())["Deployment"])["ports"] if "hostPort" in port]
    assert [(p["containerPort"], p["hostPort"], p["protocol"]) for p in ports] == [(5002, 5002, "TCP"), (5002, 5002, "UDP")]


def test_a_miner_has_disk_configuration_service_and_deployment_in_this_order() -> None:
    made = plan()
    assert [obj["kind"] for obj in made.miner_objects(made.bootstrap[0], "a:1", ())] == [
        "PersistentVolumeClaim",
        "ConfigMap",
        "Service",
        "Deployment",
    ]


def test_ephemeral_networks_claim_no_disks() -> None:
    for obj in objects_of(plan(volumes={"kind": "ephemeral"})):
        assert obj["kind"] != "PersistentVolumeClaim"
        if obj["kind"] == "Deployment":
            assert {"name": "data", "emptyDir": {}} in obj["spec"]["template"]["spec"]["volumes"]


def test_disks_have_the_asked_storage_class_and_size() -> None:
    claim = bootnode(plan(miners={"disk": "3Gi"}, volumes={"storage_class": "ssd"}))["PersistentVolumeClaim"]
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}, "storageClassName": "ssd"}
    assert "storageClassName" not in bootnode(plan())["PersistentVolumeClaim"]["spec"]


def test_fault_4_poet_disks_have_the_poets_size() -> None:
    made = make_plan(network(preset="testnet"), facts(nodes=big_enough(40)))
    claims = {
        obj["metadata"]["name"]: obj["spec"]["resources"]["requests"]["storage"] for obj in objects_of(made) if obj["kind"] == "PersistentVolumeClaim"
    }
    assert {size for name, size in claims.items() if name.startswith("poet")} == {"2048Gi"}
    assert {size for name, size in claims.items() if name.startswith("miner")} == {"200Gi"}


def test_a_new_network_is_told_its_genesis_and_size() -> None:
    main = config(bootnode(plan()))["main"]
    assert main["genesis-time"] == "2026-11-22T06:06:15Z"
    assert main["genesis-active-size"] == 10
    assert main["poet-server"] == "203.0.113.1:30000"


def test_the_bootstrap_node_is_told_to_know_nobody() -> None:
    """An empty list, since a preset inside the node may know bootnodes of another network."""
    made = plan()
    assert config(by_kind(made.miner_objects(made.bootstrap[0], "a:1", ())))["p2p"]["bootnodes"] == []
    assert config(bootnode(made))["p2p"]["bootnodes"] == [SEED]


def test_bootnodes_that_join_keep_the_other_networks_bootnodes_and_genesis() -> None:
    made = plan(bootstrap=False, node_config={"inline": JOINING})
    joined = config(by_kind(made.miner_objects(made.bootnodes[0], "203.0.113.1:30000", ())))
    assert joined["p2p"] == JOINING["p2p"]
    assert joined["main"] == {**JOINING["main"], "poet-server": "203.0.113.1:30000"}
    addresses = tuple(f"/ip4/203.0.113.1/tcp/{m.port}/p2p/abc" for m in made.bootnodes)
    rest = config(by_kind(made.miner_objects(made.ordinary[0], "203.0.113.1:30000", addresses)))
    assert rest["p2p"]["bootnodes"] == list(addresses)


def test_a_miner_must_be_given_all_the_addresses_it_needs() -> None:
    made = plan()
    with pytest.raises(ValueError, match="miner-8 must know 6 miners, got 1 addresses"):
        made.miner_objects(made.ordinary[0], "a:1", (SEED,))


def test_only_pinned_miners_choose_their_node() -> None:
    made = plan()
    seeds = tuple(f"/ip4/203.0.113.1/tcp/{m.port}/p2p/abc" for m in made.bootnodes)
    ordinary = by_kind(made.miner_objects(made.ordinary[0], "a:1", seeds))
    assert "nodeSelector" not in ordinary["Deployment"]["spec"]["template"]["spec"]
    assert bootnode(made)["Deployment"]["spec"]["template"]["spec"]["nodeSelector"] == {"kubernetes.io/hostname": "node-2"}


def test_readiness_is_looked_at_on_what_the_pod_serves() -> None:
    for obj in objects_of(plan()):
        if obj["kind"] != "Deployment":
            continue
        one = container(obj)
        served = {port["containerPort"] for port in one["ports"]}
        for probe in ("startupProbe", "readinessProbe"):
            assert one[probe]["tcpSocket"]["port"] in served
        assert "livenessProbe" not in one


def test_memory_is_bounded_and_cpu_is_not() -> None:
    resources = container(bootnode(plan(miners={"cpu": "250m", "memory": "3Gi"}))["Deployment"])["resources"]
    assert resources == {"requests": {"cpu": "250m", "memory": "3Gi"}, "limits": {"memory": "3Gi"}}


def test_every_volume_is_mounted_and_every_mount_is_a_volume() -> None:
    for obj in objects_of(plan()):
        if obj["kind"] == "Deployment":
            pod = obj["spec"]["template"]["spec"]
            assert {mount["name"] for mount in container(obj)["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
            assert pod["automountServiceAccountToken"] is False
            assert pod["enableServiceLinks"] is False


# ---- keys


def test_fault_10_keys_are_in_the_secret_and_nowhere_else() -> None:
    made = plan()
    key = coinbase_key(b"canary!!" * 4)
    secret = made.coinbase_secret(made.miners[1], key)
    assert secret["metadata"]["name"] == made.miners[1].secret_name == "miner-2-coinbase"
    assert {name: base64.b64decode(value).decode() for name, value in secret["data"].items()} == {
        "private": key.private_hex,
        "public": key.public_hex,
    }
    everything = json.dumps(objects_of(made))
    assert key.private_hex not in everything
    assert key.public_hex not in everything
    assert container(bootnode(made)["Deployment"])["env"] == [
        {"name": "COINBASE", "valueFrom": {"secretKeyRef": {"name": "miner-2-coinbase", "key": "public"}}}
    ]


# ---- PoETs


def test_a_poet() -> None:
    made = plan(poets={"count": 2, "init_phase_shift_seconds": 50})
    objects = by_kind(made.poet_objects(made.poets[1]))
    poet = container(objects["Deployment"])
    assert poet["command"] == ["/bin/poet"]
    assert poet["args"] == ["--restlisten=0.0.0.0:5000", "--initialduration=710s", "--jsonlog", "--configfile=/etc/poet/poet.conf"]
    assert objects["ConfigMap"]["data"] == {"poet.conf": 'duration="360s"\nn="21"\n'}
    assert {mount["name"]: mount["mountPath"] for mount in poet["volumeMounts"]} == {"data": "/root/.poet", "config": "/etc/poet"}
    assert objects["Service"]["spec"]["type"] == "NodePort"
    assert objects["Service"]["spec"]["ports"] == [{"name": "rest", "port": 5000, "targetPort": 5000, "protocol": "TCP"}]


def test_a_changed_configuration_shows_on_the_pod() -> None:
    """So that an upgrade of the configuration rolls the pod."""
    one = bootnode(plan())["Deployment"]["spec"]["template"]["metadata"]["annotations"]["cosmodrome.dev/config"]
    other = bootnode(plan(node_config={"overrides": {"main": {"hdist": 11}}}))["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert one != other["cosmodrome.dev/config"]


def test_large_networks_have_names_that_kubernetes_takes() -> None:
    spec = {"name": "n" * 40, "miners": {"count": 5000, "cpu": "1m", "memory": "16Mi"}}
    made = make_plan(network(**spec), facts(nodes=big_enough(3, cpu="500", memory="9999Gi")))
    last = made.miners[-1]
    assert (last.port, last.secret_name) == (10000, "miner-5000-coinbase")
    assert len(made.miners) == 5000
