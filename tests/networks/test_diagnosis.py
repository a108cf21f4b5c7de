"""What is wrong with a pod: judged on pods and events as a real cluster recorded them (Kubernetes 1.36)."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from networks.diagnosis import Diagnosis, describe_pod, diagnose_pod

RECORDING = Path(__file__).parents[1] / "data" / "recordings" / "kubernetes" / "05b-pod-failures.jsonl.gz"
Obj = dict[str, Any]


@cache
def recorded() -> dict[str, list[tuple[float, Obj]]]:
    """Namespace to what its watches of pods and events showed, in order of time."""
    seen: dict[str, list[tuple[float, Obj]]] = {}
    with gzip.open(RECORDING, "rt") as lines:
        for line in map(json.loads, lines):
            path = line["path"].partition("?")[0]
            if "watch=true" not in line["path"] or not path.endswith(("/pods", "/events")):
                continue
            shown = [(line["t_ms"] + event["ms"], event["object"]) for event in line["response_body"] if event["type"] != "BOOKMARK"]
            seen.setdefault(path.split("/")[-2], []).extend(shown)
    for history in seen.values():
        history.sort(key=lambda entry: entry[0])
        spec: Obj = {}
        for _, obj in history:
            if obj["kind"] == "Pod":
                spec = obj["spec"] = spec if obj["spec"] == "<unchanged>" else obj["spec"]
    return seen


def history(namespace: str, *, age: float = 5) -> list[Diagnosis | None]:
    """The diagnoses that following a pod gives, each once. `age`: how long ago the pod is said to be made, in seconds."""
    pod: Obj | None = None
    events: dict[str, Obj] = {}
    found: list[Diagnosis | None] = []
    for _, obj in recorded()[namespace]:
        if obj["kind"] == "Event":
            events[obj["metadata"]["name"]] = obj
        else:
            pod = obj
        if pod is None:
            continue
        now = datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) + timedelta(seconds=age)
        diagnosis = diagnose_pod(pod, list(events.values()), now)
        if not found or found[-1] != diagnosis:
            found.append(diagnosis)
    return found


def troubles(namespace: str, *, age: float = 5) -> list[Diagnosis]:
    return [diagnosis for diagnosis in history(namespace, age=age) if diagnosis]


def test_an_image_that_cannot_be_pulled_now_may_come_later() -> None:
    (trouble,) = troubles("f-pull")
    assert trouble.kind == "image"
    assert trouble.summary.startswith("image 'localhost:5999/none:1' cannot be pulled: Failed to pull image")
    assert "connection refused" in trouble.summary
    assert trouble.advice == "check the image's name and tag, that it is there, and that the cluster may pull it"
    assert not trouble.hopeless


def test_an_image_that_failed_three_times_will_not_come() -> None:
    pod, events = last_of("f-pull")
    for event in events:
        if event["message"].startswith("Failed to pull image"):
            event["count"] = 3
    assert judged(pod, events).hopeless


@pytest.mark.parametrize(
    "why",
    [
        'rpc error: code = NotFound desc = failed to pull and unpack image "docker.io/x/y:z": docker.io/x/y:z: not found',
        "pull access denied, repository does not exist or may require authorization",
        "unexpected status from HEAD request: 401 Unauthorized",
        "manifest unknown",
        "no match for platform in manifest",
    ],
)
def test_an_image_that_is_not_there_is_hopeless_at_once(why: str) -> None:
    pod, events = last_of("f-pull")
    for event in events:
        if event["message"].startswith("Failed to pull image"):
            event.update(count=1, message=f'Failed to pull image "x/y:z": {why}')
    assert judged(pod, events).hopeless


def test_an_image_that_may_not_be_pulled() -> None:
    trouble = troubles("f-never")[-1]
    assert (trouble.kind, trouble.hopeless) == ("image", True)
    assert "'localhost/not-here:1' is not on the worker node, and may not be pulled" in trouble.summary


def test_an_image_name_that_is_none() -> None:
    trouble = troubles("f-inv")[-1]
    assert (trouble.kind, trouble.hopeless) == ("image", True)
    assert "is no image name" in trouble.summary
    assert "invalid reference format" in trouble.summary


def test_a_crash_is_hopeless_the_third_time() -> None:
    found = troubles("f-crash")
    assert {trouble.kind for trouble in found} == {"crash"}
    assert {trouble.exit_code for trouble in found} == {3}
    assert [(trouble.summary.split(",")[0], trouble.hopeless) for trouble in found] == [
        ("container main ended once", False),
        ("container main ended 2 times", False),
        ("container main ended 3 times", True),
        ("container main ended 4 times", True),
    ]


def test_between_crashes_a_ready_pod_has_no_trouble() -> None:
    assert None in history("f-crash")[2:]


def test_a_command_that_is_not_in_the_image_is_hopeless_at_once() -> None:
    trouble = troubles("f-cmd")[0]
    assert (trouble.kind, trouble.hopeless, trouble.exit_code) == ("start", True, 128)
    assert '"/no/such/binary"' in trouble.summary


def test_out_of_memory_twice_is_hopeless() -> None:
    first, second = troubles("f-oom")
    assert first.summary == "ran out of memory (it may use 20Mi) once"
    assert (first.kind, first.hopeless, first.exit_code) == ("out-of-memory", False, 137)
    assert second.summary == "ran out of memory (it may use 20Mi) 2 times"
    assert second.hopeless
    assert second.advice == "give it more memory (miners.memory or poets.memory)"


def test_configuration_that_is_missing_is_hopeless_after_a_while() -> None:
    (trouble,) = troubles("f-cfg")
    assert (trouble.kind, trouble.hopeless) == ("config", False)
    assert trouble.summary == 'its container cannot be made: configmap "none" not found'
    assert next(t for t in troubles("f-cfg", age=31) if t.kind == "config").hopeless
    assert history("f-cfg")[-1] is None  # it came


def test_a_volume_that_cannot_be_mounted() -> None:
    (trouble,) = troubles("f-vol")
    assert (trouble.kind, trouble.hopeless) == ("mount", False)
    assert trouble.summary == 'a volume cannot be mounted: MountVolume.SetUp failed for volume "v" : configmap "none" not found'
    assert troubles("f-vol", age=31)[-1].hopeless


def test_a_pod_that_fits_nowhere_is_hopeless_after_a_while() -> None:
    (young,) = troubles("f-sched")
    assert (young.kind, young.hopeless) == ("unschedulable", False)
    assert young.summary.startswith("fits on no worker node: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.")
    assert troubles("f-sched", age=31)[-1].hopeless


def test_a_pod_that_is_too_large() -> None:
    trouble = troubles("f-big", age=31)[-1]
    assert (trouble.kind, trouble.hopeless) == ("unschedulable", True)
    assert "Insufficient cpu, 1 Insufficient memory" in trouble.summary
    assert trouble.advice == "ask for less cpu and memory or fewer pods, free room on the worker nodes, or add worker nodes"


def test_a_pod_that_runs_but_does_not_answer() -> None:
    found = troubles("f-ready")
    assert {(trouble.kind, trouble.hopeless) for trouble in found} == {("probe", False)}
    assert found[0].summary == "runs, but does not answer: Readiness probe failed: cat: can't open '/tmp/ok': No such file or directory"
    assert history("f-ready")[-1] is None


def test_a_pod_that_is_ready_has_no_trouble_whatever_was() -> None:
    assert troubles("f-live") == []


def test_init_containers_that_do_their_work_are_no_trouble() -> None:
    assert troubles("f-init") == []


def test_an_init_container_that_fails() -> None:
    found = troubles("f-initbad")
    assert {(trouble.kind, trouble.container, trouble.exit_code) for trouble in found} == {("crash", "i1", 1)}
    assert found[-1].hopeless


# ---- what the recording does not hold, in the same form

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


def last_of(namespace: str) -> tuple[Obj, list[Obj]]:
    """Copies of a pod's last state and of all its events."""
    pod = next(obj for _, obj in reversed(recorded()[namespace]) if obj["kind"] == "Pod")
    events = {obj["metadata"]["name"]: obj for _, obj in recorded()[namespace] if obj["kind"] == "Event"}
    return json.loads(json.dumps(pod)), [json.loads(json.dumps(e)) for e in events.values() if e["involvedObject"]["kind"] == "Pod"]


