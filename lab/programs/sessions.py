"""Commands beside a container's program, and looks into the program itself: input and output held by somebody far away."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import AsyncIterator
from typing import Any

from lab.programs.ports import Cut
from lab.programs.processes import Child, Process
from lab.programs.program import Session, Streams

_PIECE = 65536
_LINGER = 0.2  # real seconds that output may still come after the end: somebody in the background may hold it
_SET_LOCK, _GET_PEER = 0x40045431, 0x5441  # TIOCSPTLCK, TIOCGPTPEER

Piece = tuple[int, bytes]


def open_terminal(root: str) -> tuple[int, int]:
    """A new terminal of the room whose root is there, or of the machine: our end, the process's end."""
    with contextlib.suppress(OSError):
        ours = os.open(f"{root}/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(ours, _SET_LOCK, struct.pack("i", 0))
            return ours, fcntl.ioctl(ours, _GET_PEER, os.O_RDWR | os.O_NOCTTY)
        except OSError:
            os.close(ours)
    return os.openpty()


class CommandSession:
    """A real process. Its output waits in the pipes until it is read."""

    def __init__(self, argv: list[str], env: dict[str, str], directory: str, streams: Streams, root: str, address: str = "",
                 cut: Cut | None = None) -> None:  # fmt: skip
        self._work: asyncio.Task[None] | None = None
        self._closing = False
        self._input = self._terminal = -1
        self._outputs: dict[int, int] = {}  # 1: output, 2: errors; our ends
        files = self._open_terminal(root) if streams.tty else self._open_pipes(streams)
        try:
            self._child = Child(argv, env, directory, files, address, cut)
        except OSError:
            self.close()
            raise
        finally:
            for one in set(files):
                os.close(one)
        self._pieces: asyncio.Queue[Piece | None] = asyncio.Queue(maxsize=16)
        self._loop = asyncio.get_running_loop()
        for number in (self._input, *self._outputs.values()):
            if number >= 0:
                os.set_blocking(number, False)
        self._work = asyncio.create_task(self._collect())

    def _open_terminal(self, root: str) -> tuple[int, int, int]:
        self._terminal, theirs = open_terminal(root)
        self._outputs[1] = self._terminal
        self._input = os.dup(self._terminal)
        return theirs, theirs, theirs

    def _open_pipes(self, streams: Streams) -> tuple[int, int, int]:
        theirs = os.open(os.devnull, os.O_RDONLY)
        if streams.stdin:
            os.close(theirs)
            theirs, self._input = os.pipe()
        ends = []
        for number in (1, 2):
            self._outputs[number], end = os.pipe()
            ends.append(end)
        return theirs, ends[0], ends[1]

    async def read(self) -> Piece | None:
        """The next piece; None when nothing more comes."""
        return await self._pieces.get()

    async def write(self, data: bytes) -> None:
        """Into its input, as quickly as it takes it."""
        while data and self._input >= 0:
            try:
                data = data[os.write(self._input, data) :]
            except BlockingIOError:
                await _writable(self._loop, self._input)
            except OSError:  # it does not listen any more
                return

    def close_input(self) -> None:
        """Nothing more is written. A terminal takes the sign for that."""
        if self._terminal >= 0:
            with contextlib.suppress(OSError):
                os.write(self._input, b"\x04")
        elif self._input >= 0:
            os.close(self._input)
            self._input = -1

    def resize(self, width: int, height: int) -> None:
        """The terminal is of another size."""
        set_size(self._terminal, width, height)

    async def wait(self) -> int:
        """The exit code."""
        return await self._child.exit_code()

    def close(self) -> None:
        """Nobody listens any more. The process is left alone, as by a container runtime; it will notice when it writes."""
        if self._work is None:
            self._close_handles()
        elif not self._closing:
            self._closing = True
            self._work.cancel()
            self._work.add_done_callback(lambda _: self._close_handles())  # not before: a number may be somebody else's by then

    def _close_handles(self) -> None:
        for number in (self._input, *self._outputs.values()):
            if number >= 0:
                os.close(number)
        self._input = self._terminal = -1
        self._outputs = {}

    def kill(self) -> None:
        """The container ends."""
        self._child.kill()

    @property
    def over(self) -> bool:
        """Whether the process has ended."""
        return self._child.exited.done()

    async def _collect(self) -> None:
        async with asyncio.TaskGroup() as pumps:
            for number, handle in self._outputs.items():
                pumps.create_task(self._pump(number, handle))
        await self._pieces.put(None)

    async def _pump(self, number: int, handle: int) -> None:
        while True:
            try:
                data = os.read(handle, _PIECE)
            except BlockingIOError:
                if not await self._more(handle):
                    return
                continue
            except OSError:  # a terminal whose last holder has gone
                return
            if not data:
                return
            await self._pieces.put((number, data))

    async def _more(self, handle: int) -> bool:
        """Wait for output; False when the command has ended and it has been silent since."""
        readable = asyncio.ensure_future(_readable(self._loop, handle))
        try:
            waiting: set[asyncio.Future[Any]] = {readable, self._child.exited}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({readable}, timeout=_LINGER)
            return readable.done()
        finally:
            readable.cancel()


class AttachedSession:
    """What a running process prints from now on, and, if it was started so, its input."""

    def __init__(self, process: Process, streams: Streams, once: bool) -> None:
        self._process, self._streams, self._once = process, streams, once
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        process.output.taps.add(self._pieces.put_nowait)

    async def read(self) -> Piece | None:
        """The next piece; None when the process has ended."""
        data = await self._pieces.get()
        return None if data is None else (1, data)

    async def write(self, data: bytes) -> None:
        """Into its input, if it has one."""
        async with self._process.typing:
            while data and self._streams.stdin and self._process.keyboard >= 0:
                try:
                    data = data[os.write(self._process.keyboard, data) :]
                except BlockingIOError:
                    await _writable(self._loop, self._process.keyboard)
                except OSError:
                    return

    def close_input(self) -> None:
        """A process that was to have its input once has had it."""
        if self._once and self._streams.stdin:
            self._process.close_input()

    def resize(self, width: int, height: int) -> None:
        """The terminal is of another size."""
        set_size(self._process.terminal, width, height)

    async def wait(self) -> int:
        """How the process ended is told by its pod, not here."""
        return 0

    def close(self) -> None:
        """Nobody looks any more."""
        self._process.output.taps.discard(self._pieces.put_nowait)
        self.close_input()


class TextSession:
    """A session whose output is known or comes by itself: what the lab's own programs have."""

    def __init__(self, pieces: AsyncIterator[Piece], code: int = 0) -> None:
        self._pieces, self._code = pieces, code

    async def read(self) -> Piece | None:
        """The next piece; None at the end."""
        return await anext(self._pieces, None)

    async def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def close_input(self) -> None:
        """Nobody reads it."""

    def resize(self, width: int, height: int) -> None:
        """Nobody looks at the size."""

    async def wait(self) -> int:
        """The exit code."""
        return self._code

    def close(self) -> None:
        """Nothing is held."""


def check_sessions(one: CommandSession, two: AttachedSession, three: TextSession) -> tuple[Session, ...]:
    """All of them are sessions: the type checker's word for it."""
    return one, two, three


def set_size(terminal: int, width: int, height: int) -> None:
    """Columns and lines of a terminal."""
    if terminal >= 0:
        with contextlib.suppress(OSError):
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


async def _readable(loop: asyncio.AbstractEventLoop, handle: int) -> None:
    ready = loop.create_future()
    loop.add_reader(handle, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(handle)


async def _writable(loop: asyncio.AbstractEventLoop, handle: int) -> None:
    ready = loop.create_future()
    loop.add_writer(handle, _set, ready)
    try:
        await ready
    finally:
        loop.remove_writer(handle)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
