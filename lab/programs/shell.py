"""Images of a plain shell world (busybox, alpine, debian, python): the command line runs as a real process of this machine.

It has its own file system (see rooms.py), exactly the pod's environment, and its output in the container's log. TERM goes to the first process, as
in a real container; KILL ends all of them. Memory is watched from outside, since cgroups need rights that a lab does not have.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

from lab.programs.processes import Kept, Output, Process, children, descendants, memory_of
from lab.programs.program import Container, OutOfMemory, StartError, Streams
from lab.programs.rooms import Room, resolve
from lab.programs.sessions import AttachedSession, CommandSession

_SETTLING = 0.2  # real seconds that a process has before TERM
_FIRST_LOOKS, _FIRST_PERIOD, _LATER_PERIOD = 0.5, 0.01, 0.1  # real seconds between looks at the memory


class ShellProgram:
    """Runs the container's command line."""

    def __init__(self) -> None:
        self._room: Room | None = None
        self._process: Process | None = None
        self._sessions: set[CommandSession] = set()

    async def prepare(self, container: Container) -> None:
        """Start the process; StartError when there is no such command."""
        argv = resolve(container, container.argv)
        self._room = Room(container)
        self._room.build()
        command, env = self._room.command(argv)
        directory: Path | str = "/" if self._room.apart else self._room.working_directory()
        self._process = Process(command, env, directory, Output(container), container.stdin, container.tty, container.ip, container.cut)

    async def run(self, container: Container) -> int:
        """Until the process ends; TERM when the container is to stop, KILL when this is cancelled."""
        if self._process is None:
            await self.prepare(container)
        process = self._process
        assert process is not None
        helpers = [asyncio.create_task(self._stop(container, process))]
        over = asyncio.Event()
        if container.memory_limit:
            helpers.append(asyncio.create_task(self._watch_memory(process, container.memory_limit, over)))
        try:
            code = await process.wait()
        finally:
            for helper in helpers:
                helper.cancel()
            process.signal(signal.SIGKILL)  # what the process left in the background ends with it
            for session in self._sessions:
                session.kill()
            if not process.exited.done():
                await asyncio.wait({process.exited}, timeout=2)
            process.close()
        if over.is_set():
            raise OutOfMemory
        return code

    async def execute(self, container: Container, argv: list[str], seconds: float) -> tuple[int, bytes]:
        """One more command beside the process; TimeoutError when it takes longer than so many real seconds."""
        room, process = self._room, self._process
        if room is None or process is None:
            return 1, b"container is not running"
        pid = await _first(process.pid) if room.apart else process.pid
        if pid is None:
            return 1, b"container is not running"
        kept = Kept()
        command, env = room.enter(pid, argv)
        try:
            other = Process(command, env, "/" if room.apart else room.working_directory(), kept, address=container.ip, cut=container.cut)
        except OSError as error:
            return 126, str(error).encode()
        try:
            async with asyncio.timeout(seconds):
                code = await other.wait()
        finally:
            other.signal(signal.SIGKILL)
            other.close()
        return code, kept.data

    async def open(self, container: Container, argv: list[str], streams: Streams) -> CommandSession:
        """One more command beside the process, for somebody who holds its input and output."""
        room, process = self._room, self._process
        pid = None if room is None or process is None else await _first(process.pid) if room.apart else process.pid
        if room is None or pid is None:
            raise StartError("container is not running")
        command, env = room.enter(pid, resolve(container, argv), streams.tty)
        root = f"/proc/{pid}/root" if room.apart else ""
        session = CommandSession(command, env, "/" if room.apart else str(room.working_directory()), streams, root, container.ip, container.cut)
        self._sessions = {one for one in self._sessions if not one.over} | {session}
        return session

    def attach(self, container: Container, streams: Streams) -> AttachedSession:
        """What the process prints from now on, and its input."""
        assert self._process is not None
        return AttachedSession(self._process, streams, container.stdin_once)

    def hang(self, container: Container) -> None:
        """The fault: the processes stop where they are."""
        del container
        if self._process is not None:
            for pid in descendants(self._process.pid):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGSTOP)

    async def _stop(self, container: Container, process: Process) -> None:
        await container.stopping.wait()
        assert self._room is not None
        # The lab is quicker than the machine: a process that has just begun would not have set its traps yet.
        await asyncio.sleep(process.started + _SETTLING - time.monotonic())
        if not self._room.apart:
            process.signal(signal.SIGTERM)
            return
        first = await _first(process.pid)
        if first is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(first, signal.SIGTERM)

    @staticmethod
    async def _watch_memory(process: Process, limit: int, over: asyncio.Event) -> None:
        began = time.monotonic()
        while not process.exited.done():
            if memory_of(process.pid) > limit:
                over.set()
                for pid in descendants(process.pid):
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
                process.signal(signal.SIGKILL)
                return
            await asyncio.sleep(_FIRST_PERIOD if time.monotonic() - began < _FIRST_LOOKS else _LATER_PERIOD)


async def _first(pid: int) -> int | None:
    """The first process in the room, once it has moved in: the child of the one that made the room."""
    for _ in range(200):
        for child in children(pid):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{child}/root") != "/":  # noqa: PTH115
                    return child
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        await asyncio.sleep(0.005)
    return None
