"""What deployments do to replica sets, and what they tell while they do it."""

from __future__ import annotations

from typing import Any

from lab.controllers.objects import condition
from lab.kubernetes.kinds import DEPLOYMENT, EVENT, POD, REPLICA_SET
from lab.kubernetes.registry import DeleteOptions
from tests.lab.controllers.world import Cluster, cluster

Obj = dict[str, Any]


def counts(obj: Obj) -> Obj:
    return {key: value for key, value in obj["status"].items() if key != "conditions"}


def reasons(obj: Obj) -> list[str]:
    return [f"{one['type']}={one['status']}({one['reason']})" for one in obj["status"].get("conditions", [])]


def deployment(lab: Cluster, name: str = "web") -> Obj:
    return lab.registry.get(DEPLOYMENT, "demo", name)


def change_template(lab: Cluster, image: str, name: str = "web") -> None:
    lab.registry.modify(DEPLOYMENT, "demo", name, lambda one: one["spec"]["template"]["spec"]["containers"][0].update(image=image))


async def scale(lab: Cluster, replicas: int) -> None:
    lab.registry.modify(DEPLOYMENT, "demo", "web", lambda one: one["spec"].update(replicas=replicas))
    await lab.until(lambda: deployment(lab)["status"].get("replicas") == replicas)


async def test_status_writes_of_a_new_deployment_come_in_the_recorded_order() -> None:
    async with cluster() as lab:
        lab.nodes.stuck = lambda pod: True
        lab.deploy(replicas=2)
        await lab.settle()
        lab.nodes.stuck = lambda pod: False
        for pod in lab.pods():
            lab.nodes.play(pod)
            await lab.settle()
        seen = [(counts(event.object), reasons(event.object)) for event in lab.history(DEPLOYMENT)]
        assert seen == [
            ({}, []),
            ({}, ["Progressing=True(NewReplicaSetCreated)"]),
            (
                {"observedGeneration": 1, "unavailableReplicas": 2, "terminatingReplicas": 0},
                ["Progressing=True(NewReplicaSetCreated)", "Available=False(MinimumReplicasUnavailable)"],
            ),
            (
                {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "unavailableReplicas": 2, "terminatingReplicas": 0},
                ["Available=False(MinimumReplicasUnavailable)", "Progressing=True(ReplicaSetUpdated)"],
            ),
            (
                {
                    "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 1, "availableReplicas": 1,
                    "unavailableReplicas": 1, "terminatingReplicas": 0,
                },
                ["Available=False(MinimumReplicasUnavailable)", "Progressing=True(ReplicaSetUpdated)"],
            ),
            (
                {
                    "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
                    "terminatingReplicas": 0,
                },
                ["Available=True(MinimumReplicasAvailable)", "Progressing=True(NewReplicaSetAvailable)"],
            ),
        ]  # fmt: skip
        assert lab.history(DEPLOYMENT)[1].object["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
        assert lab.history(DEPLOYMENT)[1].object["metadata"]["generation"] == 1


async def test_replica_set_carries_hash_revision_and_sizes() -> None:
    async with cluster() as lab:
        lab.deploy(replicas=2)
        await lab.settle()
        (replica_set,) = lab.registry.list(REPLICA_SET, "demo")
        number = replica_set["metadata"]["labels"]["pod-template-hash"]
        assert replica_set["metadata"]["name"] == f"web-{number}"
        assert replica_set["spec"]["selector"] == {"matchLabels": {"app": "web", "pod-template-hash": number}}
        assert replica_set["metadata"]["annotations"] == {
            "deployment.kubernetes.io/desired-replicas": "2",
            "deployment.kubernetes.io/max-replicas": "3",
            "deployment.kubernetes.io/revision": "1",
        }
        assert all(pod["metadata"]["labels"]["pod-template-hash"] == number for pod in lab.pods())


async def test_rolling_update_never_goes_below_or_above_its_limits() -> None:
    async with cluster() as lab:
        lab.deploy(replicas=4, strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}})
        await lab.until(lambda: deployment(lab)["status"].get("availableReplicas") == 4)
        await lab.settle()
        begin = len(lab.nodes.log)
        change_template(lab, "other")
        await lab.until(lambda: deployment(lab)["status"].get("updatedReplicas") == 4 and "NewReplicaSetAvailable" in str(reasons(deployment(lab))))
        await lab.settle()
        for event in lab.nodes.log[begin:]:
            if event.kind is DEPLOYMENT and event.object["status"].get("observedGeneration") == 2:
                assert event.object["status"]["availableReplicas"] >= 3
                assert event.object["status"]["replicas"] <= 5
        sizes = sorted(one["spec"]["replicas"] for one in lab.registry.list(REPLICA_SET, "demo"))
        assert sizes == [0, 4]