def judged(pod: Obj, events: list[Obj]) -> Diagnosis:
    found = diagnose_pod(pod, events, datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) + timedelta(seconds=20))
    assert found is not None
    return found


def a_pod(*, status: Obj | None = None, spec: Obj | None = None, age: float = 10, **metadata: Any) -> Obj:
    made = (NOW - timedelta(seconds=age)).isoformat()
    return {"metadata": {"name": "miner-2-x", "uid": "u1", "creationTimestamp": made, **metadata}, "spec": spec or {}, "status": status or {}}


def an_event(reason: str, message: str, **fields: Any) -> Obj:
    return {"involvedObject": {"kind": "Pod", "name": "miner-2-x", "uid": "u1"}, "reason": reason, "message": message, **fields}


def unschedulable(message: str, since: float = 60) -> Obj:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return a_pod(
        status={"phase": "Pending", "conditions": [{**condition, "lastTransitionTime": (NOW - timedelta(seconds=since)).isoformat()}]},
        spec={"nodeSelector": {"kubernetes.io/hostname": "node-2"}},
    )


def diagnosed(pod: Obj, *events: Obj) -> Diagnosis:
    found = diagnose_pod(pod, events, NOW)
    assert found is not None
    return found


def test_a_pod_that_is_being_deleted_has_no_trouble() -> None:
    pod = unschedulable("0/1 nodes are available")
    pod["metadata"]["deletionTimestamp"] = NOW.isoformat()
    assert diagnose_pod(pod, [], NOW) is None


def test_a_pod_whose_worker_node_is_gone_says_which() -> None:
    trouble = diagnosed(unschedulable("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."))
    assert trouble.hopeless
    assert trouble.advice == "it is pinned to worker node node-2: bring that node back, or deploy the network anew"


