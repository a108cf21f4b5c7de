"""Making and deleting the pods of a controller, told in events as replica sets, jobs and daemon sets tell it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from lab.controllers.controller import key_of
from lab.controllers.events import Recorder
from lab.controllers.objects import namespace_terminates
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import POD
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]
T = TypeVar("T")

BURST = 500  # pods made or deleted in one go


class PodControl:
    """Creates and deletes pods for owners of one kind."""

    def __init__(self, registry: Registry, component: str) -> None:
        self.registry = registry
        self.recorder = Recorder(registry, component)

    def create(self, owner: Obj, pod: Obj) -> ApiError | None:
        """One pod; a refusal is told in an event and given back."""
        try:
            made = self.registry.create(POD, pod, owner["metadata"]["namespace"])
        except ApiError as error:
            if not namespace_terminates(error):
                self.recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            return error
        self.recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")
        return None

    def create_all(self, wishes: Sequence[T], create: Callable[[T], ApiError | None]) -> tuple[int, ApiError | None]:
        """One, two, four, …: a wish that the server refuses costs one request, not five hundred. Gives how many were made, and the refusal."""
        made, batch = 0, 1
        while made < len(wishes):
            wave = wishes[made : made + batch]
            failures = [error for wish in wave if (error := create(wish))]
            made += len(wave) - len(failures)
            if failures:
                return made, None if namespace_terminates(failures[0]) else failures[0]
            batch *= 2
        return made, None

    def delete(self, owner: Obj, pod: Obj) -> bool:
        """One pod; says whether there was one to delete."""
        namespace, name = key_of(pod)
        try:
            self.registry.delete(POD, namespace, name)
        except ApiError as error:
            if error.code == 404:
                return False
            self.recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error.message}")
            raise
        self.recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")
        return True
