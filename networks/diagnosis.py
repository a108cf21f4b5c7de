"""What is wrong with a pod, from what Kubernetes says of it: a value, with advice.

A diagnosis is *hopeless* when waiting longer cannot help: somebody must change something. What mends itself often enough (a registry that does not
answer, a node that restarts once) becomes hopeless only when it has happened several times, or for longer than `PATIENCE`.
Wordings are those of Kubernetes 1.36.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

Obj = Mapping[str, Any]

PATIENCE = timedelta(seconds=30)  # for what is usually over in a moment, like a place that another pod is just leaving
TRIES = 3  # for what is usually over after trying again

_GONE_FOR_GOOD = re.compile(
    r"not found|manifest unknown|does not exist|unauthorized|authentication required|denied|forbidden|no match for platform|no such host",
    re.IGNORECASE,
)
_TEXT_LIMIT = 400


@dataclass(frozen=True)
class Diagnosis:
    """One trouble of one pod. `kind` is a word for programs, `summary` what happened, `advice` what to do."""

    kind: str
    summary: str
    advice: str
    hopeless: bool
    container: str = ""
    exit_code: int | None = None


@dataclass(frozen=True)
class _Look:
    """A pod, its events, and the time."""

    pod: Obj
    events: Sequence[Obj]
    now: datetime

    @property
    def spec(self) -> Obj:
        return self.pod.get("spec") or {}

    @property
    def status(self) -> Obj:
        return self.pod.get("status") or {}

    def condition(self, kind: str) -> Obj:
        found: Obj = next((c for c in self.status.get("conditions") or [] if c.get("type") == kind), {})
        return found

    def with_reason(self, *reasons: str) -> list[Obj]:
        return [event for event in self.events if event.get("reason") in reasons]

    def last_message(self, *reasons: str, text: str = "") -> str:
        messages = [str(event.get("message") or "") for event in self.with_reason(*reasons)]
        return next((_short(message) for message in reversed(messages) if text in message), "")

    def times(self, *reasons: str, text: str = "") -> int:
        """How often something was told."""
        return sum(_count(event) for event in self.with_reason(*reasons) if text in str(event.get("message") or ""))

    def waited(self, since: object) -> timedelta:
        """How long ago a time stamp was; nothing for one that is not there."""
        try:
            return self.now - datetime.fromisoformat(str(since))
        except (ValueError, TypeError):
            return timedelta(0)


def diagnose_pod(pod: Obj, events: Iterable[Obj], now: datetime) -> Diagnosis | None:
    """What keeps a pod from being ready; None when it is ready, on its way, or being deleted. `events`: those about the pod (others do no harm)."""
    metadata = pod.get("metadata") or {}
    if metadata.get("deletionTimestamp"):
        return None
    own = [event for event in events if _is_about(event, metadata)]
    look = _Look(pod, sorted(own, key=_last_seen), now)
    if look.condition("Ready").get("status") == "True":
        return None
    return _evicted(look) or _unschedulable(look) or _containers(look) or _mounts(look) or _probes(look) or _slow(look)


def describe_pod(pod: Obj) -> str:
    """The state of a pod in a line: `Pending: main waiting (ImagePullBackOff)`."""
    status = pod.get("status") or {}
    parts = []
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        state: dict[str, Any] = container.get("state") or {"unknown": {}}
        word = next(iter(state))
        reason = (state[word] or {}).get("reason")
        ready = ", not ready" if word == "running" and not container.get("ready") else ""
        parts.append(f"{container.get('name')} {word}{f' ({reason})' if reason else ''}{ready}")
    return f"{status.get('phase', 'Unknown')}{': ' if parts else ''}{', '.join(parts)}"


def _is_about(event: Obj, metadata: Obj) -> bool:
    about = event.get("involvedObject") or {}
    if about.get("uid") and metadata.get("uid"):
        return bool(about["uid"] == metadata["uid"])
    return about.get("kind") == "Pod" and about.get("name") == metadata.get("name")


def _count(event: Obj) -> int:
    return int((event.get("series") or {}).get("count") or event.get("count") or 1)


def _last_seen(event: Obj) -> str:
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp") or "")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 3] + "..."


def _evicted(look: _Look) -> Diagnosis | None:
    reason = str(look.status.get("reason") or look.condition("DisruptionTarget").get("reason") or "")
    if look.status.get("phase") != "Failed" and look.condition("DisruptionTarget").get("status") != "True":
        return None
    message = _short(str(look.status.get("message") or look.condition("DisruptionTarget").get("message") or "its worker node gave it up"))
    advice = "its Deployment makes a new pod; look at the worker node when it happens again"
    return Diagnosis("evicted", f"evicted ({reason or 'Failed'}): {message}", advice, hopeless=False)


def _unschedulable(look: _Look) -> Diagnosis | None:
    condition = look.condition("PodScheduled")
    if condition.get("status") != "False":
        return None
    message = _short(str(condition.get("message") or look.last_message("FailedScheduling") or condition.get("reason")))
    if look.with_reason("TriggeredScaleUp"):
        return Diagnosis("unschedulable", f"waits for a new worker node: {message}", "the cluster is growing: wait", hopeless=False)
    waited = look.waited(condition.get("lastTransitionTime"))
    if "PersistentVolumeClaim" in message or "persistentvolumeclaim" in message:
        advice = "see what the claim waits for (kubectl describe pvc); often the storage class is missing: set volumes.storage_class"
        return Diagnosis("volume-pending", f"no disk: {message}", advice, hopeless=waited >= 2 * PATIENCE)
    hopeless = waited >= PATIENCE or bool(look.with_reason("NotTriggerScaleUp"))
    return Diagnosis("unschedulable", f"fits on no worker node: {message}", _room_advice(message, look.spec), hopeless)


def _room_advice(message: str, spec: Obj) -> str:
    pinned = (spec.get("nodeSelector") or {}).get("kubernetes.io/hostname")
    if "free ports" in message:
        return "another pod holds the same host port on every worker node that would do: delete the network that has it, or add worker nodes"
    if "Insufficient" in message:
        where = f"worker node {pinned}" if pinned else "the worker nodes"
        return f"ask for less cpu and memory or fewer pods, free room on {where}, or add worker nodes"
    if pinned:
        return f"it is pinned to worker node {pinned}: bring that node back, or deploy the network anew"
    return "free worker nodes of the taints or labels that keep it away, or add some"


def _containers(look: _Look) -> Diagnosis | None:
    """The first container with a trouble; init containers first, since the others wait for them."""
    for status in [*(look.status.get("initContainerStatuses") or []), *(look.status.get("containerStatuses") or [])]:
        found = _container(look, status)
        if found:
            return found
    return None


def _container(look: _Look, status: Obj) -> Diagnosis | None:
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    by_reason = _WAITING.get(reason)
    if by_reason:
        return by_reason(look, status, _short(str(waiting.get("message") or "")))
    return _crashed(look, status)


def _image(status: Obj) -> str:
    return f"image {str(status.get('image'))[:200]!r}"


def _image_invalid(look: _Look, status: Obj, message: str) -> Diagnosis:
    why = look.last_message("InspectFailed") or message
    return _of(status, "image", f"{_image(status)} is no image name: {why}", "write it as repository:tag, in lower case", True)


def _image_never(look: _Look, status: Obj, message: str) -> Diagnosis:
    why = f"{_image(status)} is not on the worker node, and may not be pulled: {message}"
    return _of(status, "image", why, "put the image on every worker node, or let Kubernetes pull it", True)


def _image_pull(look: _Look, status: Obj, message: str) -> Diagnosis:
    told = look.last_message("Failed", text="Failed to pull image")
    why = told or message or "Kubernetes does not say why"
    hopeless = bool(_GONE_FOR_GOOD.search(f"{told} {message}")) or look.times("Failed", text="Failed to pull image") >= TRIES
    advice = "check the image's name and tag, that it is there, and that the cluster may pull it"
    return _of(status, "image", f"{_image(status)} cannot be pulled: {why}", advice, hopeless)


def _config(look: _Look, status: Obj, message: str) -> Diagnosis:
    why = message or look.last_message("Failed")
    hopeless = look.times("Failed", text="not found") >= 2 * TRIES or _pod_age(look) >= PATIENCE
    return _of(status, "config", f"its container cannot be made: {why}", "run deploy-network again: it puts back what is missing", hopeless)


def _start(look: _Look, status: Obj, message: str) -> Diagnosis:
    last = (status.get("lastState") or {}).get("terminated") or {}
    why = message or _short(str(last.get("message") or "")) or look.last_message("Failed")
    advice = "the command is not in this image: check that the image is the software that it should be"
    return _of(status, "start", f"{_image(status)} cannot be started: {why}", advice, True, last.get("exitCode"))


def _back_off(look: _Look, status: Obj, _message: str) -> Diagnosis | None:
    return _crashed(look, status)


_WAITING: Mapping[str, Callable[[_Look, Obj, str], Diagnosis | None]] = {
    "InvalidImageName": _image_invalid,
    "ErrImageNeverPull": _image_never,
    "ErrImagePull": _image_pull,
    "ImagePullBackOff": _image_pull,
    "ImageInspectError": _image_pull,
    "RegistryUnavailable": _image_pull,
    "CreateContainerConfigError": _config,
    "CreateContainerError": _config,
    "RunContainerError": _start,
    "CrashLoopBackOff": _back_off,
}


def _ends(status: Obj) -> Iterator[Obj]:
    """How the container ended, latest first."""
    for state in ("state", "lastState"):
        terminated = (status.get(state) or {}).get("terminated")
        if terminated:
            yield terminated


def _crashed(look: _Look, status: Obj) -> Diagnosis | None:
    """A container that ended though it should not: now, or a moment ago and runs again without being ready."""
    end = next(_ends(status), None)
    restarts = int(status.get("restartCount") or 0)
    if end is None or (end.get("reason") == "Completed" and end.get("exitCode") == 0 and status.get("ready")):
        return None
    # `restarts` counts starts after the first: a container that is down now has ended once more often than it was restarted.
    ended = max(restarts, 1) if "running" in (status.get("state") or {}) else restarts + 1
    reason, code = str(end.get("reason") or "Error"), end.get("exitCode")
    if reason == "StartError":
        return _start(look, status, "")
    times = "once" if ended == 1 else f"{ended} times"
    if reason == "OOMKilled":
        limit = _memory_limit(look.spec, str(status.get("name")))
        advice = "give it more memory (miners.memory or poets.memory)"
        return _of(status, "out-of-memory", f"ran out of memory{limit} {times}", advice, ended >= 2, code)
    if look.times("Killing", text="probe"):
        return _killed_by_probe(look, status, times, ended, code)
    said = _short(str(end.get("message") or ""))
    summary = f"container {status.get('name')} ended {times}, last with exit code {code}{f': {said}' if said else ''}"
    return _of(status, "crash", summary, "read its last log lines: the software says there why it stopped", ended >= TRIES, code)


def _killed_by_probe(look: _Look, status: Obj, times: str, ended: int, code: object) -> Diagnosis:
    why = look.last_message("Unhealthy") or look.last_message("Killing", text="probe")
    return _of(status, "probe", f"was killed {times}, because it did not answer: {why}", "read its last log lines", ended >= TRIES, code)


def _memory_limit(spec: Obj, container: str) -> str:
    found: Obj = next((c for c in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])] if c.get("name") == container), {})
    limit = ((found.get("resources") or {}).get("limits") or {}).get("memory")
    return f" (it may use {limit})" if limit else ""


def _mounts(look: _Look) -> Diagnosis | None:
    """Volumes that do not come: the pod itself only says ContainerCreating."""
    if _has_started(look):
        return None
    told = look.last_message("FailedMount")
    if told:
        hopeless = "not found" in told and (look.times("FailedMount") >= 2 * TRIES or _pod_age(look) >= PATIENCE)
        return Diagnosis("mount", f"a volume cannot be mounted: {told}", "run deploy-network again: it puts back what is missing", hopeless)
    told = look.last_message("FailedAttachVolume")
    if told:
        advice = "wait until the disk is free; if it stays, see which worker node holds it (kubectl get volumeattachments)"
        return Diagnosis("attach", f"its disk cannot be attached: {told}", advice, hopeless=False)
    told = look.last_message("FailedCreatePodSandBox")
    if told:
        return Diagnosis("sandbox", f"its worker node cannot make the pod: {told}", "look at the worker node's network and disk", hopeless=False)
    return None


def _probes(look: _Look) -> Diagnosis | None:
    told = look.last_message("Unhealthy")
    if not told or not _has_started(look):
        return None
    return Diagnosis("probe", f"runs, but does not answer: {told}", "wait, or read its last log lines", hopeless=False)


def _slow(look: _Look) -> Diagnosis | None:
    """Nothing is wrong that anybody could see, but it takes long."""
    age = _pod_age(look)
    if age < PATIENCE or look.status.get("phase") == "Succeeded":
        return None
    doing = look.last_message("Pulling") or describe_pod(look.pod)
    return Diagnosis("slow", f"not ready after {int(age.total_seconds())} s: {doing}", "wait, or look at its events", hopeless=False)


def _has_started(look: _Look) -> bool:
    return any("running" in (status.get("state") or {}) for status in look.status.get("containerStatuses") or [])


def _pod_age(look: _Look) -> timedelta:
    return look.waited((look.pod.get("metadata") or {}).get("creationTimestamp"))


def _of(status: Obj, kind: str, summary: str, advice: str, hopeless: bool, exit_code: object = None) -> Diagnosis:
    code = exit_code if isinstance(exit_code, int) else None
    return Diagnosis(kind, summary, advice, hopeless, str(status.get("name") or ""), code)


__all__ = ["PATIENCE", "TRIES", "Diagnosis", "describe_pod", "diagnose_pod"]
