"""Starts a lab as a child process and stops it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RECORDED = ("--profile", "recorded")  # the cluster of the recordings: one node, no StorageClass


@dataclass(frozen=True)
class RunningLab:
    """Where a lab is."""

    kubernetes: str
    control: str
    kubeconfig: str
    token: str
    pid: int
    ready: dict[str, Any]  # all that it printed when it was ready


@contextlib.asynccontextmanager
async def running_lab(recorded: bool = False, speed: float = 20, arguments: tuple[str, ...] = ()) -> AsyncIterator[RunningLab]:
    """A lab as a child process, for as long as the block runs."""
    command = [sys.executable, "-m", "lab", "--port", "0", "--speed", str(speed), *(RECORDED if recorded else ()), *arguments]
    child = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}, limit=2**20
    )
    try:
        assert child.stdout
        line = await asyncio.wait_for(child.stdout.readline(), 60)
        assert line, f"the lab ended with {await child.wait()} before it was ready"
        ready = json.loads(line)
        token = ready.get("token", "lab-admin")
        yield RunningLab(ready["kubernetes"], ready["control"], ready["kubeconfig"], token, child.pid, ready)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(child.wait(), 20)
        except TimeoutError:
            child.kill()
            await child.wait()


@contextlib.contextmanager
def lab_in_thread(speed: float, arguments: tuple[str, ...] = ()) -> Iterator[RunningLab]:
    """The same for tests without a loop of their own: a thread keeps the child."""
    ready, done = threading.Event(), threading.Event()
    found: list[RunningLab] = []

    async def run() -> None:
        try:
            async with running_lab(speed=speed, arguments=arguments) as running:
                found.append(running)
                ready.set()
                await asyncio.to_thread(done.wait)
        finally:
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        ready.wait(60)
        assert found, "the lab did not start"
        yield found[0]
    finally:
        done.set()
        thread.join(30)
