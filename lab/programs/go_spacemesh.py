"""A small go-spacemesh: what a deployment can see of a node, without its consensus.

Faults it looks up (place `program`, target `namespace/pod`):

- `crash` (`code`, `line`): ends with the code after logging the line; looked up at every start and every few moments.
- `slow-start` (`seconds`): nothing listens for so many lab seconds.
- `not-ready`: runs, but opens no API port.
- `stuck-sync`: its verified layer stands still while the fault stands.
- `wrong-identity`: tells its peers another identity than its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import replace
from typing import Any

from grpclib.health.service import Health

from lab.programs.flags import FlagError, Parsed, parse
from lab.programs.listeners import Listeners
from lab.programs.program import Container, wait
from lab.programs.spacemesh.api import NodeApi, serve_pprof
from lab.programs.spacemesh.config import FLAGS, ConfigError, NodeConfig, read_config
from lab.programs.spacemesh.identity import load_identity
from lab.programs.spacemesh.ledger import Ledger, join_ledger
from lab.programs.spacemesh.node_log import NodeLog
from lab.programs.spacemesh.p2p import Peers

# More outbound connections than this would only cost memory: a hundred nodes share a process.
MOST_OUTBOUND = 5
RETRY_SECONDS = 10.0  # between rounds of calling bootnodes
LONGEST_TICK = 1.0  # real seconds: how soon a fault shows
LAYERS_SYNCED_PER_SECOND = 20.0


class GoSpacemesh:
    """The image's program."""

    async def run(self, container: Container) -> int:
        """Read the command line, then be a node until told to stop."""
        try:
            flags = parse(container.argv[1:], FLAGS)
        except FlagError as error:
            for line in (f"Error: {error}", "Usage:", "  node [flags]", "  node [command]", "", str(error)):
                container.log(line)
            return 1
        if flags.on("version"):
            container.log(image_version(container.image))
            return 0
        if flags.on("help"):
            container.log("start node")
            return 0
        return await _start(container, flags)


async def _start(container: Container, flags: Parsed) -> int:
    log = NodeLog(container, flags.text("log-encoder", "console"))
    try:
        config = read_config(container, flags)
        identity, fresh = load_identity(container.path(config.data_folder))
        container.path(config.post_folder).mkdir(parents=True, exist_ok=True)
    except ConfigError as error:
        log.fatal("app", "failed to initialize node", errmsg=str(error))
        return 1
    except (OSError, ValueError, KeyError) as error:
        log.fatal("app", "failed to initialize node", errmsg=f"failed to create data folder: {error}")
        return 1
    return await Node(container, config, identity, log).run(fresh)


