"""Real processes as children of the lab: their end noticed, their output read, without a thread for each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.programs.ports import Cut, PortGuard, guards_work
from lab.programs.program import Container

_LINE_LIMIT = 16 * 1024  # longer lines are cut into pieces, as by a container runtime


class Child:
    """A process group of its own. Whoever made the descriptors closes them."""

    def __init__(self, argv: list[str], env: dict[str, str], directory: Path | str, files: tuple[int, int, int], address: str = "",
                 cut: Cut | None = None) -> None:  # fmt: skip
        """`address`: the pod's, when what it opens is to stand there; `cut`: what it must not reach."""
        guard = PortGuard(address, cut) if address and guards_work() else None
        # In this thread: PR_SET_PDEATHSIG looks at the thread that started a process.
        try:
            self._popen = subprocess.Popen(  # noqa: S603
                argv, stdin=files[0], stdout=files[1], stderr=files[2], env=env, cwd=directory, start_new_session=True,
                preexec_fn=guard.install if guard else None,  # noqa: PLW1509 - it takes no locks
            )  # fmt: skip
        except BaseException:
            if guard:
                guard.close()
            raise
        if guard:
            guard.watch()
        self.pid = self._popen.pid
        self.started = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._watch_exit()

    def signal(self, number: int) -> None:
        """To the whole group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """To everything below it, too."""
        for pid in descendants(self.pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self.signal(signal.SIGKILL)

    async def exit_code(self) -> int:
        """Once it has ended; 128 and more is a signal."""
        code = await asyncio.shield(self.exited)
        return code if code >= 0 else 128 - code

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


class Process(Child):
    """A process whose output (both streams in one, in their order) comes piece by piece; `keyboard` leads to its input when it has one."""

    def __init__(
        self, argv: list[str], env: dict[str, str], directory: Path | str, output: Output, stdin: bool = False, tty: bool = False, address: str = "",
        cut: Cut | None = None,
    ) -> None:  # fmt: skip
        self.output, self.tty = output, tty
        self.typing = asyncio.Lock()  # held by who writes to its input
        self.keyboard = -1
        if tty:
            self._reading, writing = os.openpty()
            files, inner = (writing, writing, writing), [writing]
            self.keyboard = os.dup(self._reading) if stdin else -1
        else:
            self._reading, writing = os.pipe()
            reading, self.keyboard = os.pipe() if stdin else (os.open(os.devnull, os.O_RDONLY), -1)
            files, inner = (reading, writing, writing), [reading, writing]
        try:
            super().__init__(argv, env, directory, files, address, cut)
        except OSError:
            self._close_ours()
            raise
        finally:
            for one in inner:
                os.close(one)
        self._drained = asyncio.Event()
        if self.keyboard >= 0:
            os.set_blocking(self.keyboard, False)
        os.set_blocking(self._reading, False)
        self._loop.add_reader(self._reading, self._read)

    async def wait(self) -> int:
        """The exit code, once the output is read too; 128 and more is a signal."""
        code = await self.exit_code()
        with contextlib.suppress(TimeoutError):  # somebody in the background may hold the pipe
            async with asyncio.timeout(0.2):
                await self._drained.wait()
        self.close()
        return code

    def close(self) -> None:
        """Read no more."""
        if self._reading >= 0:
            self._loop.remove_reader(self._reading)
            self._close_ours()
            self.output.end()
            self._drained.set()

    def close_input(self) -> None:
        """Its input is at its end."""
        if self.keyboard >= 0:
            os.close(self.keyboard)
            self.keyboard = -1

    @property
    def terminal(self) -> int:
        """Our end of its terminal, -1 when it has none."""
        return self._reading if self.tty else -1

    def _close_ours(self) -> None:
        os.close(self._reading)
        self._reading = -1
        self.close_input()

    def _read(self) -> None:
        try:
            data = os.read(self._reading, 65536)
        except BlockingIOError:
            return
        except OSError:  # a terminal that nobody holds any more
            data = b""
        if data:
            self.output.feed(data)
        else:
            self.close()


class Output:
    """Bytes cut into lines for a log; `taps` get them as they come, and None at the end."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._rest = b""
        self.taps: set[Callable[[bytes | None], None]] = set()

    def feed(self, data: bytes) -> None:
        """More came."""
        for tap in list(self.taps):
            tap(data)
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
        for tap in list(self.taps):
            tap(None)

    def _part(self, data: bytes) -> None:
        (self._container.write_part or self._container.write)(data)


class Kept(Output):
    """Bytes kept for whoever asked for the command."""

    def __init__(self) -> None:
        self.data = b""

    def feed(self, data: bytes) -> None:
        """More came."""
        self.data = (self.data + data)[:65536]

    def end(self) -> None:
        """Nothing more comes."""


def children(pid: int) -> Iterator[int]:
    """The processes that one has started."""
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                yield from map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = list(children(waiting.pop()))
        found += below
        waiting += below
    return found


def memory_of(pid: int) -> int:
    """Bytes that a process and all below it hold, or the peak of one of them if that is more."""
    total = peak = 0
    for one in (pid, *descendants(pid)):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = dict(line.split(":", 1) for line in Path(f"/proc/{one}/status").read_text().splitlines() if line.startswith(("VmRSS", "VmHWM")))
            total += int(fields.get("VmRSS", "0 kB").split()[0]) * 1024
            peak = max(peak, int(fields.get("VmHWM", "0 kB").split()[0]) * 1024)
    return max(total, peak)
