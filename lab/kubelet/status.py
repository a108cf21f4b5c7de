"""A pod's status from what the kubelet knows of it. Pure functions, after those of a real kubelet (1.36)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from lab.clock import timestamp
from lab.kubelet.runs import ContainerState, Run
from lab.kubernetes.quantity import canonical, parse

Obj = dict[str, Any]

_NEVER = "1970-01-01T00:00:00Z"
_OURS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
LOST = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": "The container could not be located when the pod was terminated",
        "startedAt": None, "finishedAt": None}  # fmt: skip


@dataclass
class PodFacts:
    """What a status is made of, beside the pod itself."""

    containers: list[ContainerState]  # init containers first, in the order of the spec, then the others, then ephemeral ones
    host_ip: str
    ip: str  # "" while no container was created
    sandbox: bool  # the pod's own surroundings (address, volumes) stand
    start_time: datetime
    terminal: bool = False  # nothing of it runs any more, nor will
    failure: tuple[str, str] | None = None  # reason and message of a pod that the kubelet itself gave up


def make_status(pod: Obj, facts: PodFacts, now: datetime) -> tuple[Obj, str]:
    """The whole status, to be compared with the present one before it is written; and the phase that it will say once nothing runs any more."""
    old = pod.get("status") or {}
    policy = pod["spec"].get("restartPolicy", "Always")
    deleting = "deletionTimestamp" in pod["metadata"]
    statuses = {state.name: container_status(pod, state, policy, deleting) for state in facts.containers}
    if facts.terminal:
        _settle(facts.containers, statuses)
    phase = "Failed" if facts.failure else pod_phase(policy, facts.containers, statuses, facts.terminal)
    if facts.terminal and phase not in ("Succeeded", "Failed"):
        phase = "Failed"
    conditions = _conditions(pod, facts, phase, statuses, now)
    # A pod counts as finished only when nothing of it runs any more.
    shown = phase if facts.terminal or phase not in ("Succeeded", "Failed") else old.get("phase", "Pending")
    status: Obj = {"observedGeneration": pod["metadata"].get("generation", 1), "phase": shown, "conditions": conditions}
    if facts.failure and facts.terminal:
        status |= {"message": facts.failure[1], "reason": facts.failure[0]}
    status |= {"hostIP": facts.host_ip, "hostIPs": [{"ip": facts.host_ip}]}
    if facts.ip:
        status |= {"podIP": facts.ip, "podIPs": [{"ip": facts.ip}]}
    status["startTime"] = old.get("startTime") or timestamp(facts.start_time)
    for state in sorted(facts.containers, key=lambda one: (not one.init, one.ephemeral)):
        status.setdefault(state.status_field, []).append(statuses[state.name])
    status["qosClass"] = old.get("qosClass", "BestEffort")
    for key in ("nominatedNodeName", "resourceClaimStatuses"):
        if key in old:
            status[key] = old[key]
    status |= pod_resources([state.spec for state in facts.containers if not state.init and not state.ephemeral])
    return status, phase


def container_status(pod: Obj, state: ContainerState, policy: str, deleting: bool) -> Obj:
    """One container's status."""
    run = state.current
    shown, last = _states(pod, state)
    will_run = run is None or (not run.running and state.restarts_after_exit(policy))
    if state.waiting and will_run and not deleting:
        if "terminated" in shown:
            last = shown
        shown = {"waiting": _waiting(*state.waiting)}
    running = "running" in shown
    completed = state.init and not state.sidecar and "terminated" in shown and shown["terminated"]["exitCode"] == 0
    ready = completed if state.init and not state.sidecar else running and state.started and state.ready
    status: Obj = {
        "name": state.name, "state": shown, "lastState": last, "ready": ready, "restartCount": state.restarts,
        "image": state.spec.get("image", ""), "imageID": run.image_id if run else "",
    }  # fmt: skip
    if run:
        status["containerID"] = run.container_id
    status["started"] = running and state.started
    if state.ephemeral:  # no probes, so neither ready nor started
        status.pop("started")
        status["ready"] = False
    if run:
        resources = state.spec.get("resources") or {}
        if resources.get("requests"):
            status["allocatedResources"] = resources["requests"]
        status["resources"] = {key: resources[key] for key in ("limits", "requests") if resources.get(key)}
    mounts = [_mount(mount) for mount in state.spec.get("volumeMounts") or ()]
    if mounts:
        status["volumeMounts"] = mounts
    if run:
        status["user"] = {"linux": _user(pod, state.spec)}
    return status


