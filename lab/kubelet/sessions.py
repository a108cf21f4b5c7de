"""exec, attach and port-forward as a node answers them, with the refusals of a server 1.36."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator
from typing import Any, Protocol

from lab.clock import Clock
from lab.kubelet.logs import PodLogs, PodRuntime, choose_container
from lab.kubelet.runs import Run
from lab.kubernetes.errors import ApiError, bad_request
from lab.programs.commands import open_command
from lab.programs.program import Session, StartError, Streams
from lab.programs.sessions import TextSession

Obj = dict[str, Any]


class Nodes(PodRuntime, Protocol):
    """Where pods run."""

    def reachable(self, node: str) -> bool:
        """Whether a node answers."""
        ...


class Pods(PodLogs):
    """The part of the API server that speaks with kubelets."""

    def __init__(self, nodes: Nodes, clock: Clock) -> None:
        super().__init__(nodes, clock)
        self._nodes = nodes

    def locate(self, pod: Obj, container: str | None) -> str:
        """The container that is meant; ApiError 400 when that is not clear or the pod has no node yet. None: any (port-forward)."""
        name = "" if container is None else choose_container(pod, container)
        if not pod["spec"].get("nodeName"):
            raise bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
        return name

    def find(self, pod: Obj, container: str) -> Inside:
        """The running container; ApiError 500 when there is none."""
        self.dial(pod)
        for state in self._nodes.states(pod["metadata"]["uid"]):
            if state.name == container and state.current and state.running and state.current.container:
                return Inside(state.current)
        text = f'container not found ("{container}")'
        raise ApiError(500, text, text=text)

    def dial(self, pod: Obj) -> None:
        """ApiError when the pod's node does not answer."""
        if not self._nodes.reachable(pod["spec"]["nodeName"]):
            address = (pod.get("status") or {}).get("hostIP", "")
            raise ApiError(500, f"error dialing backend: dial tcp {address}:10250: i/o timeout")

    def unreachable(self, pod: Obj, port: int) -> str:
        """The words of a container runtime for a port that nobody listens on."""
        sandbox = hashlib.sha256(pod["metadata"]["uid"].encode()).hexdigest()
        space = f"/var/run/netns/cni-{uuid.uuid5(uuid.NAMESPACE_OID, pod['metadata']['uid'])}"
        return (
            f'error forwarding port {port} to pod {sandbox}, uid : failed to execute portforward in network namespace "{space}": failed to connect '
            f'to localhost:{port} inside namespace "{sandbox}", IPv4: dial tcp4 127.0.0.1:{port}: connect: connection refused IPv6 dial tcp6: '
            "address localhost: no suitable address found "
        )


class Inside:
    """One running container, as commands reach it."""

    def __init__(self, run: Run) -> None:
        assert run.container is not None
        self._run, self._container = run, run.container

    async def open(self, argv: list[str], streams: Streams) -> Session:
        """Start one more command; ApiError with the runtime's words when it cannot start."""
        start = getattr(self._run.program, "open", None)
        try:
            session: Session = await start(self._container, argv, streams) if start else open_command(self._container, argv)
        except (StartError, OSError) as error:
            raise self._failed(str(error)) from error
        return session

    def _failed(self, why: str) -> ApiError:
        process = hashlib.sha256(uuid.uuid4().bytes).hexdigest()
        text = f'failed to exec in container: failed to start exec "{process}": OCI runtime exec failed: exec failed: {why}'
        text = f"Internal error occurred: error executing command in container: {text}"
        return ApiError(500, f"Internal error occurred: {text}", "InternalError", {"causes": [{"message": text}]})

    async def attach(self, streams: Streams) -> Session:
        """What the container's program prints from now on, and its input."""
        attach = getattr(self._run.program, "attach", None)
        session: Session = attach(self._container, streams) if attach else TextSession(_follow(self._run))
        return session


async def _follow(run: Run) -> AsyncIterator[tuple[int, bytes]]:
    async for chunk in run.log.read(follow=True, tail=0):
        yield 1, chunk
