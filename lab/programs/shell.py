"""Images of a plain shell world (busybox, alpine, debian, python): the command line runs as a real process of this machine.

It has its own file system (see rooms.py), exactly the pod's environment, and its output in the container's log. TERM goes to the first process, as
in a real container; KILL ends all of them. Memory is watched from outside, since cgroups need rights that a lab does not have.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from lab.programs.program import Container, OutOfMemory
from lab.programs.rooms import Room, resolve

_SETTLING = 0.2  # real seconds that a process has before TERM
_LINE_LIMIT = 16 * 1024  # longer lines are cut into pieces, as by a container runtime
_FIRST_LOOKS, _FIRST_PERIOD, _LATER_PERIOD = 0.5, 0.01, 0.1  # real seconds between looks at the memory


class Process:
    """A process group whose output comes line by line."""

    def __init__(self, argv: list[str], env: dict[str, str], directory: Path | str, output: Output) -> None:
        reading, writing = os.pipe()
        try:
            # In this thread: PR_SET_PDEATHSIG looks at the thread that started a process.
            self._popen = subprocess.Popen(  # noqa: S603
                argv, stdin=subprocess.DEVNULL, stdout=writing, stderr=writing, env=env, cwd=directory, start_new_session=True,
            )  # fmt: skip
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self.pid = self._popen.pid
        self.started = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._output, self._reading = output, reading
        self._drained = asyncio.Event()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        os.set_blocking(reading, False)
        self._loop.add_reader(reading, self._read)
        self._watch_exit()

    def signal(self, number: int) -> None:
        """To the whole group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def wait(self) -> int:
        """The exit code, once the output is read too; 128 and more is a signal."""
        code = await asyncio.shield(self.exited)
        with contextlib.suppress(TimeoutError):  # somebody in the background may hold the pipe
            async with asyncio.timeout(0.2):
                await self._drained.wait()
        self.close()
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        """Read no more."""
        if self._reading >= 0:
            self._loop.remove_reader(self._reading)
            os.close(self._reading)
            self._reading = -1
            self._output.end()
            self._drained.set()

    def _watch_exit(self) -> None:
        try:
            handle = os.pidfd_open(self.pid)
        except OSError:
            task = self._loop.run_in_executor(None, self._popen.wait)
            task.add_done_callback(lambda done: self._end(done.result()))
            return

        def ready() -> None:
            self._loop.remove_reader(handle)
            os.close(handle)
            self._end(self._popen.wait())

        self._loop.add_reader(handle, ready)

    def _end(self, code: int) -> None:
        if not self.exited.done():
            self.exited.set_result(code)

    def _read(self) -> None:
        try:
            data = os.read(self._reading, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._output.feed(data)
        else:
            self.close()


class Output:
    """Bytes cut into lines for a log."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """More came."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._container.write(line)
        while len(self._rest) > _LINE_LIMIT:
            self._part(self._rest[:_LINE_LIMIT])
            self._rest = self._rest[_LINE_LIMIT:]

    def end(self) -> None:
        """Nothing more comes."""
        if self._rest:
            self._part(self._rest)
            self._rest = b""

    def _part(self, data: bytes) -> None:
        (self._container.write_part or self._container.write)(data)


class _Kept(Output):
    """Bytes kept for whoever asked for the command."""

    def __init__(self) -> None:
        self.data = b""

    def feed(self, data: bytes) -> None:
        """More came."""
        self.data = (self.data + data)[:65536]

    def end(self) -> None:
        """Nothing more comes."""


class ShellProgram:
    """Runs the container's command line."""

    def __init__(self) -> None:
        self._room: Room | None = None
        self._process: Process | None = None

    async def prepare(self, container: Container) -> None:
        """Start the process; StartError when there is no such command."""
        argv = resolve(container, container.argv)
        self._room = Room(container)
        self._room.build()
        command, env = self._room.command(argv)
        directory: Path | str = "/" if self._room.apart else self._room.working_directory()
        self._process = Process(command, env, directory, Output(container))

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
        kept = _Kept()
        command, env = room.enter(pid, argv)
        try:
            other = Process(command, env, "/" if room.apart else room.working_directory(), kept)
        except OSError as error:
            return 126, str(error).encode()
        try:
            async with asyncio.timeout(seconds):
                code = await other.wait()
        finally:
            other.signal(signal.SIGKILL)
            other.close()
        return code, kept.data

    def hang(self, container: Container) -> None:
        """The fault: the processes stop where they are."""
        del container
        if self._process is not None:
            for pid in _descendants(self._process.pid):
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
                for pid in _descendants(process.pid):
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
                process.signal(signal.SIGKILL)
                return
            await asyncio.sleep(_FIRST_PERIOD if time.monotonic() - began < _FIRST_LOOKS else _LATER_PERIOD)


async def _first(pid: int) -> int | None:
    """The first process in the room, once it has moved in: the child of the one that made the room."""
    for _ in range(200):
        for child in _children(pid):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{child}/root") != "/":  # noqa: PTH115
                    return child
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        await asyncio.sleep(0.005)
    return None


def _children(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                yield from map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = list(_children(waiting.pop()))
        found += children
        waiting += children
    return found


def memory_of(pid: int) -> int:
    """Bytes that a process and all below it hold, or the peak of one of them if that is more."""
    total = peak = 0
    for one in (pid, *_descendants(pid)):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = dict(line.split(":", 1) for line in Path(f"/proc/{one}/status").read_text().splitlines() if line.startswith(("VmRSS", "VmHWM")))
            total += int(fields.get("VmRSS", "0 kB").split()[0]) * 1024
            peak = max(peak, int(fields.get("VmHWM", "0 kB").split()[0]) * 1024)
    return max(total, peak)
