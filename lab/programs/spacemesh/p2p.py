"""Peers: TCP connections that begin with a small handshake, in which both sides say who they are and which network they belong to.

The real protocol is libp2p's. Kept of it is what a deployment can get wrong: addresses, ports, identities, networks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from lab.programs.program import Container
from lab.programs.spacemesh.config import Multiaddress
from lab.programs.spacemesh.node_log import NodeLog

HANDSHAKE_SECONDS = 5.0  # real time
_LONGEST_HELLO = 1000


class PeerError(Exception):
    """A peer that cannot be used, and why."""


class PeerConnection(asyncio.Protocol):
    """One connection. The dialler speaks first; each side sends one line."""

    def __init__(self, peers: Peers, dialled: bool, expected: str = "") -> None:
        self.peers = peers
        self.dialled = dialled
        self.expected = expected  # whom we called; anybody else is refused before it counts as a peer
        self.identity = ""  # the other's, once it has said it
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note, and greet when it was us who called."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.peers.open.add(self)
        if self.dialled:
            transport.write(self.peers.hello())

    def data_received(self, data: bytes) -> None:
        """Read the other's greeting; what follows means nothing."""
        if self.identity:
            return
        self._buffer += data
        if b"\n" not in self._buffer:
            if len(self._buffer) > _LONGEST_HELLO:
                self._refuse(PeerError("handshake failed: message too long"))
            return
        try:
            hello = json.loads(self._buffer.split(b"\n")[0])
            identity, network = str(hello["id"]), str(hello["network"])
        except (ValueError, KeyError, TypeError):
            self._refuse(PeerError("handshake failed: protocol not supported"))
            return
        if not self.dialled and self._transport:
            self._transport.write(self.peers.hello())
        if network != self.peers.network:
            self._refuse(PeerError(f"handshake failed: network mismatch: expected {self.peers.network}, peer has {network}"))
            return
        if self.expected and identity != self.expected:
            mismatch = f"peer id mismatch: expected {self.expected}, but remote key matches {identity}"
            self._refuse(PeerError(f"failed to negotiate security protocol: {mismatch}"))
            return
        self.identity = identity
        if not self.greeted.done():
            self.greeted.set_result(None)
        self.peers.changed()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the peer."""
        self.peers.open.discard(self)
        if not self.greeted.done():
            self.greeted.set_exception(PeerError("connection closed during handshake"))
            self.greeted.exception()  # nobody may be waiting: then this is no news
        if self.identity:
            self.peers.changed()

    def close(self) -> None:
        """Hang up."""
        if self._transport:
            self._transport.close()

    def _refuse(self, error: PeerError) -> None:
        if not self.greeted.done():
            self.greeted.set_exception(error)
            self.greeted.exception()
        self.close()


class Peers:
    """Every peer of one node: those who called and those whom it called."""

    def __init__(self, container: Container, identity: str, network: str, log: NodeLog, on_change: Callable[[], None]) -> None:
        self._container = container
        self.identity = identity
        self.shown_identity = identity  # what it says it is: another than its own when it was asked to lie
        self.network = network
        self.open: set[PeerConnection] = set()
        self.changed = on_change
        self._log = log

    def accept(self) -> PeerConnection:
        """The protocol for a connection that comes in."""
        return PeerConnection(self, dialled=False)

    def hello(self) -> bytes:
        """Our line of the handshake."""
        return json.dumps({"id": self.shown_identity, "network": self.network}).encode() + b"\n"

    @property
    def connected(self) -> set[str]:
        """Identities of all peers that are connected now, ours excepted."""
        return {peer.identity for peer in self.open if peer.identity} - {self.identity}

    async def dial(self, address: Multiaddress) -> None:
        """Connect to a peer. PeerError when nothing answers there, or somebody else does."""
        loop = asyncio.get_running_loop()
        hosts = self._container.resolve(address.host)
        if not hosts:
            raise PeerError(f"failed to dial {address}: lookup {address.host}: no such host")
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                _, peer = await loop.create_connection(
                    lambda: PeerConnection(self, dialled=True, expected=address.identity), hosts[0], address.port, local_addr=self._container.source
                )
                try:
                    await asyncio.shield(peer.greeted)
                except BaseException:
                    peer.close()
                    raise
        except TimeoutError as error:
            raise PeerError(f"failed to dial {address}: i/o timeout") from error
        except OSError as error:
            reason = "connection refused" if isinstance(error, ConnectionRefusedError) else str(error.strerror or error).lower()
            raise PeerError(f"failed to dial {address}: dial tcp4 {address.host}:{address.port}: connect: {reason}") from error
        except PeerError as error:
            raise PeerError(f"failed to dial {address}: {error}") from error

    async def bootstrap(self, bootnodes: tuple[Multiaddress, ...], wanted: int) -> None:
        """Call bootnodes that are not connected until there are so many peers; log those that cannot be reached."""
        for address in bootnodes:
            connected = self.connected
            if len(connected) >= wanted:
                return
            if address.identity == self.identity or address.identity in connected:
                continue
            try:
                await self.dial(address)
            except PeerError as error:
                self._log.warning("p2p", "failed to connect to bootnode", bootnode=str(address), errmsg=str(error))

    def close(self) -> None:
        """Hang up on everybody."""
        for peer in list(self.open):
            peer.close()
