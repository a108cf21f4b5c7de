"""How a PoET reaches the nodes that are its gateways: over their gRPC, as any client does."""

from __future__ import annotations

import asyncio

from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.protocol import H2Protocol

from lab.programs.program import Container
from lab.programs.spacemesh.messages import PACKAGE, messages


async def connect(container: Container, addresses: list[str], seconds: float) -> tuple[list[str], list[str]]:
    """Those of the addresses where a node answers, and a reason for each of the others. Keeps trying for so many real seconds."""
    reasons = await asyncio.gather(*(_connect(container, address, seconds) for address in addresses))
    reached = [address for address, reason in zip(addresses, reasons, strict=True) if reason is None]
    return reached, [reason for reason in reasons if reason is not None]


class _Channel(Channel):
    """A connection that comes from the pod's own address."""

    def __init__(self, host: str, port: int, source: tuple[str, int]) -> None:
        super().__init__(host, port)
        self._place, self._source = (host, port), source

    async def _create_connection(self) -> H2Protocol:
        _, protocol = await asyncio.get_running_loop().create_connection(self._protocol_factory, *self._place, local_addr=self._source)
        return protocol


async def _connect(container: Container, address: str, seconds: float) -> str | None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return f"failed to connect to gateway grpc server {address} (address {address}: missing port in address)"
    try:
        async with asyncio.timeout(seconds):
            while not await _is_node(container, container.resolve(host), int(port)):  # noqa: ASYNC110 - nothing tells when a port opens
                await asyncio.sleep(min(0.25, seconds / 4))
    except TimeoutError:
        return f"failed to connect to gateway grpc server {address} (context deadline exceeded)"
    return None


async def _is_node(container: Container, hosts: list[str], port: int) -> bool:
    if not hosts:
        return False
    m = messages("string")
    channel = _Channel(hosts[0], port, container.source)
    try:
        for method, request, answer in (("Version", m.Empty, m.VersionResponse), ("Status", m.StatusRequest, m.StatusResponse)):
            await UnaryUnaryMethod(channel, f"/{PACKAGE}.NodeService/{method}", request, answer)(request())
    except (OSError, GRPCError, StreamTerminatedError):
        return False
    finally:
        channel.close()
    return True
