"""The border between a kubelet and what runs in a container: neither knows more of the other than this."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lab.clock import Clock
from lab.faults import Faults


class StartError(Exception):
    """The container could not be started (no such command ...): reason StartError, exit code 128."""


class Partitions(Protocol):
    """Who must not talk to whom."""

    def cut(self, one: str, other: str) -> bool:
        """Whether a connection between two addresses must not be."""
        ...

    def watch(self, transport: asyncio.BaseTransport, one: str, other: str) -> None:
        """A connection has come to be: it is cut when, and as soon as, the two are apart."""
        ...


class OutOfMemory(Exception):
    """The container went over its memory limit: reason OOMKilled, exit code 137."""


@dataclass
class Container:
    """A running container as its program sees it."""

    namespace: str
    pod: str
    pod_uid: str
    name: str
    image: str
    argv: list[str]  # command and args after $(VAR) expansion; the image's own entrypoint when the pod gives no command
    env: dict[str, str]
    root: Path  # the container's file system: volumes stand at root/<mount path>
    volumes: dict[str, Path]  # mount path inside -> directory or file outside
    working_dir: str
    ip: str  # the pod's address, in 127.0.0.0/8: programs listen here and nowhere else
    hostname: str
    labels: dict[str, str]
    memory_limit: int | None  # bytes
    clock: Clock
    faults: Faults
    shared: dict[str, Any]  # lab-wide, survives containers: what nodes of one network agree on
    write: Callable[[bytes], None]  # one line of output (newline added) into the container's log
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # set on SIGTERM; SIGKILL cancels the task
    hanging: asyncio.Event = field(default_factory=asyncio.Event)  # set by the fault `hang`: still there, but answers nobody
    read_only: frozenset[str] = frozenset()  # mount paths that must not be written to
    write_part: Callable[[bytes], None] | None = None  # output that ended without a newline; None: takes `write`
    stdin: bool = False  # whether its input stays open for whoever attaches, once or again and again
    stdin_once: bool = False
    tty: bool = False

    def log(self, line: str) -> None:
        """Print one line."""
        self.write(line.encode())

    def resolve(self, name: str) -> list[str]:
        """Addresses of a host name by the cluster's DNS; an address stands for itself; none when nobody has the name."""
        resolver = self.shared.get("resolve")
        return list(resolver(name, self.namespace)) if resolver else [name]

    @property
    def partitions(self) -> Partitions | None:
        """Who must not talk to whom in the cluster."""
        return self.shared.get("partitions")

    @property
    def cut(self) -> Callable[[str, str], bool] | None:
        """Whether a connection between two addresses must not be; None: nobody knows."""
        return self.partitions.cut if self.partitions else None

    @property
    def source(self) -> tuple[str, int]:
        """What its connections come from: bind them to this, so that others know whose they are."""
        return self.ip, 0

    def path(self, inside: str) -> Path:
        """Where a path inside the container really is: below a volume when one is mounted there, else below root."""
        best = ""
        for mount in self.volumes:
            clean = mount.rstrip("/")
            if (inside == clean or inside.startswith(clean + "/")) and len(clean) > len(best):
                best = clean
        if best:
            source = next(p for m, p in self.volumes.items() if m.rstrip("/") == best)
            rest = inside[len(best) :].lstrip("/")
            return source / rest if rest else source
        return self.root / inside.lstrip("/")


@dataclass(frozen=True)
class Streams:
    """What somebody wants to hold of a command's input and output."""

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False


class Session(Protocol):
    """A command, or a running program, whose input and output somebody holds."""

    async def read(self) -> tuple[int, bytes] | None:
        """What came: 1 output, 2 errors; None when nothing more comes."""
        ...

    async def write(self, data: bytes) -> None:
        """Input."""
        ...

    def close_input(self) -> None:
        """No more input."""
        ...

    def resize(self, width: int, height: int) -> None:
        """Its terminal has another size."""
        ...

    async def wait(self) -> int:
        """The exit code."""
        ...

    def close(self) -> None:
        """Nobody holds it any more."""
        ...


class Program(Protocol):
    """What an image runs. One instance per container start.

    Beside `run` a program may have `async prepare(container)` (called before the container counts as started; raises StartError),
    `async execute(container, argv, timeout) -> (exit code, output)` (exec probes and hooks; timeout in real seconds), `hang(container)`,
    `async open(container, argv, streams) -> Session` (one more command beside it; raises StartError), and `attach(container, streams) -> Session`.
    """

    async def run(self, container: Container) -> int:
        """Run until done; give the exit code. Return soon after `container.stopping` is set. May raise StartError, OutOfMemory."""
        ...


async def wait(event: asyncio.Event, real_seconds: float) -> bool:
    """Wait for an event for at most so long; whether it is set. (asyncio.wait_for loses a cancellation that comes together with the event.)"""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(real_seconds):
            await event.wait()
    return event.is_set()
