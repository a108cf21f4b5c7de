"""Wait until Deployments have rolled out, or say why they never will.

Deployments tell whether (they know which pod is the new one: an old pod that is still ready must not count), pods and events tell why not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from networks.diagnosis import Diagnosis, describe_pod, diagnose_pod
from networks.errors import Permanent, Transient
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.kinds import DEPLOYMENT, EVENT, POD, Obj
from tasks.kubernetes.watching import Mirror, mirrors
from tasks.reporting import logger
from tasks.waiting import WALL, Clock

_LOOK_EVERY = 1.0  # seconds: some troubles are told by nothing but time
_EVENTS_EVERY = 5.0
_EVENTS_SELDOM = 40.0
_BLIND_SECONDS = 45.0
_TELL_EVERY = 10


@dataclass(frozen=True)
class Trouble:
    """What is wrong with one Deployment that was waited for."""

    deployment: str
    pod: str | None
    diagnosis: Diagnosis

    def __str__(self) -> str:
        return f"{self.deployment}: {self.diagnosis.summary}"


class RolloutFailed(Permanent):
    """Deployments that will not become ready, each with what is wrong."""

    def __init__(self, what: str, troubles: tuple[Trouble, ...], *, why: str = "", advice: str = "") -> None:
        self.troubles = troubles
        super().__init__(what, why=why, advice=advice)


def rolled_out(deployment: Mapping[str, Any]) -> bool:
    """Whether the newest version of a Deployment, and nothing older, runs and is available: what `kubectl rollout status` looks at."""
    wanted = deployment["spec"].get("replicas", 1)
    status = deployment.get("status") or {}
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
        and status.get("updatedReplicas", 0) >= wanted
        and status.get("replicas", 0) <= status.get("updatedReplicas", 0)
        and status.get("availableReplicas", 0) >= wanted
    )


def outdated(deployment: Mapping[str, Any]) -> bool:
    """Whether what runs is still an older version: its troubles are not those of the version that is waited for."""
    status = deployment.get("status") or {}
    return bool(
        status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0)
        or status.get("replicas", 0) > status.get("updatedReplicas", 0)
    )


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod's own conditions say so. Deployments and pods come by two watches: the one may know already what the other does not."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def pod_of(deployment: Mapping[str, Any], pods: Mapping[str, Obj]) -> Obj | None:
    """The Deployment's pod: the newest of those that are not on their way out."""
    wanted = deployment["spec"]["selector"]["matchLabels"].items()
    own = [pod for pod in pods.values() if wanted <= (pod["metadata"].get("labels") or {}).items() and not pod["metadata"].get("deletionTimestamp")]
    return max(own, key=lambda pod: (str(pod["metadata"]["creationTimestamp"]), pod["metadata"]["name"]), default=None)


def refused_pods(deployment: Mapping[str, Any]) -> Diagnosis | None:
    """Why the cluster takes none of a Deployment's pods (a quota, an admission rule), if that is so."""
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            message = str(condition.get("message") or condition.get("reason"))
            return Diagnosis(
                kind="refused",
                summary=f"the cluster refuses its pods: {message}",
                advice="raise the namespace's quota, or change the setting that the admission rule names",
                hopeless=True,
            )
    return None


