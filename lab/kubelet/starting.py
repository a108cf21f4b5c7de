"""Starting one container of a pod, and ending it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from lab.images import ImageEntry
from lab.kubelet.backoff import Backoff
from lab.kubelet.environment import ConfigError, expand, make_environment
from lab.kubelet.images import ImagePuller, StartFailure
from lab.kubelet.logbuffer import LogBuffer
from lab.kubelet.machine import Machine, Surroundings
from lab.kubelet.runs import ContainerState, Run
from lab.kubelet.volumes import Volumes
from lab.kubernetes.quantity import parse
from lab.programs.program import Container, OutOfMemory, StartError

Obj = dict[str, Any]

log = logging.getLogger("lab.kubelet")

_MESSAGE_LIMIT = 4096


class Starter:
    """Starts the containers of one pod. `exited` is called whenever a run has ended."""

    def __init__(self, around: Surroundings, machine: Machine, volumes: Volumes, exited: Callable[[ContainerState], None]) -> None:
        self._around = around
        self._machine = machine
        self._volumes = volumes
        self._exited = exited
        self._images = ImagePuller(around, machine)
        self.backoff = Backoff()

    async def start(self, pod: Obj, state: ContainerState, status: Obj) -> None:
        """Start a container; StartFailure says why it waits instead."""
        self._check_backoff(pod, state)
        path = field_path(state)
        entry = await self._images.ensure(pod, state.spec, path)
        try:
            container = self._container(pod, state, status, entry)
        except ConfigError as error:
            self._machine.recorder.event(pod, "Warning", "Failed", f"Error: {error}", path)
            raise StartFailure("CreateContainerConfigError", str(error)) from error
        run = self._new_run(state, entry, container)
        self._machine.recorder.event(pod, "Normal", "Created", "Container created", path)
        try:
            await self._launch(state, run, container)
        except StartError as error:
            message = f"failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: {error}"
            self._end(state, run, 128, "StartError", message)
            run.started_at = None
            self._machine.recorder.event(pod, "Warning", "Failed", f"Error: {message}", path)
            raise StartFailure("RunContainerError", message) from error
        self._machine.recorder.event(pod, "Normal", "Started", "Container started", path)

    def _check_backoff(self, pod: Obj, state: ContainerState) -> None:
        run = state.current
        if run is None:
            return
        now = self._around.clock.monotonic()
        wait = self.backoff.remaining(state.name, run.finished, now)
        if not wait:
            self.backoff.next(state.name, run.finished, now)
            return
        meta = pod["metadata"]
        whole = f"{meta['name']}_{meta['namespace']}({meta['uid']})"
        text = f"Back-off restarting failed container {state.name} in pod {whole}"
        self._machine.recorder.event(pod, "Warning", "BackOff", text, field_path(state))
        delay = go_duration(self.backoff.delay(state.name))
        raise StartFailure("CrashLoopBackOff", f"back-off {delay} restarting failed container={state.name} pod={whole}", wait)

    def _new_run(self, state: ContainerState, entry: ImageEntry, container: Container) -> Run:
        run = Run(container.image, entry.image_id, LogBuffer(), program=entry.program(), container=container)
        container.write = run.log.append
        container.write_part = lambda data: run.log.append(data, newline=False)
        if state.current is not None:
            state.last = state.current
            state.restarts += 1
        state.current = run
        state.started = not state.spec.get("startupProbe")
        state.ready = not state.spec.get("readinessProbe")
        return run

    async def _launch(self, state: ContainerState, run: Run, container: Container) -> None:
        assert run.program is not None
        run.started_at, run.started = self._around.clock.now(), self._around.clock.monotonic()
        prepare = getattr(run.program, "prepare", None)
        if prepare is not None:
            await prepare(container)
        task = run.task = asyncio.create_task(run.program.run(container), name=f"{container.namespace}/{container.pod}/{container.name}")
        await asyncio.wait({task}, timeout=0)  # a program that cannot start says so at once
        if task.done() and not task.cancelled() and isinstance(task.exception(), StartError):
            raise task.exception() or StartError
        task.add_done_callback(lambda _: self._done(state, run))

    def _done(self, state: ContainerState, run: Run) -> None:
        code, reason, message = _outcome(run)
        self._end(state, run, code, reason, message)
        self._exited(state)

    def _end(self, state: ContainerState, run: Run, code: int, reason: str, message: str) -> None:
        run.finished_at, run.finished = self._around.clock.now(), self._around.clock.monotonic()
        run.exit_code, run.reason = code & 255, reason
        run.message = message or _termination_message(state, run)
        run.log.close()
        state.ready = state.started = False
        if state.last is not None:
            state.last.log = LogBuffer()  # a node keeps the log of one ended run only
            state.last.log.close()

    def _container(self, pod: Obj, state: ContainerState, status: Obj, entry: ImageEntry) -> Container:
        meta, spec, ip = pod["metadata"], pod["spec"], status.get("podIP", "")
        env = make_environment(self._around.registry, pod, state.spec, status)
        volumes, read_only = self._volumes.mounts(state.spec, env)
        home = self._volumes.directory / "containers" / state.name
        root = home / f"root-{state.restarts + 1 if state.current else 0}"
        root.mkdir(parents=True, exist_ok=True)
        message = home / "termination-log"
        message.write_bytes(b"")
        volumes[state.spec.get("terminationMessagePath", "/dev/termination-log")] = message
        hostname = self._machine.name if spec.get("hostNetwork") else spec.get("hostname") or meta["name"][:63].rstrip("-.")
        env = {"HOSTNAME": hostname, **env}
        command, args = ([expand(part, env) for part in state.spec.get(key) or ()] for key in ("command", "args"))
        limit = ((state.spec.get("resources") or {}).get("limits") or {}).get("memory")
        return Container(
            namespace=meta["namespace"], pod=meta["name"], pod_uid=meta["uid"], name=state.name, image=state.spec["image"],
            argv=entry.argv(command, args), env=env,
            root=root, volumes=volumes, working_dir=state.spec.get("workingDir") or "/", ip=ip, hostname=hostname, labels=meta.get("labels") or {},
            memory_limit=int(parse(limit)) if limit else None, clock=self._around.clock, faults=self._around.faults, shared=self._around.shared,
            write=lambda data: None, read_only=read_only, stdin=bool(state.spec.get("stdin")), stdin_once=bool(state.spec.get("stdinOnce")),
            tty=bool(state.spec.get("tty")),
        )  # fmt: skip


def _outcome(run: Run) -> tuple[int, str, str]:
    """How a run ended: exit code, reason, message."""
    task = run.task
    assert task is not None
    if task.cancelled():
        return (*run.forced, "") if run.forced else (137, "Error", "")
    error = task.exception()
    if isinstance(error, OutOfMemory):
        return 137, "OOMKilled", ""
    if isinstance(error, StartError):
        return 128, "StartError", str(error)
    if error is not None:
        log.error("program of %s failed", task.get_name(), exc_info=error)
        run.log.append(f"the lab's program failed: {error!r}".encode())
        return 70, "Error", ""
    if run.forced:
        return (*run.forced, "")
    return task.result(), "", ""


def _termination_message(state: ContainerState, run: Run) -> str:
    """What the container wrote as its last word, or, if it wants so, the end of its log."""
    assert run.container is not None
    try:
        text = run.container.volumes[state.spec.get("terminationMessagePath", "/dev/termination-log")].read_bytes()[:_MESSAGE_LIMIT]
    except OSError:
        text = b""
    if not text and run.exit_code and state.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        text = run.log.tail(80)[-2048:]
    return text.decode(errors="replace")


def field_path(state: ContainerState) -> str:
    """Where a container stands in its pod's spec, as events say it."""
    part = "initContainers" if state.init else "ephemeralContainers" if state.ephemeral else "containers"
    return f"spec.{part}{{{state.name}}}"


def go_duration(seconds: float) -> str:
    """`10s`, `1m20s`, `5m0s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


async def end_run(run: Run, seconds: Callable[[], float]) -> None:
    """TERM, then KILL when `seconds` real seconds (asked again all the while: a second delete can shorten them) have passed."""
    task, container = run.task, run.container
    if task is None or container is None or task.done():
        return
    loop = asyncio.get_running_loop()
    began = loop.time()
    container.stopping.set()
    while not task.done() and (left := began + seconds() - loop.time()) > 0:
        await asyncio.wait({task}, timeout=min(left, 0.2))
    await kill_run(run)


async def kill_run(run: Run) -> None:
    """KILL, and wait until it is over."""
    task = run.task
    while task is not None and not task.done():
        run.forced = run.forced or (137, "Error")
        task.cancel()
        await asyncio.wait({task}, timeout=5)
    await asyncio.sleep(0)  # what happens when it is done has happened
