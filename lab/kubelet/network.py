"""The cluster's TCP ways: cluster IPs, load balancers, node ports and host ports lead to pods.

Every pod has its own loopback address and is reached directly. For the other addresses a listening socket stands there for as long as the Service or
the pod does; whoever connects is piped to a pod chosen at that moment. There are thousands of sockets (services × ports × nodes), so they are bare
ones on the loop's selector: a connection costs, a socket that nobody uses does not. UDP is not forwarded.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import random
import resource
import socket
from collections.abc import Callable, Iterable
from typing import Any

from lab.addresses import real_port
from lab.controllers.controller import Index
from lab.kubelet.endpoints import service_of, targets_of
from lab.kubelet.machine import Machine
from lab.kubelet.partitions import Partitions
from lab.kubernetes.kinds import ENDPOINT_SLICE, POD, SERVICE
from lab.kubernetes.registry import Registry
from lab.kubernetes.store import Event

Obj = dict[str, Any]
Place = tuple[str, int]  # address and port
Choice = Callable[[str], Place | None]  # the client's address -> where to go

log = logging.getLogger("lab.network")

_BACKLOG = 128


class Network:
    """Opens and closes ways as Services and pods come and go. Made before anything happens, closed at the end."""

    def __init__(self, registry: Registry, machines: Iterable[Machine], partitions: Partitions) -> None:
        self._registry = registry
        self._partitions = partitions
        self._machines = {machine.name: machine for machine in machines}
        self._slices = Index(registry.store, ENDPOINT_SLICE, service_of)
        self._open: dict[str, dict[Place, socket.socket]] = {}  # by service or pod
        self._short: set[int] = set()
        self._pipes: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.BaseTransport] = set()
        self._stops = [registry.store.listen(SERVICE, self._on_service), registry.store.listen(POD, self._on_pod), self._slices.close]
        self._loop = asyncio.get_running_loop()
        raise_file_limit()

    def set_machines(self, machines: Iterable[Machine]) -> None:
        """Nodes have come or gone: their node ports open or close."""
        self._machines = {machine.name: machine for machine in machines}
        for service in self._registry.list(SERVICE):
            meta = service["metadata"]
            self._loop.call_soon(self._set, f"service {meta['namespace']}/{meta['name']}", self._service_ways(service))

    def close(self) -> None:
        """Close all ways and all that goes over them."""
        for stop in self._stops:
            stop()
        for owner in list(self._open):
            self._set(owner, {})
        for pipe in self._pipes:
            pipe.cancel()
        for transport in list(self._transports):
            transport.close()

    def _on_service(self, event: Event) -> None:
        meta = event.object["metadata"]
        owner = f"service {meta['namespace']}/{meta['name']}"
        if event.type == "DELETED":
            self._loop.call_soon(self._set, owner, {})
        elif event.old is None or event.old["spec"] is not event.object["spec"] or _balancers(event.old) != _balancers(event.object):
            self._loop.call_soon(self._set, owner, self._service_ways(event.object))

    def _on_pod(self, event: Event) -> None:
        pod, old = event.object, event.old
        if event.type != "DELETED" and old is not None and _host_port_key(old) == _host_port_key(pod):
            return
        owner = f"pod {pod['metadata']['uid']}"
        ways = {} if event.type == "DELETED" else self._pod_ways(pod)
        if ways or owner in self._open:
            self._loop.call_soon(self._set, owner, ways)

    def _service_ways(self, service: Obj) -> dict[Place, Choice]:
        spec, meta = service["spec"], service["metadata"]
        key = (meta["namespace"], meta["name"])
        ways: dict[Place, Choice] = {}
        for port in spec.get("ports") or ():
            if port.get("protocol", "TCP") != "TCP":
                continue
            name, sticky = port.get("name", ""), spec.get("sessionAffinity") == "ClientIP"
            if spec.get("clusterIP") not in (None, "", "None"):
                ways[spec["clusterIP"], port["port"]] = self._choice(key, name, sticky, None)
            for address in _balancers(service):
                ways[address, port["port"]] = self._choice(key, name, sticky, None)
            if not port.get("nodePort"):
                continue
            for machine in self._machines.values():
                only = machine.name if spec.get("externalTrafficPolicy") == "Local" else None
                for address in {machine.internal_ip, machine.external_ip} - {""}:
                    ways[address, port["nodePort"]] = self._at_node(machine, self._choice(key, name, sticky, only))
        return ways

    def _pod_ways(self, pod: Obj) -> dict[Place, Choice]:
        spec, status = pod["spec"], pod.get("status") or {}
        machine = self._machines.get(spec.get("nodeName", ""))
        if machine is None or spec.get("hostNetwork") or not status.get("podIP") or status.get("phase") in ("Succeeded", "Failed"):
            return {}
        ways: dict[Place, Choice] = {}
        for container in spec["containers"]:
            for port in container.get("ports") or ():
                if port.get("hostPort") and port.get("protocol", "TCP") == "TCP":
                    target = (status["podIP"], port["containerPort"])
                    for address in {machine.internal_ip, machine.external_ip} - {""}:
                        ways[address, port["hostPort"]] = self._at_node(machine, _always(target))
        return ways

    def _choice(self, key: tuple[str, str], name: str, sticky: bool, node: str | None) -> Choice:
        def choose(client: str) -> Place | None:
            targets = targets_of(self._slices.get(key), name, node)
            if not targets:
                return None
            return targets[hash(client) % len(targets)] if sticky else random.choice(targets)  # noqa: S311

        return choose

    @staticmethod
    def _at_node(machine: Machine, choice: Choice) -> Choice:
        """Nothing gets through a lost node."""
        return lambda client: None if machine.lost else choice(client)

    def _set(self, owner: str, ways: dict[Place, Choice]) -> None:
        """Make the owner's sockets stand at exactly these places."""
        present = self._open.setdefault(owner, {})
        for place in present.keys() - ways.keys():
            unused = present.pop(place)
            self._loop.remove_reader(unused)
            unused.close()
        for place, choice in ways.items():
            if place in present:
                self._loop.add_reader(present[place], self._accept, present[place], choice)
            elif (sock := self._listen(owner, place)) is not None:
                present[place] = sock
                self._loop.add_reader(sock, self._accept, sock, choice)
        if not present:
            del self._open[owner]

    def _listen(self, owner: str, place: Place) -> socket.socket | None:
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            self._tell(error, owner, place)
            return None
        port = real_port(place[1])
        if port != place[1] and errno.EACCES not in self._short:
            self._short.add(errno.EACCES)
            log.info("ports below 1024 need rights that this lab does not have: %s:%s (%s) is found at port %s, others likewise", *place, owner, port)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((place[0], port))
            sock.listen(_BACKLOG)
        except OSError as error:
            sock.close()
            self._tell(error, owner, place)
            return None
        return sock

    def _tell(self, error: OSError, owner: str, place: Place) -> None:
        """Say once what is short on this machine, rather than fail."""
        number = error.errno or 0
        if number == errno.EADDRINUSE:
            log.warning("%s: %s:%s is taken by another process of this machine", owner, *place)
        elif number not in self._short:
            self._short.add(number)
            if number in (errno.EMFILE, errno.ENFILE):
                limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                log.warning("file handles are short (limit %s): from %s on, addresses of services and host ports are not reachable", limit, owner)
            else:
                log.warning("%s: %s:%s: %s", owner, *place, error)

    def _accept(self, sock: socket.socket, choice: Choice) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            try:
                connection, client = sock.accept()
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
                self._tell(error, "a connection", sock.getsockname())
                return
            connection.setblocking(False)
            target = choice(client[0])
            if target is None or self._partitions.cut(client[0], target[0]):
                _reset(connection)
                return
            task = self._loop.create_task(self._pipe(connection, client[0], target))
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)

    async def _pipe(self, connection: socket.socket, client: str, target: Place) -> None:
        inner, outer = _Half(self._transports), _Half(self._transports)
        inner.peer, outer.peer = outer, inner
        try:
            await self._loop.create_connection(lambda: inner, target[0], real_port(target[1]))
        except OSError:
            _reset(connection)
            return
        transport, _ = await self._loop.connect_accepted_socket(lambda: outer, connection)
        self._partitions.watch(transport, client, target[0])


