"""What the nodes of one Spacemesh network agree on: when genesis is, which layer it is, who owns how much.

Kept in the lab-wide shared state, by genesis time: consensus itself is not what the lab is about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lab.clock import Clock, timestamp
from lab.programs.program import Container
from lab.programs.spacemesh.config import NodeConfig

_SHARED_KEY = "spacemesh"


@dataclass
class Ledger:
    """One network, as all of its nodes see it."""

    genesis: datetime  # as configured
    real_genesis: float  # when it is in the machine's time, in seconds since 1970: sooner than configured when time runs faster
    speed: float
    layer_seconds: float
    layers_per_epoch: int
    network_id: int
    base_reward: int  # smidge per layer
    balances: dict[str, int] = field(default_factory=dict)  # hex or bech32 address -> smidge
    smeshers: dict[str, int] = field(default_factory=dict)  # coinbase address -> the first layer that pays it
    nodes: dict[str, Callable[[], dict[str, Any]]] = field(default_factory=dict)  # namespace/pod -> its view
    settled: int = 0

    def layer_at(self, now: float) -> int:
        """The current layer; 0 until genesis and during the first layer."""
        return max(0, int((now - self.real_genesis) * self.speed // self.layer_seconds))

    def started(self, now: float) -> bool:
        """Whether genesis has come."""
        return now >= self.real_genesis

    def next_layer_in(self, now: float) -> float:
        """Real seconds until the next layer, or genesis, begins."""
        begins = self.layer_at(now) + 1 if self.started(now) else 0
        return max(0.0, self.real_genesis + begins * self.layer_seconds / self.speed - now)

    def join(self, coinbase: str, now: float) -> None:
        """A smesher that joins is paid from two epochs later on: one to prove its space, one to be counted."""
        address = account_address(coinbase)
        self.balances.setdefault(address, 0)
        self.smeshers.setdefault(address, (self.layer_at(now) // self.layers_per_epoch + 2) * self.layers_per_epoch)

    def settle(self, layer: int) -> None:
        """Pay the rewards of all layers up to this one, split evenly among those who smesh."""
        for paid in range(self.settled + 1, layer + 1):
            eligible = [address for address, first in self.smeshers.items() if first <= paid]
            for address in eligible:
                self.balances[address] += self.base_reward // len(eligible)
        self.settled = max(self.settled, layer)

    def summary(self, now: float) -> dict[str, Any]:
        """For people and tests."""
        return {
            "genesis": timestamp(self.genesis),
            "networkId": self.network_id,
            "started": self.started(now),
            "currentLayer": self.layer_at(now),
            "layerSeconds": self.layer_seconds,
            "layersPerEpoch": self.layers_per_epoch,
            "secondsUntilGenesis": max(0.0, (self.real_genesis - now) * self.speed),
            "nodes": {name: view() for name, view in sorted(self.nodes.items())},
        }


def account_address(coinbase: str) -> str:
    """The account a coinbase names: bech32 as it is; of hex (an address or a public key) the last 20 bytes."""
    if coinbase.startswith(("sm1", "stest1")):
        return coinbase
    return coinbase.removeprefix("0x").lower()[-40:]


def join_ledger(container: Container, config: NodeConfig) -> Ledger:
    """The ledger of the network a node belongs to. Its first node decides when genesis really is."""
    ledgers: dict[str, Ledger] = container.shared.setdefault(_SHARED_KEY, {})
    key = f"{config.genesis.timestamp()} {config.network_id}"
    if key not in ledgers:
        now = container.clock.now().timestamp()
        ledgers[key] = Ledger(
            genesis=config.genesis,
            real_genesis=now + (config.genesis.timestamp() - now) / container.clock.speed,
            speed=container.clock.speed,
            layer_seconds=config.layer_seconds,
            layers_per_epoch=config.layers_per_epoch,
            network_id=config.network_id,
            base_reward=config.base_reward,
            balances={account_address(address): amount for address, amount in config.accounts.items()},
        )
        ledgers[key].settled = ledgers[key].layer_at(now)
    return ledgers[key]


def networks(shared: dict[str, Any], clock: Clock) -> list[dict[str, Any]]:
    """Every network that nodes of this lab belong, or belonged, to."""
    now = clock.now().timestamp()
    ledgers: dict[str, Ledger] = shared.get(_SHARED_KEY, {})
    return [ledger.summary(now) for ledger in ledgers.values()]
