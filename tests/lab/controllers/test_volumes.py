"""Claims and volumes: bound, made, kept while in use."""

from __future__ import annotations

from typing import Any

from lab.controllers.volumes import standard_storage_class
from lab.kubernetes.kinds import EVENT, POD, PV, PVC, STORAGE_CLASS
from tests.lab.controllers.world import Cluster, cluster

Obj = dict[str, Any]


def claim(lab: Cluster, name: str = "data", storage: str = "1Gi", storage_class: str = "manual", **spec: Any) -> Obj:
    body = {
        "metadata": {"name": name, "finalizers": ["kubernetes.io/pvc-protection"]},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}, "storageClassName": storage_class, **spec},
    }
    return lab.registry.create(PVC, body, "demo")


def volume(lab: Cluster, name: str, storage: str = "1Gi", storage_class: str = "manual", **spec: Any) -> Obj:
    body = {
        "metadata": {"name": name, "finalizers": ["kubernetes.io/pv-protection"]},
        "spec": {
            "capacity": {"storage": storage}, "accessModes": ["ReadWriteOnce"], "storageClassName": storage_class, "hostPath": {"path": "/x"},
            "persistentVolumeReclaimPolicy": "Retain", **spec,
        },
    }  # fmt: skip
    return lab.registry.create(PV, body)


def storage_class(lab: Cluster, name: str = "manual", mode: str = "Immediate", provisioner: str = "kubernetes.io/no-provisioner") -> None:
    lab.registry.create(STORAGE_CLASS, {"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode, "reclaimPolicy": "Delete"})


def user(lab: Cluster, name: str = "user", claim_name: str = "data", **spec: Any) -> Obj:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}]
    body = {"metadata": {"name": name}, "spec": {"containers": [{"name": "main", "image": "busybox"}], "volumes": volumes, **spec}}
    return lab.registry.create(POD, body, "demo")


def phase(lab: Cluster, kind: Any, name: str) -> str:
    return str(lab.registry.get(kind, "demo" if kind is PVC else "", name)["status"].get("phase"))


def reasons(lab: Cluster) -> list[str]:
    return [event["reason"] for event in lab.registry.list(EVENT, "demo")]


