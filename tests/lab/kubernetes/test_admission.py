"""What depends on other objects: accounts, priorities, limits, quotas, addresses."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from lab.kubernetes.context import Context
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import LIMIT_RANGE, POD, PRIORITY_CLASS, PVC, RESOURCE_QUOTA, SERVICE, SERVICE_ACCOUNT, STORAGE_CLASS
from lab.kubernetes.pod_admission import TOKEN_PATH
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]


def pod(registry: Registry, name: str = "p", container: Obj | None = None, **spec: Any) -> Obj:
    containers = [{"name": "main", "image": "x", **(container or {})}]
    return registry.create(POD, {"metadata": {"name": name}, "spec": {"containers": containers, **spec}}, "demo")


def service(registry: Registry, name: str, ctx: Context | None = None, **spec: Any) -> Obj:
    spec = {"ports": [{"port": 80}], "selector": {"a": "b"}, **spec}
    return registry.create(SERVICE, {"metadata": {"name": name}, "spec": spec}, "demo", *([ctx] if ctx else []))


def test_pods_get_an_account_and_its_token(registry: Registry) -> None:
    spec = pod(registry)["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    volume = next(one for one in spec["volumes"] if one["name"].startswith("kube-api-access-"))
    assert [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == volume["name"]] == [TOKEN_PATH]
    assert not any(one["name"].startswith("kube-api") for one in pod(registry, "q", automountServiceAccountToken=False)["spec"].get("volumes", ()))
    with pytest.raises(ApiError, match='error looking up service account demo/ghost: serviceaccount "ghost" not found'):
        pod(registry, "r", serviceAccountName="ghost")
    registry.create(SERVICE_ACCOUNT, {"metadata": {"name": "puller"}, "imagePullSecrets": [{"name": "s"}]}, "demo")
    assert pod(registry, "r", serviceAccountName="puller")["spec"]["imagePullSecrets"] == [{"name": "s"}]


def test_priorities(registry: Registry) -> None:
    registry.create(PRIORITY_CLASS, {"metadata": {"name": "high"}, "value": 100})
    assert pod(registry, "a", priorityClassName="high")["spec"]["priority"] == 100
    assert pod(registry, "b")["spec"]["priority"] == 0
    with pytest.raises(ApiError, match="no PriorityClass with name none was found"):
        pod(registry, "c", priorityClassName="none")


def test_tolerations_come_back(registry: Registry) -> None:
    pod(registry, tolerations=[{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}])
    tolerations = registry.get(POD, "demo", "p")["spec"]["tolerations"]
    assert {one["key"]: one["tolerationSeconds"] for one in tolerations} == {"node.kubernetes.io/not-ready": 5, "node.kubernetes.io/unreachable": 300}


def test_limit_ranges(registry: Registry) -> None:
    limit = {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "10m"}, "max": {"cpu": "1"}}
    registry.create(LIMIT_RANGE, {"metadata": {"name": "l"}, "spec": {"limits": [limit]}}, "demo")
    made = pod(registry)
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m"}, "requests": {"cpu": "10m"}}
    note = made["metadata"]["annotations"]["kubernetes.io/limit-ranger"]
    assert note == "LimitRanger plugin set: cpu request for container main; cpu limit for container main"
    with pytest.raises(ApiError, match="maximum cpu usage per Container is 1, but limit is 2"):
        pod(registry, "q", {"resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}})


def test_quotas(registry: Registry) -> None:
    registry.create(RESOURCE_QUOTA, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1", "count/services": "2"}}}, "demo")
    assert registry.get(RESOURCE_QUOTA, "demo", "q")["status"]["used"] == {"pods": "0", "count/services": "0"}
    pod(registry)
    with pytest.raises(ApiError, match='pods "p2" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'):
        pod(registry, "p2")
    assert registry.get(RESOURCE_QUOTA, "demo", "q")["status"]["used"]["pods"] == "1"
    registry.delete(POD, "demo", "p")
    assert registry.get(RESOURCE_QUOTA, "demo", "q")["status"]["used"]["pods"] == "0"
    pod(registry, "p2")


def test_quotas_of_memory_want_to_be_told(registry: Registry) -> None:
    registry.create(RESOURCE_QUOTA, {"metadata": {"name": "q"}, "spec": {"hard": {"requests.memory": "2Gi"}}}, "demo")
    with pytest.raises(ApiError, match=r"failed quota: q: must specify requests\.memory for: main"):
        pod(registry)
    pod(registry, container={"resources": {"requests": {"memory": "1536Mi"}}})
    assert registry.get(RESOURCE_QUOTA, "demo", "q")["status"]["used"] == {"requests.memory": "1536Mi"}
    with pytest.raises(ApiError, match=r"exceeded quota: q, requested: requests\.memory=1Gi, used: requests\.memory=1536Mi"):
        pod(registry, "p2", {"resources": {"requests": {"memory": "1Gi"}}})


def test_cluster_ips(registry: Registry) -> None:
    registry.admission.services.network = IPv4Network("127.9.128.0/17")
    taken = {service(registry, f"s{number}")["spec"]["clusterIP"] for number in range(50)}
    assert len(taken) == 50 and all(IPv4Address(one) in IPv4Network("127.9.128.0/17") for one in taken)
    with pytest.raises(ApiError, match="provided IP is already allocated"):
        service(registry, "again", clusterIP=taken.pop())
    with pytest.raises(ApiError, match="does not match the current range"):
        service(registry, "outside", clusterIP="1.2.3.4")
    assert service(registry, "headless", clusterIP="None")["spec"]["clusterIPs"] == ["None"]
    name = service(registry, "name", type="ExternalName", externalName="a.example.dev", ports=[])
    assert "clusterIP" not in name["spec"]


def test_node_ports(registry: Registry) -> None:
    made = service(registry, "n", type="NodePort", ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81, "nodePort": 30007}])
    ports = [port["nodePort"] for port in made["spec"]["ports"]]
    assert ports[1] == 30007 and 30000 <= ports[0] <= 32767
    with pytest.raises(ApiError, match="provided port is already allocated"):
        service(registry, "m", type="NodePort", ports=[{"port": 80, "nodePort": 30007}])
    with pytest.raises(ApiError, match="not in the valid range"):
        service(registry, "m", type="NodePort", ports=[{"port": 80, "nodePort": 80}])


def test_a_service_keeps_its_addresses(registry: Registry) -> None:
    made = service(registry, "s", type="NodePort")["spec"]
    bare = {"metadata": {"name": "s", "namespace": "demo"}, "spec": {"type": "NodePort", "ports": [{"port": 80}], "selector": {"a": "c"}}}
    kept = registry.replace(SERVICE, bare)["spec"]
    assert (kept["clusterIP"], kept["ports"][0]["nodePort"]) == (made["clusterIP"], made["ports"][0]["nodePort"])
    plain = registry.replace(SERVICE, {**bare, "spec": {**bare["spec"], "type": "ClusterIP"}})["spec"]  # type: ignore[dict-item]
    assert plain["clusterIP"] == made["clusterIP"] and "nodePort" not in plain["ports"][0]


def test_claims_get_the_default_class(registry: Registry) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    assert "storageClassName" not in registry.create(PVC, {"metadata": {"name": "before"}, "spec": spec}, "demo")["spec"]
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    registry.create(STORAGE_CLASS, {"metadata": {"name": "standard", "annotations": default}, "provisioner": "x"})
    assert registry.create(PVC, {"metadata": {"name": "after"}, "spec": spec}, "demo")["spec"]["storageClassName"] == "standard"
    assert registry.create(PVC, {"metadata": {"name": "none"}, "spec": {**spec, "storageClassName": ""}}, "demo")["spec"]["storageClassName"] == ""
