"""What a kubelet knows of one container of one pod: its runs, why it waits, what its probes say."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lab.kubelet.logbuffer import LogBuffer
from lab.programs.program import Container, Program

Obj = dict[str, Any]


@dataclass(eq=False)
class Run:
    """One start of a container, from creation to exit."""

    image: str
    image_id: str
    log: LogBuffer
    container_id: str = field(default_factory=lambda: f"containerd://{secrets.token_hex(32)}")
    program: Program | None = None
    container: Container | None = None
    task: asyncio.Task[int] | None = None
    started_at: datetime | None = None  # None: it never ran
    started: float = 0.0  # lab seconds
    finished_at: datetime | None = None  # None: it runs
    finished: float = 0.0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    forced: tuple[int, str] | None = None  # exit code and reason that a fault or a kill decided

    @property
    def running(self) -> bool:
        """Whether it has neither ended nor failed to start."""
        return self.finished_at is None


@dataclass
class ContainerState:
    """One container of the pod: the run that counts, the one before it, and what is known beside."""

    spec: Obj
    init: bool = False
    ephemeral: bool = False
    current: Run | None = None
    last: Run | None = None
    restarts: int = 0
    waiting: tuple[str, str] | None = None  # reason and message of the last start that failed
    ready: bool = False  # what the readiness probe says; without one: True once started
    started: bool = False  # what the startup probe says; without one: True at once

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self.spec["name"])

    @property
    def status_field(self) -> str:
        """Where its status stands in the pod's."""
        return "initContainerStatuses" if self.init else "ephemeralContainerStatuses" if self.ephemeral else "containerStatuses"

    @property
    def sidecar(self) -> bool:
        """An init container that goes on beside the others."""
        return self.init and self.spec.get("restartPolicy") == "Always"

    @property
    def running(self) -> bool:
        """Whether a run goes on."""
        return self.current is not None and self.current.running

    @property
    def exited(self) -> bool:
        """Whether it ran (or tried to) and ended."""
        return self.current is not None and not self.current.running

    def restarts_after_exit(self, policy: str) -> bool:
        """Whether an exited container shall run again under the pod's restart policy."""
        if self.ephemeral:
            return False
        if self.sidecar:
            return True
        code = self.current.exit_code if self.current else 1
        if self.init:
            return code != 0 and policy != "Never"
        return policy == "Always" or (policy == "OnFailure" and code != 0)
