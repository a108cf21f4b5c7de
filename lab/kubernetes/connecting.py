"""Subresources that are connections, not objects: exec, attach, portforward, proxy. What is refused before a connection stands, and how."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from aiohttp import web

from lab.addresses import real_port
from lab.kubernetes.auth import User
from lab.kubernetes.call import Call
from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.forwarding import CHANNELS, TUNNEL, Connection, forward_channels, forward_tunnel
from lab.kubernetes.kinds import POD, Kind
from lab.kubernetes.proxying import pass_on
from lab.kubernetes.rbac import Attributes, allowed
from lab.kubernetes.rbac import refusal as forbidden
from lab.kubernetes.registry import Registry
from lab.kubernetes.streaming import remote_command
from lab.programs.program import Session, Streams

Obj = dict[str, Any]

CONNECTIONS = ("exec", "attach", "portforward", "proxy")


class InsideContainer(Protocol):
    """A running container, as commands reach it."""

    async def open(self, argv: list[str], streams: Streams) -> Session:
        """One more command. ApiError when it cannot start."""
        ...

    async def attach(self, streams: Streams) -> Session:
        """The container's own program."""
        ...


class PodConnections(Protocol):
    """What a kubelet offers to connections."""

    def locate(self, pod: Obj, container: str | None) -> str:
        """The container that is meant, None: no certain one. ApiError when that is not clear, or when no node has the pod."""
        ...

    def find(self, pod: Obj, container: str) -> InsideContainer:
        """The running container. ApiError when there is none."""
        ...

    def dial(self, pod: Obj) -> None:
        """ApiError when the pod's node does not answer."""
        ...

    def unreachable(self, pod: Obj, port: int) -> str:
        """What a node says of a port that nobody listens on."""
        ...


class Connector:
    """Answers requests for connections."""

    def __init__(self, registry: Registry, pods: PodConnections | None) -> None:
        self._registry, self._pods = registry, pods

    async def answer(self, kind: Kind, call: Call) -> web.StreamResponse:
        """Carry out one; ApiError for what is refused beforehand."""
        name = call.target.subresource
        if name == "proxy":
            return await pass_on(self._registry, kind, call)
        pod = self._registry.get(POD, call.target.namespace, call.target.name)
        pods = self._pods
        if pods is None:
            raise ApiError(500, "no node answers for this pod", "InternalError")
        if name == "portforward":
            pods.locate(pod, None)
            self._must_upgrade(call)
            return await self._forward(pods, pod, call)
        container = pods.locate(pod, call.query.get("container", ""))
        self._must_upgrade(call)
        streams = _streams(call)
        inside = pods.find(pod, container)
        if name == "attach":
            return await remote_command(call.request, streams, lambda: inside.attach(streams))
        command = call.request.query.getall("command", [])
        return await remote_command(call.request, streams, lambda: inside.open(command, streams))

    def _must_upgrade(self, call: Call) -> None:
        """Only a WebSocket will do, and since 1.35 opening one needs `create` though it is a GET."""
        headers = call.request.headers
        if headers.get("Upgrade", "").lower() != "websocket" or "upgrade" not in headers.get("Connection", "").lower() or call.method != "GET":
            raise bad_request("Upgrade request required")
        user, target = User(call.user, call.groups), call.target
        wanted = Attributes("create", target.group, target.plural, target.subresource, target.namespace, target.name)
        if "system:masters" not in call.groups and not allowed(self._registry, user, wanted):
            raise forbidden(user, wanted)

    async def _forward(self, pods: PodConnections, pod: Obj, call: Call) -> web.StreamResponse:
        pods.dial(pod)

        async def dial(port: int) -> Connection:
            address = (pod.get("status") or {}).get("podIP", "")
            try:
                if not address:
                    raise ConnectionRefusedError
                return await asyncio.open_connection(address, real_port(port))
            except OSError as error:
                raise OSError(pods.unreachable(pod, port)) from error

        offered = [one.strip() for one in call.request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        if TUNNEL in offered:
            return await forward_tunnel(call.request, dial)
        if CHANNELS not in offered:
            raise _refused(f"unable to upgrade: none of the protocols {offered} is known")
        return await forward_channels(call.request, _ports(call), dial)


def _streams(call: Call) -> Streams:
    wanted = {name: call.query.get(name, "").lower() in ("true", "1") for name in ("stdin", "stdout", "stderr", "tty")}
    if wanted["tty"]:
        wanted["stderr"] = False  # a terminal has one output
    streams = Streams(**wanted)
    if not (streams.stdin or streams.stdout or streams.stderr):
        raise _refused("you must specify at least 1 of stdin, stdout, stderr")
    return streams


def _ports(call: Call) -> list[int]:
    texts = call.request.query.getall("ports", [])
    if not texts:
        raise _refused('query parameter "ports" is required')
    ports = []
    for text in texts:
        for one in text.split(","):
            if not one:
                raise _refused('query parameter "ports" cannot be empty')
            if not one.isdecimal() or int(one) > 65535:
                why = "value out of range" if one.isdecimal() else "invalid syntax"
                raise _refused(f'unable to parse "{text}" as a port: strconv.ParseUint: parsing "{one}": {why}')
            if int(one) < 1:
                raise _refused(f'port "{text}" must be > 0')
            ports.append(int(one))
    return ports


def _refused(text: str) -> ApiError:
    """A kubelet's own refusal is plain text."""
    return ApiError(400, text, text=text + "\n")