def test_a_host_port_that_is_taken() -> None:
    trouble = diagnosed(unschedulable("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."))
    assert "another pod holds the same host port" in trouble.advice


def test_a_disk_that_does_not_come_is_waited_for_longer() -> None:
    message = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    young, old = diagnosed(unschedulable(message, since=40)), diagnosed(unschedulable(message, since=61))
    assert (young.kind, young.hopeless, old.hopeless) == ("volume-pending", False, True)
    assert "volumes.storage_class" in old.advice


def test_a_cluster_that_grows_is_waited_for() -> None:
    grown = diagnosed(
        unschedulable("0/1 nodes are available: 1 Insufficient cpu.", since=600), an_event("TriggeredScaleUp", "pod triggered scale-up")
    )
    assert not grown.hopeless
    cannot = diagnosed(
        unschedulable("0/1 nodes are available: 1 Insufficient cpu.", since=1), an_event("NotTriggerScaleUp", "max node group size reached")
    )
    assert cannot.hopeless


def test_an_evicted_pod_is_replaced_by_its_deployment() -> None:
    trouble = diagnosed(a_pod(status={"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}))
    assert (trouble.kind, trouble.hopeless) == ("evicted", False)
    assert trouble.summary == "evicted (Evicted): The node was low on resource: memory."


def test_a_pod_that_its_probe_kills() -> None:
    status = {
        "name": "miner",
        "restartCount": 3,
        "ready": False,
        "state": {"running": {}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "Error"}},
    }
    trouble = diagnosed(
        a_pod(status={"phase": "Running", "containerStatuses": [status]}),
        an_event("Unhealthy", "Startup probe failed: dial tcp 10.0.0.1:6000: connect: connection refused"),
        an_event("Killing", "Container miner failed startup probe, will be restarted"),
    )
    assert (trouble.kind, trouble.hopeless, trouble.exit_code) == ("probe", True, 137)
    assert (
        trouble.summary == "was killed 3 times, because it did not answer: Startup probe failed: dial tcp 10.0.0.1:6000: connect: connection refused"
    )


def test_what_a_container_says_on_its_way_out_is_told() -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "no such\nnetwork"}}
    status = {"name": "miner", "restartCount": 0, "ready": False, "state": ended, "lastState": {}}
    trouble = diagnosed(a_pod(status={"phase": "Running", "containerStatuses": [status]}))
    assert trouble.summary == "container miner ended once, last with exit code 1: no such network"


def test_a_disk_that_is_still_attached_elsewhere() -> None:
    trouble = diagnosed(a_pod(status={"phase": "Pending"}), an_event("FailedAttachVolume", "Multi-Attach error for volume pvc-1"))
    assert (trouble.kind, trouble.hopeless) == ("attach", False)


def test_a_worker_node_that_cannot_make_the_pod() -> None:
    trouble = diagnosed(a_pod(status={"phase": "Pending"}), an_event("FailedCreatePodSandBox", "network plugin not ready"))
    assert (trouble.kind, trouble.hopeless) == ("sandbox", False)


def test_what_takes_long_is_told_with_what_it_is_doing() -> None:
    waiting = {"name": "miner", "ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
    pod = a_pod(status={"phase": "Pending", "containerStatuses": [waiting]}, age=45)
    assert diagnosed(pod).summary == "not ready after 45 s: Pending: miner waiting (ContainerCreating)"
    assert diagnosed(pod, an_event("Pulling", 'Pulling image "x"')).summary == 'not ready after 45 s: Pulling image "x"'
    assert not diagnosed(pod).hopeless
    assert diagnose_pod(a_pod(status={"phase": "Pending", "containerStatuses": [waiting]}, age=5), [], NOW) is None


def test_events_of_others_do_not_count() -> None:
    other = an_event("FailedMount", "not found")
    other["involvedObject"] = {"kind": "Pod", "name": "miner-2-x", "uid": "u0"}  # an earlier pod of the same name
    assert diagnose_pod(a_pod(status={"phase": "Pending"}), [other], NOW) is None


def test_the_newest_event_is_told() -> None:
    old = an_event("FailedMount", "old", lastTimestamp="2026-11-22T05:59:00Z")
    new = an_event("FailedMount", "new", lastTimestamp="2026-11-22T05:59:30Z")
    assert diagnosed(a_pod(status={"phase": "Pending"}), new, old).summary == "a volume cannot be mounted: new"


@pytest.mark.parametrize(
    "pod", [{}, {"metadata": {}, "status": {}}, {"metadata": None, "spec": None, "status": None}, {"status": {"conditions": None}}]
)
def test_a_pod_of_which_nothing_is_known_yet_has_no_trouble(pod: Obj) -> None:
    assert diagnose_pod(pod, [], NOW) is None
    assert describe_pod(pod) == "Unknown"


def test_long_messages_are_cut() -> None:
    assert len(diagnosed(unschedulable("x" * 5000)).summary) < 500


def test_a_pods_state_in_a_line() -> None:
    pod, _ = last_of("f-initbad")
    assert describe_pod(pod) == "Pending: i1 terminated (Error), main waiting (PodInitializing)"