async def test_an_update_that_never_gets_ready_stops_and_misses_its_deadline() -> None:
    async with cluster(speed=200) as lab:
        lab.deploy(replicas=2, progressDeadlineSeconds=20)
        await lab.until(lambda: deployment(lab)["status"].get("availableReplicas") == 2)
        lab.nodes.stuck = lambda pod: True
        change_template(lab, "broken")
        await lab.until(lambda: "Progressing=False(ProgressDeadlineExceeded)" in reasons(deployment(lab)))
        status = deployment(lab)["status"]
        assert status["availableReplicas"] == 2  # 25 % of two may not be missing
        assert status["updatedReplicas"] == 1
        assert "has timed out progressing" in str(condition(deployment(lab), "Progressing"))
        lab.nodes.stuck = lambda pod: False
        change_template(lab, "busybox")
        await lab.until(lambda: "Progressing=True(NewReplicaSetAvailable)" in reasons(deployment(lab)))


async def test_recreate_makes_nothing_new_before_the_last_old_pod_has_ended() -> None:
    async with cluster() as lab:
        lab.deploy(replicas=2, strategy={"type": "Recreate"})
        await lab.until(lambda: deployment(lab)["status"].get("availableReplicas") == 2)
        old = {pod["metadata"]["name"] for pod in lab.pods()}
        begin = len(lab.nodes.log)
        change_template(lab, "other")
        await lab.until(lambda: deployment(lab)["status"].get("observedGeneration") == 2 and deployment(lab)["status"].get("availableReplicas") == 2)
        gone: set[str] = set()
        for event in lab.nodes.log[begin:]:
            if event.kind is POD and event.type == "DELETED":
                gone.add(event.object["metadata"]["name"])
            if event.kind is POD and event.type == "ADDED":
                assert gone == old


async def test_pause_holds_a_change_back_and_resume_lets_it_go() -> None:
    async with cluster() as lab:
        lab.deploy(replicas=2)
        await lab.until(lambda: deployment(lab)["status"].get("availableReplicas") == 2)
        lab.registry.modify(DEPLOYMENT, "demo", "web", lambda one: one["spec"].update(paused=True))
        await lab.settle()
        change_template(lab, "other")
        await lab.settle()
        assert len(lab.registry.list(REPLICA_SET, "demo")) == 1
        assert reasons(deployment(lab)) == ["Available=True(MinimumReplicasAvailable)", "Progressing=Unknown(DeploymentPaused)"]
        assert "updatedReplicas" not in deployment(lab)["status"]
        lab.registry.modify(DEPLOYMENT, "demo", "web", lambda one: one["spec"].pop("paused"))
        await lab.until(lambda: deployment(lab)["status"].get("updatedReplicas") == 2)
        states = [reasons(event.object) for event in lab.history(DEPLOYMENT)]
        assert ["Available=True(MinimumReplicasAvailable)", "Progressing=Unknown(DeploymentResumed)"] in states


async def test_scaling_is_told_in_events_and_leaves_progress_alone() -> None:
    async with cluster() as lab:
        lab.deploy(replicas=1)
        await lab.until(lambda: deployment(lab)["status"].get("availableReplicas") == 1)
        lab.registry.modify(DEPLOYMENT, "demo", "web", lambda one: one["spec"].update(replicas=3))
        await lab.until(lambda: deployment(lab)["status"].get("availableReplicas") == 3)
        lab.registry.modify(DEPLOYMENT, "demo", "web", lambda one: one["spec"].update(replicas=0))
        await lab.until(lambda: not lab.pods())
        await lab.settle()
        (replica_set,) = lab.registry.list(REPLICA_SET, "demo")
        name = replica_set["metadata"]["name"]
        messages = [event["message"] for event in lab.registry.list(EVENT, "demo") if event["reason"] == "ScalingReplicaSet"]
        assert sorted(messages) == [
            f"Scaled down replica set {name} from 3 to 0",
            f"Scaled up replica set {name} from 0 to 1",
            f"Scaled up replica set {name} from 1 to 3",
        ]
        assert counts(deployment(lab)) == {"observedGeneration": 3, "terminatingReplicas": 0}
        assert "Progressing=True(NewReplicaSetAvailable)" in reasons(deployment(lab))


