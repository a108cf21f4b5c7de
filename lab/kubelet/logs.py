"""Logs of containers for the API: what may be asked, what is refused and how, as recorded from a server 1.36."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from lab.clock import Clock
from lab.kubelet.runs import ContainerState, Run
from lab.kubernetes.errors import ApiError, FieldError, bad_request, invalid_as

Obj = dict[str, Any]


@dataclass(frozen=True)
class LogOptions:
    """What a client asks of a log."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    limit_bytes: int | None = None
    since_seconds: int | None = None
    since_time: str | None = None

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> LogOptions:
        """From a request's query; ApiError 400 when something is not a number."""
        return cls(
            follow=_flag(query.get("follow")),
            previous=_flag(query.get("previous")),
            timestamps=_flag(query.get("timestamps")),
            tail=_number(query.get("tailLines")),
            limit_bytes=_number(query.get("limitBytes")),
            since_seconds=_number(query.get("sinceSeconds")),
            since_time=query.get("sinceTime") or None,
        )

    def check(self, pod: str, query: Mapping[str, str]) -> None:
        """ApiError 422 with everything that is wrong."""
        errors = []
        if self.tail is not None and self.tail < 0:
            errors.append(FieldError("FieldValueInvalid", f"Invalid value: {self.tail}: must be greater than or equal to 0", "tailLines"))
        if self.limit_bytes is not None and self.limit_bytes < 1:
            errors.append(FieldError("FieldValueInvalid", f"Invalid value: {self.limit_bytes}: must be greater than 0", "limitBytes"))
        if self.since_seconds is not None and self.since_time is not None:
            errors.append(FieldError("FieldValueForbidden", "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified", "[]"))
        elif self.since_seconds is not None and self.since_seconds < 1:
            errors.append(FieldError("FieldValueInvalid", f"Invalid value: {self.since_seconds}: must be greater than 0", "sinceSeconds"))
        if "stream" in query:  # a feature that is off
            errors.append(FieldError("FieldValueForbidden", "Forbidden: may not be specified", "stream"))
        if errors:
            raise invalid_as("PodLogOptions", "", "PodLogOptions", pod, errors)

    def since(self, now: datetime) -> float | None:
        """The moment from which lines are wanted, in seconds since the epoch."""
        if self.since_seconds is not None:
            return now.timestamp() - self.since_seconds
        if self.since_time is None:
            return None
        try:
            return datetime.fromisoformat(self.since_time).timestamp()
        except ValueError as error:
            raise bad_request(f'parsing time "{self.since_time}" as "2006-01-02T15:04:05Z07:00": cannot parse') from error


def _flag(text: str | None) -> bool:
    return text is not None and text.lower() not in ("false", "0", "f")


def _number(text: str | None) -> int | None:
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


class PodRuntime(Protocol):
    """Where the runs of a pod's containers are."""

    def states(self, uid: str) -> list[ContainerState]:
        """The containers of a pod; none when it is not known."""
        ...


class PodLogs:
    """The part of the API server that asks kubelets for logs."""

    def __init__(self, runtime: PodRuntime, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock

    async def logs(self, pod: Obj, container: str | None, options: Mapping[str, str]) -> AsyncIterator[bytes]:
        """A container's output in pieces. Before the first: ApiError for what is refused; its code is 204 for a pod that no node has yet."""
        name = pod["metadata"]["name"]
        wanted = LogOptions.parse(options)
        wanted.check(name, options)
        chosen = choose_container(pod, container or "")
        if not pod["spec"].get("nodeName"):
            raise ApiError(204, "")
        since = wanted.since(self._clock.now())
        container_id = _container_id(pod, chosen, wanted.previous)
        run = self._find(pod, chosen, container_id)
        if run is None:
            yield f"unable to retrieve container logs for {container_id}".encode()
            return
        left = wanted.limit_bytes
        async for chunk in run.log.read(wanted.follow, wanted.tail, since, wanted.timestamps):
            yield chunk if left is None else chunk[:left]
            if left is not None and (left := left - len(chunk)) <= 0:
                return

    def _find(self, pod: Obj, container: str, container_id: str) -> Run | None:
        for state in self._runtime.states(pod["metadata"]["uid"]):
            if state.name == container:
                # A node keeps one dead container beside the running one: the log of anything older is gone.
                kept = [state.current, state.last] if state.running else [state.current]
                return next((run for run in kept if run and run.container_id == container_id), None)
        return None


def choose_container(pod: Obj, wanted: str) -> str:
    """The container that is meant; ApiError 400 when that is not clear."""
    spec = pod["spec"]
    names = [one["name"] for one in spec["containers"]]
    inits = [one["name"] for one in spec.get("initContainers") or ()]
    ephemerals = [one["name"] for one in spec.get("ephemeralContainers") or ()]
    name = pod["metadata"]["name"]
    if not wanted:
        if len(names) == 1:
            return str(names[0])
        default = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
        if default in names:
            return str(default)
        message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
        if inits:
            message += f" or one of the init containers: [{' '.join(inits)}]"
        raise bad_request(message)
    if wanted not in (*names, *inits, *ephemerals):
        raise bad_request(f"container {wanted} is not valid for pod {name}")
    return wanted


def _container_id(pod: Obj, container: str, previous: bool) -> str:
    """Which run is meant, by the pod's status as the API has it."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    statuses = (status.get(key) or () for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"))
    found = next((one for group in statuses for one in group if one["name"] == container), None)
    if found is None:
        raise bad_request(f'container "{container}" in pod "{name}" is not available')
    state, last = found.get("state") or {}, (found.get("lastState") or {}).get("terminated")
    if previous:
        if not last or not last.get("containerID"):
            raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
        return str(last["containerID"])
    if "running" in state:
        return str(found["containerID"])
    ended = state.get("terminated") or last
    if ended and not ended.get("containerID") and last:
        ended = last
    if ended:
        if not ended.get("containerID"):
            raise bad_request(f'container "{container}" in pod "{name}" is terminated')
        return str(ended["containerID"])
    raise _waits(container, name, (state.get("waiting") or {}).get("reason", ""))


def _waits(container: str, pod: str, reason: str) -> ApiError:
    why = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}.get(reason, reason)
    return bad_request(f'container "{container}" in pod "{pod}" is waiting to start: {why}')
