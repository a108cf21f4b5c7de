"""Google's own SDK for GKE, unmodified, over its REST transport, against the lab; and the clusters that it makes."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import InvalidOperation
from google.auth.transport.requests import AuthorizedSession
from google.cloud import container_v1
from google.cloud.container_v1.services.cluster_manager.transports import ClusterManagerRestTransport
from google.oauth2 import service_account
from google.oauth2.credentials import Credentials
from kubernetes import client as kubernetes

from tests.lab.faults import LabFaults

Obj = dict[str, Any]
SetUp = Callable[[str, Obj], Obj]
ZONE = "projects/lab/locations/us-central1-a"
DONE = container_v1.Operation.Status.DONE


def make_client(lab: Obj, credentials: Any) -> container_v1.ClusterManagerClient:
    transport = ClusterManagerRestTransport(host=lab["gke"].removeprefix("http://"), credentials=credentials, url_scheme="http")
    return container_v1.ClusterManagerClient(transport=transport)


@pytest.fixture
def gke(outside_lab: Obj) -> container_v1.ClusterManagerClient:
    return make_client(outside_lab, Credentials(outside_lab["tokens"]["google"]))  # type: ignore[no-untyped-call]


@pytest.fixture
def disks(outside_lab: Obj) -> Callable[..., list[Obj]]:
    """The disks of project `lab` that a filter lets through, over plain REST."""
    session = AuthorizedSession(Credentials(outside_lab["tokens"]["google"]))  # type: ignore[no-untyped-call]

    def find(text: str = "") -> list[Obj]:
        answer = session.get(f"{outside_lab['compute']}/compute/v1/projects/lab/aggregated/disks", params={"filter": text})
        answer.raise_for_status()
        return [disk for zone in answer.json()["items"].values() for disk in zone["disks"]]

    return find


def finish(gke: container_v1.ClusterManagerClient, operation: container_v1.Operation) -> container_v1.Operation:
    for _ in range(1000):
        if operation.status == DONE:
            return operation
        time.sleep(0.02)
        operation = gke.get_operation(name=f"{ZONE}/operations/{operation.name}")
    raise AssertionError(operation)


def create(gke: container_v1.ClusterManagerClient, name: str, nodes: int = 1, machine: str = "e2-standard-4", **more: Any) -> container_v1.Operation:
    pool = {"name": "default", "initial_node_count": nodes, "config": {"machine_type": machine, "labels": {"role": "miner"}}}
    return finish(gke, gke.create_cluster(parent=ZONE, cluster={"name": name, "node_pools": [pool], **more}))


def connect(cluster: container_v1.Cluster, token: str, folder: Path) -> kubernetes.ApiClient:
    certificate = folder / "ca.pem"
    certificate.write_bytes(base64.b64decode(cluster.master_auth.cluster_ca_certificate))
    configuration = kubernetes.Configuration(host=f"https://{cluster.endpoint}")
    configuration.ssl_ca_cert = str(certificate)
    configuration.api_key = {"authorization": f"Bearer {token}"}
    return kubernetes.ApiClient(configuration)


def claim_and_pod() -> tuple[Obj, Obj]:
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    container = {"name": "main", "image": "example/pause", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    return claim, {"metadata": {"name": "miner"}, "spec": {"containers": [container], "volumes": volumes}}


def test_a_cluster_from_beginning_to_end(
    gke: container_v1.ClusterManagerClient, disks: Callable[..., list[Obj]], outside_lab: Obj, tmp_path: Path
) -> None:
    pool = {"name": "default", "initial_node_count": 2, "config": {"machine_type": "n2-standard-8", "labels": {"role": "miner"}}}
    started = gke.create_cluster(parent=ZONE, cluster={"name": "net-a", "node_pools": [pool], "resource_labels": {"network": "net-a"}})
    assert started.operation_type == container_v1.Operation.Type.CREATE_CLUSTER
    early = gke.get_cluster(name=f"{ZONE}/clusters/net-a")
    assert (early.status, early.endpoint) == (container_v1.Cluster.Status.PROVISIONING, "")
    with pytest.raises(exceptions.Conflict):
        gke.create_cluster(parent=ZONE, cluster={"name": "net-a", "initial_node_count": 1})
    with pytest.raises(exceptions.BadRequest, match="is currently creating cluster net-a"):
        gke.delete_cluster(name=f"{ZONE}/clusters/net-a")
    assert not finish(gke, started).error.message

    cluster = gke.get_cluster(name=f"{ZONE}/clusters/net-a")
    assert cluster.status == container_v1.Cluster.Status.RUNNING
    assert dict(cluster.resource_labels) == {"network": "net-a"}
    assert [one.name for one in gke.list_clusters(parent="projects/lab/locations/-").clusters if one.name == "net-a"] == ["net-a"]
    with connect(cluster, outside_lab["tokens"]["google"], tmp_path) as api:
        core = kubernetes.CoreV1Api(api)
        nodes = core.list_node().items
        capacities = [(node.status.capacity["cpu"], node.status.capacity["memory"], node.metadata.labels["role"]) for node in nodes]
        assert capacities == [("8", "32Gi", "miner")] * 2
        assert all(node.metadata.labels["cloud.google.com/gke-nodepool"] == "default" for node in nodes)

        finish(gke, gke.set_node_pool_size({"name": f"{ZONE}/clusters/net-a/nodePools/default", "node_count": 3}))
        assert len(core.list_node().items) == 3
        boot = "labels.goog-k8s-cluster-name=net-a AND labels.goog-gke-node:*"
        assert len(disks(boot)) == 3 and len(disks("labels.network=net-a")) == 3

        claim, pod = claim_and_pod()
        core.create_namespaced_persistent_volume_claim("default", claim)
        wait_for(lambda: core.list_namespaced_service_account("default").items)
        core.create_namespaced_pod("default", pod)
        wait_for(lambda: core.read_namespaced_pod("miner", "default").status.phase == "Running")
        volumes = "labels.goog-k8s-cluster-name=net-a labels.goog-gke-volume:*"
        (volume,) = disks(volumes)
        assert (volume["sizeGb"], len(volume["users"])) == ("10", 1)
        finish(gke, gke.set_node_pool_size({"name": f"{ZONE}/clusters/net-a/nodePools/default", "node_count": 1}))
        assert len(core.list_node().items) == len(disks(boot)) == 1

    assert finish(gke, gke.delete_cluster(name=f"{ZONE}/clusters/net-a")).operation_type == container_v1.Operation.Type.DELETE_CLUSTER
    with pytest.raises(exceptions.NotFound):
        gke.get_cluster(name=f"{ZONE}/clusters/net-a")
    (left,) = disks("labels.goog-k8s-cluster-name=net-a")  # what volumes were on is left behind
    assert left["name"] == volume["name"] and "users" not in left


def wait_for(condition: Callable[[], Any]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come")


def test_leftover_disks_can_be_deleted(set_up: SetUp, outside_lab: Obj, disks: Callable[..., list[Obj]]) -> None:
    names = [f"pvc-{number}" for number in range(3)]
    set_up("compute", {"disks": [{"name": name, "labels": {"goog-k8s-cluster-name": "gone"}} for name in names]})
    session = AuthorizedSession(Credentials(outside_lab["tokens"]["google"]))  # type: ignore[no-untyped-call]
    url = f"{outside_lab['compute']}/compute/v1/projects/lab/zones/us-central1-a"
    first = session.get(f"{url}/disks", params={"filter": "labels.goog-k8s-cluster-name=gone", "maxResults": 2}).json()
    rest = session.get(f"{url}/disks", params={"filter": "labels.goog-k8s-cluster-name=gone", "pageToken": first["nextPageToken"]}).json()
    assert [disk["name"] for disk in first["items"] + rest["items"]] == names and "nextPageToken" not in rest
    assert len(disks("labels.goog-k8s-cluster-name=gone AND -users:*")) == len(disks("name eq 'pvc-[0-9]'")) == 3
    for name in names:
        operation = session.delete(f"{url}/disks/{name}").json()
        assert session.post(f"{url}/operations/{operation['name']}/wait").json()["status"] == "DONE"
    assert disks("labels.goog-k8s-cluster-name=gone") == []
    missing = session.get(f"{url}/disks/{names[0]}")
    assert (missing.status_code, missing.json()["error"]["errors"][0]["reason"]) == (404, "notFound")
    assert session.get(f"{url}/disks", params={"filter": "what is this"}).status_code == 400


def test_node_pools_and_labels(gke: container_v1.ClusterManagerClient) -> None:
    create(gke, "pools", resource_labels={"a": "1"})
    path = f"{ZONE}/clusters/pools"
    config = {"machine_type": "c2-standard-16", "taints": [{"key": "big", "value": "1", "effect": 1}]}
    finish(gke, gke.create_node_pool(parent=path, node_pool={"name": "big", "initial_node_count": 2, "config": config}))
    assert [one.name for one in gke.list_node_pools(parent=path).node_pools] == ["default", "big"]
    assert gke.get_node_pool(name=f"{path}/nodePools/big").status == container_v1.NodePool.Status.RUNNING
    cluster = gke.get_cluster(name=path)
    assert cluster.current_node_count == 3
    finish(gke, gke.set_labels({"name": path, "resource_labels": {"b": "2"}, "label_fingerprint": cluster.label_fingerprint}))
    assert dict(gke.get_cluster(name=path).resource_labels) == {"b": "2"}
    with pytest.raises(exceptions.BadRequest):
        gke.set_labels({"name": path, "label_fingerprint": cluster.label_fingerprint})
    autoscaling = {"enabled": True, "min_node_count": 1, "max_node_count": 5}
    finish(gke, gke.set_node_pool_autoscaling({"name": f"{path}/nodePools/default", "autoscaling": autoscaling}))
    assert gke.get_node_pool(name=f"{path}/nodePools/default").autoscaling.max_node_count == 5
    finish(gke, gke.delete_node_pool(name=f"{path}/nodePools/big"))
    with pytest.raises(exceptions.NotFound):
        gke.get_node_pool(name=f"{path}/nodePools/big")
    # the older form of the same calls
    assert gke.get_cluster(project_id="lab", zone="us-central1-a", cluster_id="pools").name == "pools"
    finish(gke, gke.delete_cluster(project_id="lab", zone="us-central1-a", cluster_id="pools"))


def test_a_pool_that_grows_when_pods_find_no_place(gke: container_v1.ClusterManagerClient, outside_lab: Obj, tmp_path: Path) -> None:
    autoscaling = {"enabled": True, "min_node_count": 1, "max_node_count": 4}
    pool = {"name": "default", "initial_node_count": 1, "config": {"machine_type": "e2-standard-4"}, "autoscaling": autoscaling}
    finish(gke, gke.create_cluster(parent=ZONE, cluster={"name": "grows", "node_pools": [pool]}))
    path = f"{ZONE}/clusters/grows"
    with connect(gke.get_cluster(name=path), outside_lab["tokens"]["google"], tmp_path) as api:
        core = kubernetes.CoreV1Api(api)
        wait_for(lambda: core.list_namespaced_service_account("default").items)
        for number in range(3):
            container = {"name": "main", "image": "example/pause", "resources": {"requests": {"cpu": "3"}}}
            core.create_namespaced_pod("default", {"metadata": {"name": f"miner-{number}"}, "spec": {"containers": [container]}})
        wait_for(lambda: all(pod.status.phase == "Running" for pod in core.list_namespaced_pod("default").items))
        assert len(core.list_node().items) == gke.get_cluster(name=path).current_node_count == 3
        assert any(event.reason == "TriggeredScaleUp" for event in core.list_namespaced_event("default").items)
    finish(gke, gke.delete_cluster(name=path))


def test_quotas_and_what_is_not_there(gke: container_v1.ClusterManagerClient, set_up: SetUp) -> None:
    set_up("gke", {"quotas": {"C3_CPUS": 8}})
    with pytest.raises(exceptions.Forbidden, match=r"resource \"C3_CPUS\": request requires '24\.0' and is short '16\.0'"):
        create(gke, "greedy", 3, "c3-standard-8")
    set_up("gke", {"quotas": {"C3_CPUS": None}})
    for wish in ({"name": "No"}, {"name": "x"}, {"name": "x", "initial_node_count": 1, "node_config": {"machine_type": "z9-giant-1"}}):
        with pytest.raises(exceptions.BadRequest):
            gke.create_cluster(parent=ZONE, cluster=wish)
    with pytest.raises(exceptions.NotFound, match="Not found: projects/lab/locations/us-central1-a/clusters/nothing"):
        gke.get_cluster(name=f"{ZONE}/clusters/nothing")


def test_operations_that_fail(gke: container_v1.ClusterManagerClient, lab_faults: LabFaults) -> None:
    lab_faults.add("operation", "^CREATE_CLUSTER .*/unlucky$", "fail", times=1)
    operation = create(gke, "unlucky")
    assert operation.error.code == 8 and "does not have enough resources" in operation.error.message
    cluster = gke.get_cluster(name=f"{ZONE}/clusters/unlucky")
    assert cluster.status == container_v1.Cluster.Status.ERROR and "enough resources" in cluster.status_message
    finish(gke, gke.delete_cluster(name=f"{ZONE}/clusters/unlucky"))
    lab_faults.add("gke", "^GET .*/clusters", "status", code=503, times=1)
    assert gke.list_clusters(parent=ZONE) is not None  # the SDK asks again
    lab_faults.add("gke", "^POST .*/clusters", "status", code=429, times=1)
    with pytest.raises(exceptions.TooManyRequests):
        gke.create_cluster(parent=ZONE, cluster={"name": "x", "initial_node_count": 1})
    assert lab_faults.left() == []


def test_who_asks(outside_lab: Obj, show: Callable[[str], Obj], tmp_path: Path) -> None:
    with pytest.raises(InvalidOperation):  # refused, and cannot do anything about it
        make_client(outside_lab, AnonymousCredentials()).list_clusters(parent=ZONE)  # type: ignore[no-untyped-call]
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    credentials = service_account.Credentials.from_service_account_info(show("gke")["key"], scopes=scopes)  # type: ignore[no-untyped-call]
    gke = make_client(outside_lab, credentials)
    create(gke, "own-key")
    with connect(gke.get_cluster(name=f"{ZONE}/clusters/own-key"), credentials.token, tmp_path) as api:
        assert len(kubernetes.CoreV1Api(api).list_node().items) == 1
    with connect(gke.get_cluster(name=f"{ZONE}/clusters/own-key"), "nonsense", tmp_path) as api, pytest.raises(kubernetes.ApiException) as error:
        kubernetes.CoreV1Api(api).list_node()
    assert error.value.status == 401
    finish(gke, gke.delete_cluster(name=f"{ZONE}/clusters/own-key"))