async def test_scaling_in_the_middle_of_a_roll_shares_the_change() -> None:
    async with cluster() as lab:
        lab.deploy(replicas=10, strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}})
        await lab.until(lambda: deployment(lab)["status"].get("availableReplicas") == 10)
        lab.nodes.stuck = lambda pod: True
        change_template(lab, "broken")
        await lab.settle()
        before = sorted(one["spec"]["replicas"] for one in lab.registry.list(REPLICA_SET, "demo"))
        assert before == [5, 8]  # the example of Kubernetes' own documentation of proportional scaling
        lab.registry.modify(DEPLOYMENT, "demo", "web", lambda one: one["spec"].update(replicas=15))
        await lab.settle()
        assert sorted(one["spec"]["replicas"] for one in lab.registry.list(REPLICA_SET, "demo")) == [7, 11]


async def test_going_back_uses_the_old_replica_set_and_keeps_its_history() -> None:
    async with cluster() as lab:
        lab.deploy(replicas=1)
        await lab.settle()
        (first,) = lab.registry.list(REPLICA_SET, "demo")
        for image in ("other", "busybox"):
            change_template(lab, image)
            await lab.until(lambda: deployment(lab)["status"].get("updatedReplicas") == 1)
            await lab.settle()
        sets = {one["metadata"]["name"]: one for one in lab.registry.list(REPLICA_SET, "demo")}
        assert len(sets) == 2
        notes = sets[first["metadata"]["name"]]["metadata"]["annotations"]
        assert notes["deployment.kubernetes.io/revision"] == "3"
        assert notes["deployment.kubernetes.io/revision-history"] == "1"
        assert deployment(lab)["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"


async def test_old_revisions_beyond_the_limit_are_forgotten() -> None:
    async with cluster() as lab:
        lab.deploy(replicas=1, revisionHistoryLimit=1)
        await lab.settle()
        for number in range(4):
            change_template(lab, f"image:{number}")
            await lab.until(
                lambda: "NewReplicaSetAvailable" in str(reasons(deployment(lab))) and deployment(lab)["status"].get("updatedReplicas") == 1
            )
            await lab.settle()
        revisions = [one["metadata"]["annotations"]["deployment.kubernetes.io/revision"] for one in lab.registry.list(REPLICA_SET, "demo")]
        assert sorted(revisions) == ["4", "5"]


async def test_deleting_in_the_foreground_waits_for_pods_and_in_the_background_does_not() -> None:
    async with cluster() as lab:
        for policy in ("Background", "Foreground"):
            lab.deploy(replicas=2)
            await lab.until(lambda: deployment(lab)["status"].get("availableReplicas") == 2)
            begin = len(lab.nodes.log)
            lab.registry.delete(DEPLOYMENT, "demo", "web", DeleteOptions(propagation=policy))
            await lab.until(lambda: not lab.pods() and lab.registry.find(DEPLOYMENT, "demo", "web") is None)
            await lab.settle()
            gone = [event.kind for event in lab.nodes.log[begin:] if event.type == "DELETED" and event.kind in (POD, REPLICA_SET, DEPLOYMENT)]
            assert gone == ([DEPLOYMENT, REPLICA_SET, POD, POD] if policy == "Background" else [POD, POD, REPLICA_SET, DEPLOYMENT])


async def test_orphaned_replica_sets_are_adopted_by_a_new_deployment() -> None:
    async with cluster() as lab:
        lab.deploy(replicas=2)
        await lab.until(lambda: deployment(lab)["status"].get("availableReplicas") == 2)
        names = {pod["metadata"]["name"] for pod in lab.pods()}
        lab.registry.delete(DEPLOYMENT, "demo", "web", DeleteOptions(propagation="Orphan"))
        await lab.until(lambda: lab.registry.find(DEPLOYMENT, "demo", "web") is None)
        (replica_set,) = lab.registry.list(REPLICA_SET, "demo")
        assert "ownerReferences" not in replica_set["metadata"]
        last = [event for event in lab.history(DEPLOYMENT) if event.type == "DELETED"][-1].object
        assert counts(last) == {"observedGeneration": 2, "terminatingReplicas": 0}
        lab.deploy(replicas=2)
        await lab.until(lambda: deployment(lab)["status"].get("availableReplicas") == 2)
        assert {pod["metadata"]["name"] for pod in lab.pods()} == names


async def test_many_scalings_end_in_combined_events() -> None:
    async with cluster() as lab:
        lab.deploy(replicas=1)
        await lab.settle()
        for replicas in range(2, 13):
            await scale(lab, replicas)
        events = [event for event in lab.registry.list(EVENT, "demo") if event["reason"] == "ScalingReplicaSet"]
        (combined,) = [event for event in events if event["message"].startswith("(combined from similar events): ")]
        assert len(events) == 10
        assert combined["count"] == 3
        assert combined["message"].endswith("from 11 to 12")
        assert combined["reportingComponent"] == ""