class _Half(asyncio.Protocol):
    """One end of a pipe. What comes before the other end is there waits in the socket."""

    def __init__(self, transports: set[asyncio.BaseTransport]) -> None:
        self._transports = transports
        self._transport: asyncio.Transport | None = None
        self.peer: _Half | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._transports.add(transport)
        other = self.peer._transport if self.peer else None
        if other is None:
            transport.pause_reading()
        else:
            other.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.peer and self.peer._transport:
            self.peer._transport.write(data)

    def eof_received(self) -> bool:
        if self.peer and self.peer._transport and self.peer._transport.can_write_eof() and not self.peer._transport.is_closing():
            self.peer._transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.peer and self.peer._transport:
            self.peer._transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer and self.peer._transport:
            self.peer._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport:
            self._transports.discard(self._transport)
        if self.peer and self.peer._transport and not self.peer._transport.is_closing():
            if error is not None:
                self.peer._transport.abort()
            else:
                self.peer._transport.close()


def _balancers(service: Obj) -> list[str]:
    """The addresses of a service's load balancer."""
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return [one["ip"] for one in ingress if one.get("ip", "").startswith("127.")]


def _always(target: Place) -> Choice:
    return lambda client: target


def _host_port_key(pod: Obj) -> tuple[str, bool]:
    status = pod.get("status") or {}
    return status.get("podIP", ""), status.get("phase") in ("Succeeded", "Failed")


def _reset(connection: socket.socket) -> None:
    """Close so that the other side sees a refusal, not an orderly end."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


def raise_file_limit() -> None:
    """Let this process open as many files as the machine allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