async def test_a_claim_gets_the_smallest_volume_that_is_large_enough() -> None:
    async with cluster() as lab:
        for name, storage in (("small", "512Mi"), ("large", "10Gi"), ("fitting", "2Gi")):
            volume(lab, name, storage)
        made = claim(lab)
        await lab.settle()
        bound = lab.registry.get(PVC, "demo", "data")
        assert bound["spec"]["volumeName"] == "fitting"
        assert bound["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"}}
        assert bound["metadata"]["annotations"] == {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
        taken = lab.registry.get(PV, "", "fitting")
        assert taken["spec"]["claimRef"]["uid"] == made["metadata"]["uid"]
        assert (phase(lab, PV, "fitting"), phase(lab, PV, "small")) == ("Bound", "Available")


async def test_a_claim_waits_and_says_for_what() -> None:
    async with cluster() as lab:
        claim(lab, "none", storage_class="")
        claim(lab, "missing", storage_class="missing")
        storage_class(lab, "foreign", provisioner="pd.csi.example.dev")
        claim(lab, "foreign", storage_class="foreign")
        await lab.settle()
        told = {event["involvedObject"]["name"]: (event["type"], event["reason"]) for event in lab.registry.list(EVENT, "demo")}
        assert told == {
            "none": ("Normal", "FailedBinding"),
            "missing": ("Warning", "ProvisioningFailed"),
            "foreign": ("Normal", "ExternalProvisioning"),
        }
        volume(lab, "late", storage_class="")
        await lab.settle()
        assert (phase(lab, PVC, "none"), phase(lab, PVC, "missing")) == ("Bound", "Pending")


async def test_wait_for_first_consumer_binds_when_a_pod_comes() -> None:
    async with cluster() as lab:
        storage_class(lab, mode="WaitForFirstConsumer")
        volume(lab, "pv-0")
        claim(lab)
        await lab.settle()
        assert phase(lab, PVC, "data") == "Pending"
        assert reasons(lab) == ["WaitForFirstConsumer"]
        user(lab)
        await lab.until(lambda: lab.registry.get(POD, "demo", "user")["status"]["phase"] == "Running")
        writes = [event.object for event in lab.history(PVC)]
        assert [(one["spec"].get("volumeName"), one["status"]["phase"]) for one in writes] == [
            (None, "Pending"), ("pv-0", "Pending"), ("pv-0", "Bound"),
        ]  # fmt: skip


async def test_a_pod_whose_volume_cannot_be_had_is_told_so_and_runs_when_it_can() -> None:
    async with cluster() as lab:
        storage_class(lab, mode="WaitForFirstConsumer")
        claim(lab)
        user(lab)
        await lab.settle()
        condition = lab.registry.get(POD, "demo", "user")["status"]["conditions"][0]
        assert condition["message"] == (
            "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind. no new claims to deallocate, "
            "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        )
        volume(lab, "pv-0")
        await lab.until(lambda: lab.registry.get(POD, "demo", "user")["status"]["phase"] == "Running")


async def test_the_labs_own_class_makes_a_volume_for_the_first_pod_and_takes_it_away_with_the_claim() -> None:
    async with cluster() as lab:
        lab.registry.create(STORAGE_CLASS, standard_storage_class())
        made = claim(lab, storage_class="standard")
        await lab.settle()
        assert lab.registry.list(PV) == []
        user(lab)
        await lab.until(lambda: lab.registry.get(POD, "demo", "user")["status"]["phase"] == "Running")
        (volume_,) = lab.registry.list(PV)
        assert volume_["metadata"]["name"] == f"pvc-{made['metadata']['uid']}"
        assert lab.registry.get(PVC, "demo", "data")["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == "node1"
        assert {"WaitForFirstConsumer", "ExternalProvisioning", "Provisioning", "ProvisioningSucceeded", "Scheduled"} == set(reasons(lab))
        lab.registry.delete(PVC, "demo", "data")
        await lab.settle()
        assert phase(lab, PVC, "data") == "Bound"  # still in use
        lab.registry.delete(POD, "demo", "user")
        await lab.until(lambda: not lab.registry.list(PVC, "demo") and not lab.registry.list(PV))


async def test_an_ephemeral_volume_has_a_claim_that_goes_with_its_pod() -> None:
    async with cluster() as lab:
        lab.registry.create(STORAGE_CLASS, standard_storage_class())
        wish = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "standard"}
        template = {"metadata": {"labels": {"a": "b"}}, "spec": wish}
        user(lab, volumes=[{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}])
        await lab.until(lambda: lab.registry.get(POD, "demo", "user")["status"]["phase"] == "Running")
        made = lab.registry.get(PVC, "demo", "user-scratch")
        assert made["metadata"]["labels"] == {"a": "b"}
        assert made["metadata"]["ownerReferences"][0]["kind"] == "Pod"
        lab.registry.delete(POD, "demo", "user")
        await lab.until(lambda: not lab.registry.list(PVC, "demo") and not lab.registry.list(PV))


async def test_a_retained_volume_is_released_and_not_given_to_anybody_else() -> None:
    async with cluster() as lab:
        volume(lab, "pv-0")
        claim(lab)
        await lab.until(lambda: phase(lab, PV, "pv-0") == "Bound")
        lab.registry.delete(PV, "", "pv-0")
        await lab.settle()
        assert phase(lab, PV, "pv-0") == "Bound"  # protected while bound
        lab.registry.delete(PVC, "demo", "data")
        await lab.until(lambda: not lab.registry.list(PV))
        volume(lab, "pv-1")
        claim(lab)
        await lab.until(lambda: phase(lab, PV, "pv-1") == "Bound")
        lab.registry.delete(PVC, "demo", "data")
        await lab.until(lambda: phase(lab, PV, "pv-1") == "Released")
        claim(lab)
        await lab.settle()
        assert phase(lab, PVC, "data") == "Pending"


async def test_immediate_claims_that_are_not_bound_keep_a_pod_pending() -> None:
    async with cluster() as lab:
        user(lab)
        await lab.settle()

        def message() -> str:
            return str(lab.registry.get(POD, "demo", "user")["status"]["conditions"][0]["message"])

        assert message().startswith('0/1 nodes are available: persistentvolumeclaim "data" not found. ')
        claim(lab)
        await lab.settle()
        assert message().startswith("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. ")
        volume(lab, "pv-0")
        await lab.until(lambda: lab.registry.get(POD, "demo", "user")["status"]["phase"] == "Running")


async def test_a_volume_that_only_one_node_reaches_decides_where_the_pod_goes() -> None:
    async with cluster(nodes=3) as lab:
        terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node2"]}]}]
        volume(lab, "local", nodeAffinity={"required": {"nodeSelectorTerms": terms}})
        claim(lab)
        user(lab)
        await lab.until(lambda: lab.registry.get(POD, "demo", "user")["spec"].get("nodeName") == "node2")
