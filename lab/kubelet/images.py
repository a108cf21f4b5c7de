"""Getting a container's image onto a node, with the errors and events of a real kubelet."""

from __future__ import annotations

import asyncio
from typing import Any

from lab.images import ImageEntry, InvalidImageName, lookup
from lab.kubelet.machine import Machine, Surroundings

Obj = dict[str, Any]

RETRY = 10.0  # lab seconds after an error that has no back-off of its own


class StartFailure(Exception):
    """A container does not start for now: what its status says, and when to try again (lab seconds)."""

    def __init__(self, reason: str, message: str, retry: float = RETRY) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry = retry


class ImagePuller:
    """Images for the containers of one pod."""

    def __init__(self, around: Surroundings, machine: Machine) -> None:
        self._around = around
        self._machine = machine

    async def ensure(self, pod: Obj, container: Obj, path: str) -> ImageEntry:
        """The image, pulled if need be; StartFailure when it cannot be had. Events go to the container at `path`."""
        image, event = container["image"], self._machine.recorder.event
        try:
            entry = lookup(image)
        except InvalidImageName as error:
            message = f'Failed to apply default image tag "{image}": {error}'
            event(pod, "Warning", "InspectFailed", message, path)
            raise self._failed(pod, path, "InvalidImageName", message) from error
        policy = container.get("imagePullPolicy", "IfNotPresent")
        present = entry.preloaded or str(entry.reference) in self._machine.images
        if policy == "Never" and not present:
            message = f'Container image "{image}" is not present with pull policy of Never'
            event(pod, "Warning", "ErrImageNeverPull", message, path)
            raise self._failed(pod, path, "ErrImageNeverPull", message)
        if present and policy != "Always":
            event(pod, "Normal", "Pulled", f'Container image "{image}" already present on machine and can be accessed by the pod', path)
            return entry
        await self._pull(pod, image, entry, path)
        return entry

    async def _pull(self, pod: Obj, image: str, entry: ImageEntry, path: str) -> None:
        clock, event, backoff = self._around.clock, self._machine.recorder.event, self._machine.image_backoff
        key = f"{pod['metadata']['uid']}_{image}"
        started = clock.monotonic()
        failed_at, error = self._last_failures.get(key, (0.0, ""))
        wait = backoff.remaining(key, failed_at, started) if error else 0.0
        if wait:
            message = f'Back-off pulling image "{image}"'
            event(pod, "Normal", "BackOff", message, path)
            raise self._failed(pod, path, "ImagePullBackOff", f"{message}: ErrImagePull: {error}", wait)
        event(pod, "Normal", "Pulling", f'Pulling image "{image}"', path)
        problem = self._problem(image, entry)
        known = str(entry.reference) in self._machine.images
        if problem is None:
            await clock.sleep(0.05 if known else entry.pull_seconds)
            self._machine.images.add(str(entry.reference))
            self._last_failures.pop(key, None)
            took = f"{max(1, round((clock.monotonic() - started) * 1000))}ms"
            message = f'Successfully pulled image "{image}" in {took} ({took} including waiting). Image size: {entry.size} bytes.'
            event(pod, "Normal", "Pulled", message, path)
            return
        await asyncio.sleep(0)
        now = clock.monotonic()
        backoff.next(key, failed_at if error else now, now)
        self._last_failures[key] = (now, problem)
        event(pod, "Warning", "Failed", f'Failed to pull image "{image}": {problem}', path)
        raise self._failed(pod, path, "ErrImagePull", problem, backoff.delay(key))

    @property
    def _last_failures(self) -> dict[str, tuple[float, str]]:
        return self._machine.pull_failures

    def _problem(self, image: str, entry: ImageEntry) -> str | None:
        fault = self._around.faults.take("image", image, "pull-error")
        if fault is None:
            return entry.pull_error
        reference = entry.reference
        url = f"https://{reference.registry}/v2/{reference.repository}/manifests/{reference.tag or reference.digest}"
        status = f"unexpected status from HEAD request to {url}: 503 Service Unavailable"
        default = f'failed to pull and unpack image "{reference}": failed to resolve image: {status}'
        return str(fault.options.get("message", default))

    def _failed(self, pod: Obj, path: str, reason: str, message: str, retry: float = RETRY) -> StartFailure:
        self._machine.recorder.event(pod, "Warning", "Failed", f"Error: {reason}", path)
        return StartFailure(reason, message, retry)
