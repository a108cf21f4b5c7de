"""One pod on one node: a state machine that looks at the pod, writes its status, and does what is due.

As in a real kubelet a look (`_sync`) first writes the status as it is, then acts; so a crash shows as `terminated` until the look that comes when the
back-off is over, which shows `CrashLoopBackOff` for a moment before it restarts the container.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from lab.clock import timestamp
from lab.kubelet.actions import to_start
from lab.kubelet.admission import refusal
from lab.kubelet.hooks import after_start, before_stop
from lab.kubelet.images import StartFailure
from lab.kubelet.machine import Machine, Surroundings
from lab.kubelet.probes import Prober
from lab.kubelet.runs import ContainerState
from lab.kubelet.starting import Starter, end_run, field_path, kill_run
from lab.kubelet.status import PodFacts, make_status
from lab.kubelet.volumes import MountError, Volumes
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import NODE, POD
from lab.kubernetes.registry import DeleteOptions

Obj = dict[str, Any]

log = logging.getLogger("lab.kubelet")

# Lab seconds, as recorded.
_SANDBOX = 0.4  # until the pod's surroundings stand
_RELIST = 0.8  # until a kubelet sees that something happened to a container
_JITTER = 1.12  # a kubelet comes a little later than it must
_REMOVAL = 0.7  # between the last status and the end of the object
_LEAST_GRACE = 2.0
_MOUNT_RETRY, _LONGEST_MOUNT_RETRY = 0.5, 122.0
_LEAST_REAL_GRACE = 0.25  # real seconds: however fast the lab, processes get the time they need to end


class _Interrupted(Exception):
    """The pod is to go: whatever goes on is dropped."""


class PodWorker:
    """Runs one pod from the moment it is bound until it is gone."""

    def __init__(self, around: Surroundings, machine: Machine, pod: Obj) -> None:
        self._around, self._machine, self.pod = around, machine, pod
        self.uid: str = pod["metadata"]["uid"]
        self.states: list[ContainerState] = []
        self.volumes = Volumes(around.registry, around.state, pod, around.token)
        self._starter = Starter(around, machine, self.volumes, self._on_exit)
        self._probers: dict[str, Prober] = {}
        self._to_kill: dict[str, str] = {}  # containers that failed a probe or changed: why
        self._wake, self._leave = asyncio.Event(), asyncio.Event()
        self._gone = False  # the object is no more
        self._mounted = self._sandbox = False
        self._over = False  # nothing is to run any more
        self._terminal = False  # nothing does run any more
        self._mount_retry = _MOUNT_RETRY
        self._failure: tuple[str, str] | None = None
        self._ip = self._shown_ip = ""
        self._born, self._start_time = around.clock.monotonic(), around.clock.now()

    # What happens to the pod

    @property
    def active(self) -> bool:
        """Whether it takes room on its node."""
        return not self._terminal

    def update(self, pod: Obj) -> None:
        """The object changed."""
        old, self.pod = self.pod, pod
        if "deletionTimestamp" in pod["metadata"]:
            self._leave.set()
        if old["metadata"].get("generation") != pod["metadata"].get("generation") or old["spec"] is not pod["spec"]:
            self._wake.set()
        elif any(old["metadata"].get(key) != pod["metadata"].get(key) for key in ("labels", "annotations")) and self._mounted:
            self.refresh_volumes()

    def gone(self) -> None:
        """The object is no more, perhaps before its containers ended."""
        self._gone = True
        self._leave.set()
        self._wake.set()

    def refresh_volumes(self) -> None:
        """ConfigMaps, Secrets or labels changed."""
        if self._mounted and not self._terminal:
            self.volumes.refresh(self.pod, self.pod.get("status") or {})

    async def run(self) -> None:
        """Until the object is gone and nothing is left."""
        try:
            if self._admitted():
                await self._live()
                await self._end()
            while not self._gone:
                await self._wait(None)
        finally:
            await self.kill()
        # Removing directories takes its time, and nobody waits for it. When the lab stops, it removes all of them at once.
        await asyncio.to_thread(self.volumes.remove)

    async def kill(self) -> None:
        """End everything at once: the lab stops."""
        for prober in self._probers.values():
            prober.stop()
        for state in self.states:
            if state.current:
                await kill_run(state.current)
        self._release()

    async def lose(self) -> None:
        """The node is lost: nothing runs any more and nobody is told."""
        for state in self.states:
            if state.current and state.running:
                state.current.forced = (255, "Unknown")
                await kill_run(state.current)

    def restore(self) -> None:
        """The node is back, as after a restart: the pod gets new surroundings."""
        if self._sandbox and not self._terminal:
            self._machine.recorder.event(self.pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
            self._release()
            self._sandbox = False
        self._wake.set()

    # Life

    def _admitted(self) -> bool:
        node = self._around.registry.find(NODE, "", self._machine.name)
        problem = refusal(self.pod, node, self._machine.neighbours(self.uid)) if node else None
        if problem is None:
            return True
        reason, message = problem
        self._terminal = True
        self._machine.recorder.event(self.pod, "Warning", reason, message.removeprefix("Pod was rejected: "))
        self._write({
            "observedGeneration": self.pod["metadata"].get("generation", 1), "phase": "Failed", "message": message, "reason": reason,
            "startTime": timestamp(self._around.clock.now()), "qosClass": (self.pod.get("status") or {}).get("qosClass", "BestEffort"),
        })  # fmt: skip
        return False

    async def _live(self) -> None:
        """Look again and again until the pod is over or to go."""
        while not self._leave.is_set():
            self._wake.clear()
            if self._machine.lost:
                await self._wait(None)
                continue
            try:
                delay = await self._sync()
            except _Interrupted:
                return
            if self._over:
                return
            await self._wait(delay)

    async def _wait(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(None if seconds is None else self._around.clock.real(seconds)):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    async def _pause(self, seconds: float) -> None:
        """Time that something takes; cut short when the pod is to go."""
        try:
            async with asyncio.timeout(self._around.clock.real(seconds)):
                await self._leave.wait()
        except TimeoutError:
            return
        raise _Interrupted

    async def _sync(self) -> float | None:
        """One look. Gives after how many lab seconds the next is due; None: when something happens."""
        self._read_spec()
        left = self._deadline_left()
        if left is not None and left <= 0:
            self._failure = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
            self._machine.recorder.event(self.pod, "Normal", self._failure[0], self._failure[1])
        if self._publish() in ("Succeeded", "Failed"):
            self._over = True
            return None
        if not self._mounted and not self._mount():
            retry, self._mount_retry = self._mount_retry, min(self._mount_retry * 2, _LONGEST_MOUNT_RETRY)
            return retry
        fresh = not self._sandbox
        if fresh:
            await self._pause(_SANDBOX)
            self._ip = self._machine.internal_ip if self.pod["spec"].get("hostNetwork") else self._around.addresses.take_pod()
            self._sandbox = True
            self._publish()
        await self._kill_wanted()
        delay = await self._start_due(fresh)
        return left if delay is None else delay if left is None else min(delay, left)

    async def _start_due(self, fresh: bool) -> float | None:
        """Start whatever has its turn; what fails is tried again later."""
        policy, tried, failures, made = self.pod["spec"].get("restartPolicy", "Always"), set[str](), list[StartFailure](), fresh
        while due := [state for state in to_start(self.states, policy) if state.name not in tried]:
            for state in due:
                tried.add(state.name)
                before = state.current
                try:
                    await self._starter.start(self.pod, state, {**(self.pod.get("status") or {}), **self._addresses()})
                except StartFailure as failure:
                    state.waiting = (failure.reason, failure.message)
                    failures.append(failure)
                else:
                    state.waiting = None
                    await self._on_start(state)
                made = made or state.current is not before
                if self._leave.is_set():
                    raise _Interrupted
            if any(state.running for state in due):
                self._publish()
        if not failures:
            return None
        return _RELIST if made else min(failure.retry for failure in failures) * _JITTER

    def _read_spec(self) -> None:
        """Containers as the spec has them now: ephemeral ones may come, images may change."""
        known = {state.name: state for state in self.states}
        self.states = []
        for part, init, ephemeral in (("initContainers", True, False), ("containers", False, False), ("ephemeralContainers", False, True)):
            for spec in self.pod["spec"].get(part) or ():
                state = known.get(spec["name"]) or ContainerState(spec, init, ephemeral)
                if state.running and state.current and state.current.image != spec["image"]:
                    self._to_kill[state.name] = f"Container {state.name} definition changed, will be restarted"
                state.spec = spec
                self.states.append(state)

    def _deadline_left(self) -> float | None:
        deadline = self.pod["spec"].get("activeDeadlineSeconds")
        return None if deadline is None else float(deadline - (self._around.clock.monotonic() - self._born))

    def _mount(self) -> bool:
        try:
            self.volumes.set_up({**(self.pod.get("status") or {}), **self._addresses()})
        except MountError as error:
            self._machine.recorder.event(self.pod, "Warning", "FailedMount", str(error))
            return False
        self._mounted = True
        return True

    # Containers

    async def _on_start(self, state: ContainerState) -> None:
        run = state.current
        assert run is not None
        if not state.ephemeral and any(state.spec.get(f"{kind}Probe") for kind in ("startup", "readiness", "liveness")):
            prober = self._probers[state.name] = Prober(state, run, self._around.clock, self._born)
            prober.start(
                self._wake.set,
                lambda kind, output: self._machine.recorder.event(
                    self.pod, "Warning", "Unhealthy", f"{kind.capitalize()} probe failed: {output}", field_path(state)
                ),
                lambda kind: self._want_killed(state, f"Container {state.name} failed {kind} probe, will be restarted"),
            )
        problem = await after_start(state, run)
        if problem:
            self._machine.recorder.event(self.pod, "Warning", "FailedPostStartHook", problem, field_path(state))
            self._want_killed(state, "FailedPostStartHook")

    def _want_killed(self, state: ContainerState, why: str) -> None:
        self._to_kill[state.name] = why
        self._wake.set()

    async def _kill_wanted(self) -> None:
        for state in self.states:
            why = self._to_kill.pop(state.name, None)
            if why and state.running:
                await self._kill(state, why, self.pod["spec"].get("terminationGracePeriodSeconds", 30))

    async def _kill(self, state: ContainerState, why: str, grace: float) -> None:
        """TERM, and KILL when the grace is over; meanwhile a shorter grace may be ordered."""
        self._machine.recorder.event(self.pod, "Normal", "Killing", why, field_path(state))
        run = state.current
        if run is None:
            return
        began = asyncio.get_running_loop().time()
        problem = await before_stop(state, run, self._real_grace(grace))
        if problem:
            self._machine.recorder.event(self.pod, "Warning", "FailedPreStopHook", problem, field_path(state))
        spent = asyncio.get_running_loop().time() - began
        await end_run(run, lambda: self._real_grace(grace) - spent)

    def _real_grace(self, grace: float) -> float:
        ordered = self.pod["metadata"].get("deletionGracePeriodSeconds")
        if ordered is not None:
            grace = min(grace, ordered)
        if self._gone:
            grace = _LEAST_GRACE
        return max(self._around.clock.real(max(grace, _LEAST_GRACE)), min(grace, _LEAST_REAL_GRACE))

    def _on_exit(self, state: ContainerState) -> None:
        prober = self._probers.pop(state.name, None)
        if prober:
            prober.stop()
        if not self._machine.lost:
            asyncio.get_running_loop().call_later(self._around.clock.real(_RELIST), self._wake.set)

    # The end

    async def _end(self) -> None:
        """Nothing may run any more: end it all, tell so, and take the object away if somebody asked for that."""
        while self._machine.lost and not self._gone:
            await self._wait(1.0)
        if not self._gone:
            self._publish()
        await self._kill_all()
        self._terminal = True
        self._publish()
        self._release()
        while not self._gone and "deletionTimestamp" not in self.pod["metadata"]:
            await self._wait(None)
        if not self._gone:
            await self._around.clock.sleep(_REMOVAL)
            self._remove()

    async def _kill_all(self) -> None:
        """The containers first, then the sidecars, the last started first."""
        grace = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        mains = [state for state in self.states if state.running and not state.sidecar]
        await asyncio.gather(*(self._kill(state, f"Stopping container {state.name}", grace) for state in mains))
        for state in reversed([state for state in self.states if state.running and state.sidecar]):
            await self._kill(state, f"Stopping container {state.name}", grace)

    def _remove(self) -> None:
        meta = self.pod["metadata"]
        try:
            self._around.registry.delete(POD, meta["namespace"], meta["name"], DeleteOptions(grace=0, uid=self.uid), ctx=self._machine.context)
        except ApiError as error:
            log.debug("%s/%s not removed: %s", meta["namespace"], meta["name"], error)

    def _release(self) -> None:
        if self._ip:
            self._around.addresses.give_back(self._ip)
            self._ip = ""

    # Status

    def _addresses(self) -> Obj:
        found: Obj = {"hostIP": self._machine.internal_ip, "hostIPs": [{"ip": self._machine.internal_ip}]}
        return {**found, "podIP": self._ip, "podIPs": [{"ip": self._ip}]} if self._ip else found

    def _publish(self) -> str:
        """Write the status if it is another; gives the phase, which is told to others only when nothing runs any more."""
        if self._machine.lost or self._gone:
            return ""
        if self._ip and any(state.waiting or state.current for state in self.states):
            self._shown_ip = self._ip
        facts = PodFacts(
            self.states, self._machine.internal_ip, self._shown_ip, self._sandbox, self._start_time, terminal=self._terminal, failure=self._failure
        )
        status, phase = make_status(self.pod, facts, self._around.clock.now())
        self._write(status)
        return phase

    def _write(self, status: Obj) -> None:
        meta = self.pod["metadata"]
        live = self._around.registry.find(POD, meta["namespace"], meta["name"])
        if live is None or live["metadata"]["uid"] != self.uid or live.get("status") == status:
            return
        try:
            self.pod = self._around.registry.modify(
                POD, meta["namespace"], meta["name"], lambda pod: pod.update(status=status), "status", self._machine.context
            )
        except ApiError as error:
            log.debug("status of %s/%s not written: %s", meta["namespace"], meta["name"], error)