def _states(pod: Obj, state: ContainerState) -> tuple[Obj, Obj]:
    last: Obj = {"terminated": terminated(state.last)} if state.last else {}
    run = state.current
    if run is None:
        default = "PodInitializing" if pod["spec"].get("initContainers") and not state.ephemeral else "ContainerCreating"
        return {"waiting": {"reason": default}}, last
    if run.running:
        return {"running": {"startedAt": timestamp(run.started_at)}} if run.started_at else {"waiting": {"reason": "ContainerCreating"}}, last
    return {"terminated": terminated(run)}, last


def _waiting(reason: str, message: str) -> Obj:
    return {"reason": reason, "message": message} if message else {"reason": reason}


def terminated(run: Run) -> Obj:
    """The state of a run that ended."""
    state: Obj = {"exitCode": run.exit_code, "reason": run.reason or ("Completed" if run.exit_code == 0 else "Error")}
    if run.message:
        state["message"] = run.message
    state["startedAt"] = timestamp(run.started_at) if run.started_at else _NEVER
    state["finishedAt"] = timestamp(run.finished_at) if run.finished_at else _NEVER
    state["containerID"] = run.container_id
    return state


def _mount(mount: Obj) -> Obj:
    found: Obj = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        found |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
    return found


def _user(pod: Obj, container: Obj) -> Obj:
    security = {**(pod["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}
    uid, gid = security.get("runAsUser", 0), security.get("runAsGroup", 0)
    groups = [gid, *(group for group in (*(security.get("supplementalGroups") or ()), security.get("fsGroup")) if group is not None and group != gid)]
    return {"uid": uid, "gid": gid, "supplementalGroups": groups}


def _settle(containers: list[ContainerState], statuses: dict[str, Obj]) -> None:
    """In a pod that is over, a container that should have run but did not counts as failed."""
    has_init = any(state.init for state in containers)
    initialized = not has_init or any("waiting" not in statuses[state.name]["state"] for state in containers if not state.init)
    for state in containers:
        status = statuses[state.name]
        # Containers that never had their turn stay as they are.
        had_turn = initialized or (state.init and state.current is not None)
        if had_turn and not state.ephemeral and "terminated" not in status["state"]:
            status["state"] = {"terminated": dict(LOST)}


def pod_phase(policy: str, containers: list[ContainerState], statuses: dict[str, Obj], terminal: bool) -> str:
    """The phase that the containers' states make."""
    pending, failed_init = 0, 0
    for state in containers:
        if state.init:
            waits, failed = _init_counts(state, statuses[state.name])
            pending, failed_init = pending + waits, failed_init + failed
    counts = {"running": 0, "waiting": 0, "stopped": 0, "succeeded": 0}
    for state in containers:
        if not state.init and not state.ephemeral:
            counts[_count_as(statuses[state.name])] += 1
    if failed_init and policy == "Never":
        return "Failed"
    if pending or (counts["waiting"] and not terminal) or (failed_init and not terminal and not counts["running"]):
        return "Pending"
    if counts["running"]:
        return "Running"
    return _stopped_phase(policy, counts, terminal)


def _stopped_phase(policy: str, counts: dict[str, int], terminal: bool) -> str:
    """All containers ended."""
    failed = counts["stopped"] + counts["waiting"]
    if not (failed or counts["succeeded"]):
        return "Pending"
    if terminal or policy == "Never":
        return "Failed" if failed else "Succeeded"
    if policy == "Always" or failed:
        return "Running"
    return "Succeeded"


def _init_counts(state: ContainerState, status: Obj) -> tuple[int, int]:
    shown = status["state"]
    if state.sidecar:
        never = "waiting" in shown and not status["lastState"]
        return int(never or ("running" in shown and not status.get("started"))), 0
    if "running" in shown:
        return 1, 0
    if "terminated" in shown:
        return 0, int(shown["terminated"]["exitCode"] != 0)
    last = status["lastState"].get("terminated")
    return (0, int(last["exitCode"] != 0)) if last else (1, 0)


def _count_as(status: Obj) -> str:
    shown = status["state"]
    if "running" in shown:
        return "running"
    if "terminated" in shown:
        return "succeeded" if shown["terminated"]["exitCode"] == 0 else "stopped"
    return "stopped" if status["lastState"] else "waiting"


def _conditions(pod: Obj, facts: PodFacts, phase: str, statuses: dict[str, Obj], now: datetime) -> list[Obj]:
    old = {condition["type"]: condition for condition in (pod.get("status") or {}).get("conditions") or ()}
    foreign = [condition for kind, condition in old.items() if kind not in _OURS]
    contain = _containers_ready(facts.containers, statuses, phase)
    made = {
        "PodReadyToStartContainers": (facts.sandbox and not facts.terminal, "", ""),
        "Initialized": _initialized(facts.containers, statuses, phase),
        "Ready": _gates(pod, contain, old),
        "ContainersReady": contain,
        "PodScheduled": (True, "", ""),
    }
    generation = pod["metadata"].get("generation", 1)
    return foreign + [_condition(kind, made[kind], old.get(kind), generation, now) for kind in _OURS]


def _condition(kind: str, made: tuple[bool, str, str], old: Obj | None, generation: int, now: datetime) -> Obj:
    status = "True" if made[0] else "False"
    since = old["lastTransitionTime"] if old and old["status"] == status else timestamp(now)
    condition: Obj = {"type": kind, "observedGeneration": generation, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
    if made[1]:
        condition["reason"] = made[1]
    if made[2]:
        condition["message"] = made[2]
    return condition


def _initialized(containers: list[ContainerState], statuses: dict[str, Obj], phase: str) -> tuple[bool, str, str]:
    if phase == "Succeeded":
        return True, "PodCompleted", ""
    if any(not state.init and not state.ephemeral and _has_started(statuses[state.name]) for state in containers):
        return True, "", ""
    unready = [
        state.name for state in containers if state.init and not statuses[state.name]["started" if state.sidecar else "ready"]
    ]  # fmt: skip
    if unready:
        return False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(unready)}]"
    return True, "", ""


def _has_started(status: Obj) -> bool:
    return bool("running" in status["state"] or "terminated" in status["state"] or status["lastState"])


def _containers_ready(containers: list[ContainerState], statuses: dict[str, Obj], phase: str) -> tuple[bool, str, str]:
    if phase == "Succeeded":
        return False, "PodCompleted", ""
    if phase == "Failed":
        return False, "PodFailed", ""
    unready = [state.name for state in containers if (state.sidecar or not state.init) and not state.ephemeral and not statuses[state.name]["ready"]]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""


def _gates(pod: Obj, ready: tuple[bool, str, str], old: dict[str, Obj]) -> tuple[bool, str, str]:
    """A pod with readiness gates is ready only when somebody else says so too."""
    if not ready[0]:
        return ready
    problems = []
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        if kind not in old:
            problems.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif old[kind]["status"] != "True":
            problems.append(f'the status of pod readiness gate "{kind}" is not "True", but {old[kind]["status"]}')
    return (False, "ReadinessGatesNotReady", ", ".join(problems)) if problems else ready


def pod_resources(containers: Iterable[Obj]) -> Obj:
    """What the containers have together: `allocatedResources` and `resources`, as in a status."""
    sums: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    for container in containers:
        for part, total in sums.items():
            for name, amount in ((container.get("resources") or {}).get(part) or {}).items():
                total[name] = _add(total[name], amount) if name in total else amount
    found: Obj = {"allocatedResources": sums["requests"]} if sums["requests"] else {}
    found["resources"] = {part: sums[part] for part in ("limits", "requests") if sums[part]}
    return found


def _add(one: str, other: str) -> str:
    total = parse(one) + parse(other)
    if total == total.to_integral_value():
        text = str(int(total))
        return canonical(f"{int(total) // 1024}Ki") if total >= 1024 and total % 1024 == 0 else canonical(text)
    return canonical(f"{int((total * Decimal(1000)).to_integral_value())}m")
