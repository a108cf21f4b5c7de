"""Asking a Spacemesh node over its gRPC API who it is and how it does."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio

from networks.errors import Permanent, Transient
from networks.spacemesh.addresses import is_identity
from tasks.spacemesh.messages import MESSAGES, PACKAGE

_CALL_SECONDS = 10.0
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),  # a node stands on one of the cluster's machines, never behind a web proxy
    ("grpc.use_local_subchannel_pool", 1),  # a channel that failed is not to slow down the next one's first attempt
)
_TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}
_PLAIN_IDENTITY = re.compile(r"Local node identity\s*>>\s*([1-9A-HJ-NP-Za-km-z]+)")


class NotServed(Permanent):
    """The node does not know this call: an older or newer one, or the service is switched off in its configuration."""


@dataclass(frozen=True)
class NodeStatus:
    """How a node does. Layers are numbers."""

    connected_peers: int
    is_synced: bool
    synced_layer: int
    top_layer: int
    verified_layer: int


class SpacemeshNode:
    """One node, by its gRPC address (`host:port`)."""

    def __init__(self, address: str, channel: grpc.aio.Channel) -> None:
        self.address = address
        self._channel = channel

    async def status(self) -> NodeStatus:
        """Peers and layers."""
        status = (await self._call("NodeService/Status", "Empty", "StatusResponse")).status
        return NodeStatus(
            connected_peers=status.connected_peers,
            is_synced=status.is_synced,
            synced_layer=status.synced_layer.number,
            top_layer=status.top_layer.number,
            verified_layer=status.verified_layer.number,
        )

    async def version(self) -> str:
        """The node's software version, as it says it."""
        return str((await self._call("NodeService/Version", "Empty", "VersionResponse")).version_string.value)

    async def identity(self) -> str:
        """The node's p2p identity. NotServed on nodes without NetworkInfo: read their log."""
        answer = str((await self._call("DebugService/NetworkInfo", "Empty", "NetworkInfoResponse")).id)
        if not is_identity(answer):
            raise Permanent(f"{self.address} tells no usable p2p identity", why=f"it says {answer[:80]!r}", advice="check the node image")
        return answer

    async def _call(self, method: str, request: str, response: str) -> Any:
        call = self._channel.unary_unary(
            f"/{PACKAGE}.{method}", request_serializer=MESSAGES[request].SerializeToString, response_deserializer=MESSAGES[response].FromString
        )
        try:
            return await call(MESSAGES[request](), timeout=_CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _translate(error, self.address, method) from None


def _translate(error: grpc.aio.AioRpcError, address: str, method: str) -> Transient | Permanent:
    code, details = error.code(), str(error.details() or "")
    what, why = f"{address} did not answer {method}", f"{code.name}: {details[:300]}"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return NotServed(what, why=why, advice="the node does not serve this call: check its image and the `api` section of its configuration")
    if code in _TRANSIENT:
        return Transient(what, why=why, advice="check that the cluster's machines can be reached on their node ports from where the flow runs")
    return Permanent(what, why=why, advice="check what listens on that port")


@asynccontextmanager
async def spacemesh_node(address: str) -> AsyncIterator[SpacemeshNode]:
    """A node at `host:port`, its connection closed at the end."""
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        yield SpacemeshNode(address, channel)


def identity_in_log(text: str) -> str | None:
    """The p2p identity that a node wrote down: `Local node identity >> <id>`, or a JSON line with `"identity":"<id>"`. The latest counts."""
    for line in reversed(text.splitlines()):
        if found := _PLAIN_IDENTITY.search(line):
            return found[1]
        if '"identity"' not in line:
            continue
        try:
            entry = json.loads(line[line.index("{") :])
        except ValueError:
            continue
        identity = entry.get("identity") if isinstance(entry, dict) else None
        if isinstance(identity, str) and is_identity(identity):
            return identity
    return None
