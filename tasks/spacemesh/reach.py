"""How PoETs and nodes are reached from where the flow runs: at node ports or, where these do not answer, through the API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from networks.errors import Permanent
from networks.spacemesh.addresses import split_host_port
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.errors import NotForwarded
from tasks.kubernetes.forwarding import forwarded
from tasks.reporting import logger
from tasks.waiting import WALL, Clock

_DIRECT_SECONDS = 4.0  # a node port that was opened just now takes a moment
_TRY_EVERY = 0.5


class NoWay(Permanent):
    """Neither the node port nor the API server leads to the pod."""


class Reach:
    """Chooses the way for each port, and remembers which machines do not answer."""

    def __init__(self, k8s: Connection, clock: Clock = WALL, direct_seconds: float | None = None) -> None:
        self._k8s = k8s
        self._clock = clock
        self._seconds = _DIRECT_SECONDS if direct_seconds is None else direct_seconds
        self._closed: dict[str, None] = {}  # hosts, in the order in which they were found out

    @property
    def warnings(self) -> tuple[str, ...]:
        """What people should know about it."""
        if not self._closed:
            return ()
        hosts = list(self._closed)
        shown = ", ".join(hosts[:3]) + (f" and {len(hosts) - 3} more" if len(hosts) > 3 else "")
        return (
            f"Node ports of the cluster's machines ({shown}) do not answer from where this flow runs: PoETs and miners were reached through the "
            "API server. Whoever is to use the addresses told here needs a way to them (TCP 30000-32767).",
        )

    @asynccontextmanager
    async def port(self, address: str, namespace: str, pod: str, port: int) -> AsyncIterator[str]:
        """An address (`host:port`) at which a pod's port answers for as long as the block runs; `address` is the node port that leads there.

        NoWay when it cannot be reached at all.
        """
        if await self._answers(address):
            yield address
            return
        try:
            async with forwarded(self._k8s, namespace, pod, port) as local:
                yield local
        except NotForwarded as error:
            raise NoWay(
                f"pod {pod} is ready, but {address} cannot be reached from where this flow runs",
                why=f"nothing accepts connections on that node port, and the API server does not lead there either: {error.what}: {error.why}",
                advice="open the node port range (TCP 30000-32767) of the cluster's machines to this machine, set node_address to the kind of "
                "address that is routed here, run the flow inside the cluster, or give this user the verbs get and create on pods/portforward",
            ) from None

    async def _answers(self, address: str) -> bool:
        host, port = split_host_port(address)
        began = self._clock.monotonic()
        while host not in self._closed:
            left = self._seconds - (self._clock.monotonic() - began)
            if left > 0 and await accepts(host, port, left):
                return True
            if left <= _TRY_EVERY:
                self._close(host)
            else:
                await self._clock.sleep(_TRY_EVERY)
        return False

    def _close(self, host: str) -> None:
        first = not self._closed
        self._closed[host] = None
        if first:
            logger().warning("node ports do not answer from here (tried %s): going through the API server", host)


async def accepts(host: str, port: int, seconds: float) -> bool:
    """Whether something accepts TCP connections there."""
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