@dataclass
class Rollout:
    """One wait for several Deployments of one namespace."""

    k8s: Connection
    namespace: str
    labels: str
    names: tuple[str, ...]
    timeout: float  # seconds
    describe: str
    progress: Callable[[int], Awaitable[None]] | None = None  # told how many are ready
    clock: Clock = WALL
    deployments: dict[str, Obj] = field(default_factory=dict)  # as they were when all were ready
    _told: int = 0  # second of blindness

    async def wait(self) -> dict[str, Obj]:
        """The ready pod of each Deployment. RolloutFailed when one of them is hopeless, or time is up."""
        began = self.clock.monotonic()
        events_at, pause = float("-inf"), _EVENTS_EVERY
        events: list[Obj] = []
        async with mirrors(self.k8s, (DEPLOYMENT, POD), self.namespace, self.labels, self.clock) as ((deployments, pods), changed):
            while True:
                changed.clear()
                ready, waiting = self._sort(deployments.objects, pods.objects)
                if self.progress:
                    await self.progress(len(ready))
                if not waiting:
                    self.deployments = {name: deployments.objects[name] for name in self.names}
                    return ready
                if failed := deployments.failed or pods.failed:
                    raise failed
                self._check_sight(deployments, pods)
                now = self.clock.monotonic()
                troubles = self._troubles(waiting, deployments.objects, pods.objects, events)
                if troubles and now - events_at >= pause:
                    pause = _EVENTS_EVERY if events_at == float("-inf") else min(2 * pause, _EVENTS_SELDOM)
                    events, events_at = await self._events(), now
                    troubles = self._troubles(waiting, deployments.objects, pods.objects, events)
                if hopeless := tuple(t for t in troubles if t.diagnosis.hopeless):
                    raise self._failure(f"{self.describe} cannot become ready", hopeless)
                if now - began > self.timeout:
                    raise self._time_out(waiting, troubles, deployments, pods)
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(changed.wait(), _LOOK_EVERY)

    def _check_sight(self, *watched: Mirror) -> None:
        """RolloutFailed when nothing has been seen for too long: what is asked for later would only fail likewise."""
        blind = max(watched, key=Mirror.blind_for)
        if blind.trouble is None:
            return
        if blind.blind_for() > _BLIND_SECONDS:
            what = f"{self.describe}: the cluster could not be watched for {_BLIND_SECONDS:.0f} s"
            raise RolloutFailed(what, (), why=f"{blind.trouble.what}: {blind.trouble.why}", advice=f"{blind.trouble.advice}; then run again")
        if (second := int(blind.blind_for())) and second % _TELL_EVERY == 0 and second != self._told:
            logger().warning("%s: %s; waiting for another %.0f s", blind.trouble.what, blind.trouble.why, _BLIND_SECONDS - second)
            self._told = second

    def _sort(self, deployments: Mapping[str, Obj], pods: Mapping[str, Obj]) -> tuple[dict[str, Obj], list[str]]:
        ready: dict[str, Obj] = {}
        waiting: list[str] = []
        for name in self.names:
            deployment = deployments.get(name)
            pod = pod_of(deployment, pods) if deployment and rolled_out(deployment) else None
            if pod is None or not is_ready(pod):
                waiting.append(name)
            else:
                ready[name] = pod
        return ready, waiting

    def _troubles(self, names: list[str], deployments: Mapping[str, Obj], pods: Mapping[str, Obj], events: list[Obj]) -> list[Trouble]:
        troubles = []
        now = datetime.now(UTC)
        for name in names:
            deployment = deployments.get(name)
            if deployment is None:
                continue
            if outdated(deployment):
                continue
            pod = pod_of(deployment, pods)
            diagnosis = diagnose_pod(pod, events_of(pod, events), now) if pod else refused_pods(deployment)
            if diagnosis:
                troubles.append(Trouble(name, pod["metadata"]["name"] if pod else None, diagnosis))
        return troubles

    async def _events(self) -> list[Obj]:
        with suppress(Transient, Permanent):  # events only explain; without them the wait goes on
            return (await self.k8s.find(EVENT, self.namespace))[0]
        return []

    def _failure(self, what: str, troubles: tuple[Trouble, ...]) -> RolloutFailed:
        shown = "; ".join(str(trouble) for trouble in troubles[:5])
        more = f"; and {len(troubles) - 5} more" if len(troubles) > 5 else ""
        return RolloutFailed(what, troubles, why=(shown + more).rstrip(". "), advice=troubles[0].diagnosis.advice)

    def _time_out(self, waiting: list[str], troubles: list[Trouble], deployments: Mirror, pods: Mirror) -> RolloutFailed:
        what = f"{self.describe}: not ready after {self.timeout:.0f} s: {', '.join(waiting[:10])}{' …' if len(waiting) > 10 else ''}"
        if troubles:
            return self._failure(what, tuple(troubles))
        if blind := deployments.trouble or pods.trouble:
            return RolloutFailed(what, (), why=f"the cluster could not be watched: {blind}", advice=blind.advice)
        first = waiting[0]
        deployment = deployments.objects.get(first)
        pod = pod_of(deployment, pods.objects) if deployment else None
        seen = _seen(deployment, pod)
        return RolloutFailed(what, (), why=f"last seen of {first}: {seen}", advice="look at the pods' logs and events, or allow more time")


def events_of(obj: Obj, events: list[Obj]) -> list[Obj]:
    """The events about one object."""
    uid = obj["metadata"]["uid"]
    return [event for event in events if (event.get("involvedObject") or {}).get("uid") == uid]


def _seen(deployment: Obj | None, pod: Obj | None) -> str:
    if deployment is None:
        return "no such Deployment"
    if pod is None:
        return "no pod yet"
    return f"pod {pod['metadata']['name']} is {describe_pod(pod)}"
