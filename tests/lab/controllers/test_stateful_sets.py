"""Stateful sets: order, names, renewal, claims."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.kinds import CONTROLLER_REVISION, EVENT, POD, PVC, RESOURCE_QUOTA, STATEFUL_SET
from lab.kubernetes.registry import DeleteOptions
from tests.lab.controllers.world import Cluster, cluster

Obj = dict[str, Any]


def make(lab: Cluster, replicas: int = 3, **spec: Any) -> Obj:
    pod = {"containers": [{"name": "main", "image": "busybox"}], "terminationGracePeriodSeconds": 1}
    template = {"metadata": {"labels": {"app": "core"}}, "spec": pod}
    body = {
        "metadata": {"name": "core"},
        "spec": {"replicas": replicas, "serviceName": "hl", "selector": {"matchLabels": {"app": "core"}}, "template": template, **spec},
    }
    return lab.registry.create(STATEFUL_SET, body, "demo")


def status(lab: Cluster) -> Obj:
    found: Obj = lab.registry.get(STATEFUL_SET, "demo", "core")["status"]
    return found


def names(lab: Cluster) -> list[str]:
    return [pod["metadata"]["name"] for pod in lab.pods()]


def change(lab: Cluster, **spec: Any) -> None:
    lab.registry.modify(STATEFUL_SET, "demo", "core", lambda one: one["spec"].update(spec))


def new_template(lab: Cluster, note: str) -> None:
    def renew(one: Obj) -> None:
        one["spec"]["template"]["metadata"]["annotations"] = {"note": note}

    lab.registry.modify(STATEFUL_SET, "demo", "core", renew)


def notes(lab: Cluster) -> dict[str, str]:
    return {pod["metadata"]["name"]: (pod["metadata"].get("annotations") or {}).get("note", "") for pod in lab.pods()}


def created(lab: Cluster) -> list[str]:
    return [event.object["metadata"]["name"] for event in lab.history(POD) if event.type == "ADDED"]


async def test_pods_come_one_after_the_other_and_know_who_they_are() -> None:
    async with cluster() as lab:
        lab.nodes.stuck = lambda pod: pod["metadata"]["name"] == "core-1"
        make(lab)
        await lab.until(lambda: status(lab).get("replicas") == 2)
        await lab.settle()
        assert names(lab) == ["core-0", "core-1"]
        lab.nodes.stuck = lambda pod: False
        lab.nodes.play(lab.registry.get(POD, "demo", "core-1"))
        await lab.until(lambda: status(lab).get("readyReplicas") == 3)
        pod = lab.registry.get(POD, "demo", "core-2")
        assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("core-2", "hl")
        assert pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "2"
        assert pod["metadata"]["labels"]["controller-revision-hash"] == status(lab)["updateRevision"]


async def test_parallel_sets_wait_for_nobody_and_numbers_may_start_anywhere() -> None:
    async with cluster() as lab:
        lab.nodes.stuck = lambda pod: True
        make(lab, podManagementPolicy="Parallel", ordinals={"start": 5})
        await lab.until(lambda: names(lab) == ["core-5", "core-6", "core-7"])


async def test_sets_shrink_from_the_highest_number_down() -> None:
    async with cluster() as lab:
        make(lab)
        await lab.until(lambda: status(lab).get("readyReplicas") == 3)
        change(lab, replicas=1)
        await lab.until(lambda: status(lab).get("replicas") == 1)
        gone = [event.object["metadata"]["name"] for event in lab.history(POD) if event.type == "DELETED"]
        assert gone == ["core-2", "core-1"]


async def test_a_new_template_goes_from_the_top_down_to_the_partition() -> None:
    async with cluster() as lab:
        make(lab, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 1}})
        await lab.until(lambda: status(lab).get("readyReplicas") == 3)
        new_template(lab, "new")
        await lab.until(lambda: status(lab).get("updatedReplicas") == 2 and status(lab).get("readyReplicas") == 3)
        assert notes(lab) == {"core-0": "", "core-1": "new", "core-2": "new"}
        assert created(lab)[3:] == ["core-2", "core-1"]
        assert status(lab)["currentRevision"] != status(lab)["updateRevision"]
        lab.registry.delete(POD, "demo", "core-0")
        await lab.until(lambda: len(created(lab)) == 6 and status(lab).get("readyReplicas") == 3)
        assert notes(lab)["core-0"] == ""  # below the partition: as it was
        change(lab, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
        await lab.until(lambda: notes(lab).get("core-0") == "new" and status(lab)["currentRevision"] == status(lab)["updateRevision"])


async def test_on_delete_renews_only_what_somebody_deletes_and_old_revisions_are_found_again() -> None:
    async with cluster() as lab:
        make(lab, 2, updateStrategy={"type": "OnDelete"})
        await lab.until(lambda: status(lab).get("readyReplicas") == 2)
        first = status(lab)["updateRevision"]
        new_template(lab, "new")
        await lab.until(lambda: status(lab)["updateRevision"] != first)
        assert set(notes(lab).values()) == {""}
        lab.registry.delete(POD, "demo", "core-1")
        await lab.until(lambda: notes(lab).get("core-1") == "new")
        lab.registry.modify(STATEFUL_SET, "demo", "core", lambda one: one["spec"]["template"]["metadata"].pop("annotations"))
        await lab.until(lambda: status(lab)["updateRevision"] == first)
        assert sorted(one["revision"] for one in lab.registry.list(CONTROLLER_REVISION, "demo")) == [2, 3]


async def test_each_pod_has_claims_that_outlive_it_unless_the_set_says_otherwise() -> None:
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}

    def claims(lab: Cluster) -> list[str]:
        return [one["metadata"]["name"] for one in lab.registry.list(PVC, "demo")]

    async with cluster() as lab:
        make(lab, 2, podManagementPolicy="Parallel", volumeClaimTemplates=[claim])
        await lab.until(lambda: claims(lab) == ["data-core-0", "data-core-1"] and len(lab.pods()) == 2)
        volumes = lab.registry.get(POD, "demo", "core-0")["spec"]["volumes"]
        assert volumes[0] == {"name": "data", "persistentVolumeClaim": {"claimName": "data-core-0"}}
        change(lab, replicas=1)
        await lab.until(lambda: names(lab) == ["core-0"])
        assert claims(lab) == ["data-core-0", "data-core-1"]
        change(lab, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete", "whenScaled": "Delete"})
        await lab.until(lambda: lab.registry.get(PVC, "demo", "data-core-0")["metadata"].get("ownerReferences"))
        lab.registry.delete(STATEFUL_SET, "demo", "core", DeleteOptions(propagation="Background"))
        await lab.until(lambda: claims(lab) == ["data-core-1"])


async def test_a_pod_that_the_quota_forbids_comes_when_there_is_room() -> None:
    async with cluster() as lab:
        lab.registry.create(RESOURCE_QUOTA, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}}, "demo")
        make(lab, 2)
        await lab.until(lambda: any(one["reason"] == "FailedCreate" for one in lab.registry.list(EVENT, "demo")))
        assert names(lab) == ["core-0"]
        lab.registry.modify(RESOURCE_QUOTA, "demo", "q", lambda quota: quota["spec"]["hard"].update(pods="2"))
        await lab.until(lambda: names(lab) == ["core-0", "core-1"])