class Node:
    """A running node."""

    def __init__(self, container: Container, config: NodeConfig, identity: str, log: NodeLog) -> None:
        self.identity = identity
        self.version = image_version(container.image)
        self.config = config
        self.ledger: Ledger = join_ledger(container, config)
        self.verified = 0.0
        self.peers = Peers(container, identity, f"{config.network_id}-{config.genesis.timestamp():.0f}", log, self._peers_changed)
        self._container = container
        self._target = f"{container.namespace}/{container.pod}"
        self._log = log
        self._listeners = Listeners(container)
        self._changed = asyncio.Event()
        self._was_there_at_genesis = self._now() <= self.ledger.real_genesis or self._marker.exists()
        self._stuck = False
        self._last_layer = -1

    async def run(self, fresh: bool) -> int:
        """Open the ports, find peers, follow the layers; gives the exit code."""
        container, log = self._container, self._log
        log.short_id = self.identity[-5:]
        ended = self._crash()
        if ended is not None:
            return ended
        slow = container.faults.take("program", self._target, "slow-start")
        if slow and await self._pause(float(slow.options.get("seconds", 60)) / container.clock.speed):
            return 0
        self._print_identity(fresh)
        try:
            await self._listen()
        except OSError as error:
            log.fatal("app", "failed to start node", errmsg=str(error))
            await self._close()
            return 1
        calling = asyncio.create_task(self._keep_calling())
        try:
            return await self._follow_layers()
        finally:
            calling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await calling
            await self._close()

    def status(self) -> dict[str, Any]:
        """As NodeService/Status gives it; layers are plain numbers."""
        top = self.ledger.layer_at(self._now())
        verified = min(int(self.verified), top)
        synced = self._has_sources() and not self._stuck and verified >= top - 1
        return {
            "connected_peers": len(self.peers.connected),
            "is_synced": synced,
            "synced_layer": top if synced else verified,
            "top_layer": top,
            "verified_layer": verified,
        }

    def listen_addresses(self) -> list[str]:
        """Where p2p listens, as the node itself knows it."""
        return [f"/ip4/{self._container.ip}/tcp/{self.config.listen.port}"]

    # --- start

    def _print_identity(self, fresh: bool) -> None:
        if has_old_log(self._container.image):
            self._log.info("p2p", f"Local node identity >> {self.identity}")
        else:
            self._log.info("p2p", "local node identity", identity=self.identity)
        if fresh:
            self._log.info("p2p", "identity is new: no key was in the data folder")
        if self._container.faults.take("program", self._target, "wrong-identity"):
            self.peers.shown_identity = f"{self.identity[:-6]}111111"

    async def _listen(self) -> None:
        config, listeners = self.config, self._listeners
        await listeners.serve_tcp(config.listen.port, self.peers.accept)
        self._log.info("p2p", "listening", address=str(replace(config.listen, identity=self.identity)))
        if self._container.faults.take("program", self._target, "not-ready"):
            self._log.warning("app", "waiting for POST initialization before serving the API")
            return
        address = "string" if config.coinbase.startswith(("sm1", "stest1")) else "bytes"
        api = NodeApi(self, address, config.services, not has_old_log(self._container.image))
        await listeners.serve_grpc(config.grpc_port, [api, Health()])
        if config.json_port is not None:
            await listeners.serve_http(config.json_port, api.serve_json)
        if config.metrics_port is not None:
            await listeners.serve_http(config.metrics_port, api.serve_metrics)
        if config.pprof:
            await listeners.serve_http(6060, serve_pprof)
        if config.smeshing:
            self.ledger.join(config.coinbase, self._now())
            self._log.info("app", "smeshing started", poet=config.poet_server)
        self.ledger.nodes[self._target] = lambda: {"identity": self.identity, **self.status()}
        self._log.info("app", "app started", genesis=config.genesis.isoformat(), bootnodes=len(config.bootnodes))

    async def _close(self) -> None:
        self.ledger.nodes.pop(self._target, None)
        self.peers.close()
        await self._listeners.close()

    # --- peers

    def _peers_changed(self) -> None:
        self._changed.set()

    async def _keep_calling(self) -> None:
        if not self.config.bootnodes:
            return
        wanted = min(self.config.outbound, MOST_OUTBOUND, len(self.config.bootnodes))
        before = 0
        while True:
            await self.peers.bootstrap(self.config.bootnodes, wanted)
            connected = len(self.peers.connected)
            if connected and not before:
                self._log.info("p2p", "connected to the network", peers=connected)
            elif not connected:
                self._log.warning("p2p", "not connected: no bootnode answers", bootnodes=len(self.config.bootnodes))
            before = connected
            self._changed.clear()
            # A lost peer is called again soon, an unreachable one only after a while.
            await wait(self._changed if connected else asyncio.Event(), self._container.clock.real(RETRY_SECONDS))

    def _has_sources(self) -> bool:
        """Whether it can know the network's state: from peers, or because it was there from the beginning."""
        return bool(self.peers.connected) or (not self.config.bootnodes and self._was_there_at_genesis)

    # --- layers

    async def _follow_layers(self) -> int:
        tick = 0.0
        while not await self._pause(tick):
            ended = self._crash()
            if ended is not None:
                return ended
            self._stuck = self._container.faults.take("program", self._target, "stuck-sync") is not None
            now = self._now()
            if self.ledger.started(now) and not self._container.hanging.is_set():
                self._advance(now, tick)
            tick = max(0.01, min(LONGEST_TICK, self.ledger.next_layer_in(now)))
        self._log.info("app", "app cleanup completed")
        return 0

    def _advance(self, now: float, elapsed: float) -> None:
        top = self.ledger.layer_at(now)
        if not self._marker.exists() and self._has_sources():
            self._was_there_at_genesis = True
            self._marker.touch()
        if self._has_sources() and not self._stuck:
            self.ledger.settle(top - 1)
            behind = top - 1 - self.verified
            # In step it verifies a layer when the next begins; behind, it fetches so many in a second.
            self.verified += max(0.0, behind if behind <= 1 else min(behind, elapsed * self._container.clock.speed * LAYERS_SYNCED_PER_SECOND))
        if top != self._last_layer:
            self._last_layer = top
            status = self.status()
            self._log.info("clock", "release tick", layer_id=top, verified=status["verified_layer"], synced=status["is_synced"])

    @property
    def _marker(self) -> Any:
        return self._container.path(self.config.data_folder) / "state.sql"

    # --- small things

    def _now(self) -> float:
        return self._container.clock.now().timestamp()

    async def _pause(self, real_seconds: float) -> bool:
        """Wait; True when the container is to stop."""
        return await wait(self._container.stopping, real_seconds)

    def _crash(self) -> int | None:
        fault = self._container.faults.take("program", self._target, "crash")
        if fault is None:
            return None
        self._log.error("app", str(fault.options.get("line", "panic: runtime error: invalid memory address or nil pointer dereference")))
        return int(fault.options.get("code", 2))


def image_version(image: str) -> str:
    """The tag of an image."""
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2] or "latest"


def has_old_log(image: str) -> bool:
    """Releases before v0.2 print their identity in words and cannot be asked for it."""
    return re.match(r"v0\.[01](\.|$)", image_version(image)) is not None
