"""Containers made by hand: programs tested without any kubelet."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lab.addresses import AddressBlock
from lab.clock import Clock
from lab.faults import Faults
from lab.images import lookup
from lab.programs.program import Container


class Machine:
    """Makes containers with addresses of their own, runs their programs, and ends them all."""

    def __init__(self, tmp_path: Path, speed: float = 1000.0) -> None:
        self.clock = Clock(speed)
        self.faults = Faults()
        self.shared: dict[str, Any] = {}
        self.block = AddressBlock.claim()
        self._tmp = tmp_path
        self._runs: list[Run] = []

    def run(self, name: str, image: str, argv: list[str], files: dict[str, str] | None = None, disk: str = "") -> Run:
        """Start a container. `disk` names its file system: two runs with the same one see the same files."""
        root = self._tmp / (disk or name)
        for path, text in (files or {}).items():
            file = root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        root.mkdir(exist_ok=True)
        run = Run(self, name, image, argv, root)
        self._runs.append(run)
        return run

    async def close(self) -> None:
        """End every container."""
        for run in self._runs:
            await run.stop()
        self.block.close()


class Run:
    """One running container and what it has printed."""

    def __init__(self, machine: Machine, name: str, image: str, argv: list[str], root: Path) -> None:
        self.lines: list[str] = []
        self.ip = machine.block.take_pod()
        self.container = Container(
            namespace="net", pod=name, pod_uid=name, name="main", image=image, argv=argv, env={}, root=root, volumes={}, working_dir="/",
            ip=self.ip, hostname=name, labels={}, memory_limit=None, clock=machine.clock, faults=machine.faults, shared=machine.shared,
            write=lambda line: self.lines.append(line.decode()),
        )  # fmt: skip
        self.task = asyncio.create_task(lookup(image).program().run(self.container))

    @property
    def json_lines(self) -> list[dict[str, Any]]:
        """The log as a reader of JSON lines gets it."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    async def until(self, seen: Callable[[], Any], what: str = "") -> Any:
        """Wait until the function gives something, at most ten seconds."""
        for _ in range(1000):
            found = seen()
            if found:
                return found
            if self.task.done() and self.task.exception():
                raise self.task.exception() or AssertionError
            await asyncio.sleep(0.01)
        raise AssertionError(f"waited in vain for {what or seen}; log: {self.lines[-5:]}")

    async def until_line(self, part: str) -> str:
        """Wait for a line of the log."""
        return str(await self.until(lambda: next((line for line in self.lines if part in line), None), part))

    async def stop(self) -> int | None:
        """SIGTERM; gives the exit code. A program that does not listen is a failure."""
        self.container.stopping.set()
        await asyncio.wait({self.task}, timeout=10)
        assert self.task.done(), "the program does not end"
        return None if self.task.cancelled() else self.task.result()

    async def kill(self) -> None:
        """SIGKILL."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@asynccontextmanager
async def machine(tmp_path: Path, speed: float = 1000.0) -> AsyncIterator[Machine]:
    """A machine for one test."""
    made = Machine(tmp_path, speed)
    try:
        yield made
    finally:
        await made.close()
