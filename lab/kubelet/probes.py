"""Startup, readiness and liveness probes.

Periods and delays run at the lab's speed. Time-outs are real seconds, since the processes that answer are no faster than elsewhere; and a probe that
has settled on success looks at most once in a real second, because more would only be load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from lab.addresses import real_port
from lab.clock import Clock
from lab.kubelet.runs import ContainerState, Run
from lab.programs.program import Container

Obj = dict[str, Any]

_SETTLED_PERIOD = 1.0  # real seconds
_BODY_LIMIT = 10 * 1024
_SERVING = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


class ProbeFailed(Exception):
    """What the probe found instead of success."""


class Prober:
    """The probes of one run of a container. Says by callbacks what they found."""

    def __init__(self, state: ContainerState, run: Run, clock: Clock, born: float) -> None:
        self._state, self._run, self._clock, self._born = state, run, clock, born
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, changed: Callable[[], None], unhealthy: Callable[[str, str], None], kill: Callable[[str], None]) -> None:
        """Begin. `changed`: ready or started is another; `unhealthy(kind, output)`: one probe failed; `kill(kind)`: the container has to restart."""
        for kind in ("startup", "readiness", "liveness"):
            probe = self._state.spec.get(f"{kind}Probe")
            if probe:
                self._tasks.append(asyncio.create_task(self._watch(kind, probe, changed, unhealthy, kill)))

    def stop(self) -> None:
        """The run is over."""
        for task in self._tasks:
            task.cancel()

    async def _watch(
        self, kind: str, probe: Obj, changed: Callable[[], None], unhealthy: Callable[[str, str], None], kill: Callable[[str], None]
    ) -> None:
        await self._wait_for_turn(kind, probe)
        period = probe.get("periodSeconds", 10)
        needed = {True: probe.get("successThreshold", 1), False: probe.get("failureThreshold", 3)}
        last, same = None, 0
        while self._run.running:
            error = await self._look(probe)
            good = error is None
            same = same + 1 if good is last else 1
            last = good
            if error is not None:
                unhealthy(kind, error)
            if same >= needed[good]:
                if kind != "readiness" and not good:
                    kill(kind)
                    return
                if self._settle(kind, good):
                    changed()
                if kind == "startup":
                    return
            pause = self._clock.real(period)
            await asyncio.sleep(max(pause, min(period, _SETTLED_PERIOD)) if good and same > needed[good] else pause)

    async def _wait_for_turn(self, kind: str, probe: Obj) -> None:
        await self._clock.sleep(probe.get("initialDelaySeconds", 0))
        if kind == "liveness":  # its ticks count from the pod's birth, not from the container's start
            period = probe.get("periodSeconds", 10)
            await self._clock.sleep(period - (self._clock.monotonic() - self._born) % period)
        while kind != "startup" and not self._state.started and self._run.running:
            await self._clock.sleep(0.2)

    def _settle(self, kind: str, good: bool) -> bool:
        if kind == "readiness":
            before, self._state.ready = self._state.ready, good
            return before is not good
        if kind == "startup":
            self._state.started = True
            return True
        return False

    async def _look(self, probe: Obj) -> str | None:
        """One probe: None for success, else what is wrong."""
        container = self._run.container
        assert container is not None
        seconds = probe.get("timeoutSeconds", 1)
        try:
            await check(container, self._run, probe, seconds, self._state.spec)
        except ProbeFailed as error:
            return str(error)
        return None


async def check(container: Container, run: Run, probe: Obj, seconds: float, spec: Obj) -> None:
    """Carry out one probe or hook; ProbeFailed with the text of a real kubelet."""
    look: Awaitable[None]
    if "exec" in probe:
        look = _exec(container, run, list(probe["exec"].get("command") or ()), seconds)
    elif "httpGet" in probe:
        look = _http(container, probe["httpGet"], seconds, spec)
    elif "tcpSocket" in probe:
        look = _tcp(probe["tcpSocket"].get("host") or container.ip, _port(probe["tcpSocket"]["port"], spec), seconds, container)
    elif "grpc" in probe:
        look = _grpc(container, probe["grpc"], seconds)
    else:
        return
    await look


def _port(port: int | str, spec: Obj) -> int:
    if isinstance(port, int):
        return port
    for some in spec.get("ports") or ():
        if some.get("name") == port:
            return int(some["containerPort"])
    raise ProbeFailed(f"couldn't find port: {port}")


async def _exec(container: Container, run: Run, command: list[str], seconds: float) -> None:
    execute = getattr(run.program, "execute", None)
    if container.hanging.is_set():
        await asyncio.sleep(seconds)
        raise ProbeFailed(f'command timed out: "{" ".join(command)}" timed out after {seconds}s')
    if execute is None:
        return  # a program of the lab has no shell to ask: as good as a command that succeeds
    try:
        code, output = await execute(container, command, seconds)
    except TimeoutError:
        raise ProbeFailed(f'command timed out: "{" ".join(command)}" timed out after {seconds}s') from None
    if code:
        raise ProbeFailed(output.decode(errors="replace"))


async def _connect(host: str, port: int, seconds: float, hanging: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if hanging:
        await asyncio.sleep(seconds)
        raise ProbeFailed(f"dial tcp {host}:{port}: i/o timeout")
    try:
        async with asyncio.timeout(seconds):  # never wait_for: it loses a cancellation that comes together with the result
            return await asyncio.open_connection(host, real_port(port), limit=_BODY_LIMIT)
    except TimeoutError:
        raise ProbeFailed(f"dial tcp {host}:{port}: i/o timeout") from None
    except OSError as error:
        text = "connection refused" if isinstance(error, ConnectionRefusedError) else (error.strerror or "no route to host").lower()
        raise ProbeFailed(f"dial tcp {host}:{port}: connect: {text}") from None


async def _tcp(host: str, port: int, seconds: float, container: Container) -> None:
    _, writer = await _connect(host, port, seconds, container.hanging.is_set())
    writer.close()


async def _http(container: Container, get: Obj, seconds: float, spec: Obj) -> None:
    host, port = get.get("host") or container.ip, _port(get["port"], spec)
    path = "/" + str(get.get("path") or "/").lstrip("/")
    url = f"{get.get('scheme', 'HTTP').lower()}://{host}:{port}{path}"
    try:
        reader, writer = await _connect(host, port, seconds, container.hanging.is_set())
    except ProbeFailed as error:
        raise ProbeFailed(f'Get "{url}": {error}') from None
    headers = {"Host": f"{host}:{port}", "User-Agent": "kube-probe/1.36", "Accept": "*/*", "Connection": "close"}
    headers |= {header["name"]: header["value"] for header in get.get("httpHeaders") or ()}
    try:
        writer.write(f"GET {path} HTTP/1.1\r\n{''.join(f'{name}: {value}{chr(13)}{chr(10)}' for name, value in headers.items())}\r\n".encode())
        async with asyncio.timeout(seconds):
            line = await reader.readline()
        status = int(line.split()[1])
    except TimeoutError:
        raise ProbeFailed(f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)') from None
    except (OSError, ValueError, IndexError, asyncio.LimitOverrunError):
        raise ProbeFailed(f'Get "{url}": EOF') from None
    finally:
        writer.close()
    if not 200 <= status < 400:
        raise ProbeFailed(f"HTTP probe failed with statuscode: {status}")


async def _grpc(container: Container, probe: Obj, seconds: float) -> None:
    """The health protocol: one request with the service's name, one answer with a number."""
    from grpclib.client import Channel, UnaryUnaryMethod
    from grpclib.encoding.base import CodecBase
    from grpclib.exceptions import GRPCError, StreamTerminatedError

    class Raw(CodecBase):
        """Messages as they are."""

        __content_subtype__ = "proto"

        def encode(self, message: Any, message_type: Any) -> bytes:
            return bytes(message)

        def decode(self, data: bytes, message_type: Any) -> bytes:
            return data

    host, port = container.ip, probe["port"]
    if container.hanging.is_set():
        await asyncio.sleep(seconds)
        raise ProbeFailed(f'timeout: failed to connect service "{host}:{port}" within {seconds}s: context deadline exceeded')
    service = str(probe.get("service") or "").encode()
    channel = Channel(host, port, codec=Raw())
    try:
        method = UnaryUnaryMethod(channel, "/grpc.health.v1.Health/Check", bytes, bytes)
        request = b"\x0a" + bytes([len(service)]) + service if service else b""
        async with asyncio.timeout(seconds):
            answer = await method(request)
    except (TimeoutError, OSError, StreamTerminatedError):
        raise ProbeFailed(f'timeout: failed to connect service "{host}:{port}" within {seconds}s: context deadline exceeded') from None
    except GRPCError as error:
        if error.status.name == "UNIMPLEMENTED":
            text = f"this server does not implement the grpc health protocol (grpc.health.v1.Health): {error.message}"
            raise ProbeFailed(f"error: {text}") from None
        raise ProbeFailed(f"error: health rpc probe failed: {error}") from None
    finally:
        channel.close()
    status = answer[1] if len(answer) == 2 and answer[0] == 8 else 0
    if status != 1:
        raise ProbeFailed(f'service unhealthy (responded with "{_SERVING.get(status, "UNKNOWN")}")')
