"""From a wish and a few facts to every object that will exist.

Pure: the same input gives the same plan, and what was once decided is taken from the network's record.

    plan = make_plan(network, Facts(now=…, run_id=…, nodes=…, record=None, node_config=None))

A later run passes the record that it finds in the network's namespace: its plan has equal objects, whatever the time, the run
and the worker nodes then are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any

from networks.errors import Permanent, Problem, SpecError
from networks.labels import Ownership
from networks.spacemesh import addresses, genesis, manifests, miner, node_config, nodes, poet, publication, room
from networks.spacemesh.coinbase import CoinbaseKey
from networks.spacemesh.corrections import Difference, decide
from networks.spacemesh.manifests import Manifest, Part
from networks.spacemesh.model import SpacemeshNetwork, resolve
from networks.spacemesh.node_config import Layers
from networks.spacemesh.nodes import Load, Pin, WorkerNode
from networks.spacemesh.presets import NODE_CONFIGS
from networks.spacemesh.record import RECORD_NAME, NetworkRecord
from networks.spacemesh.rules import FIRST_P2P_PORT
from networks.spacemesh.settings import Preset, Settings


class Role(StrEnum):
    """What a miner is to the others."""

    BOOTSTRAP = "bootstrap"
    BOOTNODE = "bootnode"
    ORDINARY = "ordinary"


@dataclass(frozen=True)
class Facts:
    """What must be known of the world.

    `node_config`: what the spec's file or URL holds, parsed; None when it names neither. `up`: names of the network's miners that run.
    """

    now: datetime
    run_id: str
    nodes: tuple[WorkerNode, ...]
    record: NetworkRecord | None = None
    node_config: Mapping[str, Any] | None = None
    up: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.now.tzinfo is None:
            raise ValueError("now must have a time zone")


@dataclass(frozen=True)
class PoetPlan:
    """One PoET. `host` is the address of the worker node that it is known by (its service's port is open on all of them)."""

    index: int
    name: str
    initial_seconds: int
    host: str


@dataclass(frozen=True)
class MinerPlan:
    """One miner. `poet`: the index of the PoET that it submits to. `pin`: where it stays; None: anywhere."""

    number: int
    name: str
    role: Role
    port: int
    poet: int
    pin: Pin | None

    @property
    def secret_name(self) -> str:
        """The Secret with its coinbase's key pair."""
        return miner.secret_name(self.name)


@dataclass(frozen=True)
class NetworkPlan:
    """A network in full. Views and objects only: nothing here talks to anything.

    `corrections`: what it puts right in `corrects`, the record as it was found; `restarts_miners`: whether they show in miners' pods.
    """

    record: NetworkRecord
    poets: tuple[PoetPlan, ...]
    miners: tuple[MinerPlan, ...]
    resumed: bool = field(default=False, compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)
    max_at_once: int = field(default=100, compare=False)
    corrections: tuple[Difference, ...] = field(default=(), compare=False)
    corrects: NetworkRecord | None = field(default=None, compare=False)
    restarts_miners: bool = field(default=False, compare=False)

    @property
    def settings(self) -> Settings:
        """Every setting, as the network was made."""
        return self.record.settings

    @property
    def name(self) -> str:
        """The network's name."""
        return self.settings.name

    @property
    def namespace(self) -> str:
        """The namespace of its own that it lives in."""
        return self.settings.namespace

    @property
    def genesis(self) -> datetime:
        """Genesis time, fixed."""
        return self.record.genesis

    @property
    def owner(self) -> Ownership:
        """What every object is labelled with."""
        return self.record.owner

    @cached_property
    def layers(self) -> Layers:
        """How time passes in the network."""
        return node_config.layers(self.record.node_config)

    @property
    def network_id(self) -> str:
        """`p2p.network-id` of its configuration."""
        return node_config.network_id(self.record.node_config)

    @property
    def bootstrap(self) -> tuple[MinerPlan, ...]:
        """The bootstrap node; nothing when the network joins another."""
        return self._with(Role.BOOTSTRAP)

    @property
    def bootnodes(self) -> tuple[MinerPlan, ...]:
        """The bootnodes."""
        return self._with(Role.BOOTNODE)

    @property
    def ordinary(self) -> tuple[MinerPlan, ...]:
        """All other miners."""
        return self._with(Role.ORDINARY)

    @property
    def gateways(self) -> tuple[MinerPlan, ...]:
        """The miners whose gRPC addresses a PoET is activated with."""
        return self.miners[: self.settings.poets.gateways]

    def _with(self, role: Role) -> tuple[MinerPlan, ...]:
        return tuple(m for m in self.miners if m.role is role)

    def seeds(self, of: MinerPlan) -> tuple[MinerPlan, ...]:
        """The miners whose p2p addresses this one must be given.

        None: it keeps those of the configuration (where there are none when the network starts from nothing).
        """
        if of.role is Role.BOOTSTRAP:
            return ()
        if of.role is Role.BOOTNODE:
            return self.bootstrap
        return self.bootnodes or self.bootstrap

    def base_objects(self) -> tuple[Manifest, ...]:
        """What must be there first, in this order."""
        return (manifests.namespace(self.owner, self.settings), manifests.disruption_budget(self.owner, self.settings))

    def record_object(self) -> Manifest:
        """The network's record: to be created once. If it is there already, plan again with what it says."""
        return manifests.record_map(self.owner, self.settings, RECORD_NAME, self.record.to_config_map_data())

    def left_over(self) -> tuple[Manifest, ...]:
        """What a correction leaves without a purpose: to be deleted."""
        if self.corrects is None or self.settings.metrics.enabled or not self.corrects.settings.metrics.enabled:
            return ()
        return tuple(miner.metrics_service(self._miner_part(m)) for m in self.miners)

    def poet_objects(self, of: PoetPlan) -> tuple[Manifest, ...]:
        """Everything of one PoET, in the order to create it."""
        return poet.objects(self._poet_part(of), layers=self.layers, initial_seconds=of.initial_seconds)

    def poet_address(self, of: PoetPlan, node_port: int) -> str:
        """The public address of a PoET whose service got this node port. The host is fixed: it stands in the miners' configuration."""
        return addresses.host_port(of.host, node_port)

    def miner_objects(self, of: MinerPlan, poet_address: str, bootnodes: tuple[str, ...]) -> tuple[Manifest, ...]:
        """Everything of one miner but its Secret, in the order to create it. `bootnodes`: the p2p addresses of `seeds(of)`, in that order."""
        if len(bootnodes) != len(self.seeds(of)):
            raise ValueError(f"{of.name} must know {len(self.seeds(of))} miners, got {len(bootnodes)} addresses")
        config = self._miner_config(poet_address, bootnodes)
        return miner.objects(self._miner_part(of), number=of.number, p2p_port=of.port, config=config, node=of.pin.node if of.pin else None)

    def coinbase_secret(self, of: MinerPlan, key: CoinbaseKey) -> Manifest:
        """The Secret with a miner's key pair: to be created before its Deployment, never changed."""
        return miner.secret(self._miner_part(of), key)

    def published_config(self, poet_address: str, bootnodes: tuple[str, ...]) -> dict[str, Any]:
        """The configuration for everybody else: that of ordinary miners, with the first PoET and this network's bootnodes."""
        return self._miner_config(poet_address, bootnodes)

    @property
    def published_name(self) -> str:
        """The object in the data bucket that the configuration is published as."""
        return publication.object_name(self.name)

    def genesis_missed(self, now: datetime, missing: int, took: timedelta | None = None) -> Permanent | None:
        """The error to end with when genesis has come and `missing` miners were not up by then; None as long as nothing is lost.

        `took`: how long this run has been at it. Once the first deployment is complete, genesis was met, and stays so.
        """
        if self.record.completed is not None:
            return None
        return genesis.missed(self.settings, genesis=self.genesis, now=now, missing=missing, took=took)

    def machines(self) -> int:
        """How many machines of the preset's kind a cluster of the network's own takes, log stack and watching included."""
        machine = self.settings.machine
        return nodes.node_count([*self.loads(), *nodes.later_loads(self.settings)], machine.cpu, machine.memory_gib)

    def loads(self) -> tuple[Load, ...]:
        """What its pods ask for, in the order in which they are created."""
        return room.loads(self.settings, self.record.pins)

    def _poet_part(self, of: PoetPlan) -> Part:
        return Part(self.owner, self.settings, of.name, "poet", "poet")

    def _miner_part(self, of: MinerPlan) -> Part:
        return Part(self.owner, self.settings, of.name, "miner", "go-spacemesh", of.role.value)

    def _miner_config(self, poet_address: str, bootnodes: tuple[str, ...]) -> dict[str, Any]:
        main: dict[str, Any] = {"poet-server": poet_address}
        changes: dict[str, Any] = {"main": main}
        if self.settings.bootstrap:
            main["genesis-time"] = node_config.format_time(self.genesis)
            main["genesis-active-size"] = self.settings.miners.count
        if bootnodes or self.settings.bootstrap:
            # An empty list, too, is said: a node's own preset may know bootnodes of another network.
            changes["p2p"] = {"bootnodes": list(bootnodes)}
        return node_config.merge(self.record.node_config, changes)

    def as_table(self) -> list[dict[str, str]]:
        """A row for every pod, as it will be."""
        wanted = self.settings
        poets = [
            {
                "name": p.name,
                "role": "poet",
                "node": "any",
                "p2p port": "",
                "PoET": "",
                "cpu": wanted.poets.cpu,
                "memory": wanted.poets.memory,
                "disk": wanted.poets.disk,
            }
            for p in self.poets
        ]
        miners = [
            {
                "name": m.name,
                "role": m.role.value,
                "node": m.pin.node if m.pin else "any",
                "p2p port": str(m.port),
                "PoET": self.poets[m.poet].name,
                "cpu": wanted.miners.cpu,
                "memory": wanted.miners.memory,
                "disk": wanted.miners.disk,
            }
            for m in self.miners
        ]
        return poets + miners

    def summary(self) -> dict[str, str]:
        """The plan in a few lines."""
        wanted, per = self.settings, self.layers
        return {
            "network": self.name,
            "namespace": self.namespace,
            "state": f"begun {node_config.format_time(self.record.created)}, to be finished or verified" if self.resumed else "new",
            "starts from": "nothing" if wanted.bootstrap else "another network's bootnodes",
            "genesis": node_config.format_time(self.genesis),
            "layers": f"{per.duration_seconds} s each, {per.per_epoch} an epoch",
            "miners": f"{len(self.miners)} ({len(self.bootstrap)} bootstrap, {len(self.bootnodes)} bootnodes, {len(self.ordinary)} ordinary)",
            "PoETs": f"{len(self.poets)}, each with {wanted.poets.gateways} gateways",
            "node image": wanted.images.node,
            "PoET image": wanted.images.poet,
            "volumes": wanted.volumes.kind,
            "a cluster of its own": f"would be {self.machines()} × {wanted.machine.type} (with log stack and watching, which are not deployed yet)",
            "expires": node_config.format_time(self.record.expires),
            **({"corrections": "; ".join(map(str, self.corrections))} if self.corrections else {}),
            "published as": self.published_name,
            "warnings": " ".join(self.warnings) or "none",
        }


def effective_node_config(network: SpacemeshNetwork, fetched: Mapping[str, Any] | None) -> dict[str, Any]:
    """The configuration that is meant: fetched, inline or the preset's, with the spec's changes in it."""
    choice = network.node_config
    if fetched is None and (choice.file is not None or choice.url is not None):
        raise ValueError("the node configuration must be fetched first: the spec names a file or URL")
    base = fetched if fetched is not None else choice.inline if choice.inline is not None else NODE_CONFIGS[Preset(network.preset)]
    return node_config.merge(base, choice.overrides or {})


def make_plan(network: SpacemeshNetwork, facts: Facts) -> NetworkPlan:
    """Decide everything. SpecError names all that cannot be; Permanent when the namespace holds another network."""
    settings = resolve(network)
    config = effective_node_config(network, facts.node_config)
    found = node_config.problems(config, bootstrap=settings.bootstrap, miners=settings.miners.count)
    if facts.record is not None:
        return _resume(settings, config, facts, facts.record, found)
    found += room.problems(settings, facts.nodes)
    if found:
        raise SpecError(found, what=f"Network {settings.name} cannot be deployed")
    usable = nodes.usable(facts.nodes)
    moment = node_config.genesis_time(config)
    record = NetworkRecord(
        run_id=facts.run_id,
        created=facts.now,
        genesis=moment or genesis.fix(facts.now, settings.genesis_delay_minutes),
        settings=settings,
        node_config=config,
        pins=room.pins(settings, usable),
        poet_hosts=tuple(pin.address for pin in nodes.round_robin([0] * settings.poets.count, usable, settings.node_address)),
    )
    return _plan(record, resumed=False, warnings=_warnings(settings), max_at_once=settings.miners.max_at_once)


def _resume(settings: Settings, config: Mapping[str, Any], facts: Facts, record: NetworkRecord, found: list[Problem]) -> NetworkPlan:
    """Finish or verify what was begun, with what may still be put right in it."""
    if record.settings.name != settings.name:
        raise Permanent(
            f"Namespace {settings.namespace} holds another network, {record.settings.name}",
            advice="Choose another namespace: every network has one of its own.",
        )
    decision = decide(record, settings, config, now=facts.now, up=len(facts.up))
    found = [*found, *decision.refusals]
    if decision.corrections and facts.nodes and room.size(record.settings) != room.size(settings):
        found += room.problems(settings, facts.nodes, record.pins)
    if found:
        raise SpecError(found, what=f"Network {settings.name} exists and is not what is asked for now")
    usable = nodes.usable(facts.nodes)
    known = {node.hostname or node.name for node in usable}
    lost = sorted({pin.node for pin in record.pins} - known) if facts.nodes else []
    warnings = tuple(
        f"Worker node {name}, to which bootnodes are pinned, is not there or not schedulable: their pods cannot start again." for name in lost
    )
    plan = _plan(decision.record, resumed=True, warnings=warnings, max_at_once=settings.miners.max_at_once)
    if not decision.corrections:
        return plan
    warnings = (*warnings, *_warnings(settings))
    return replace(plan, corrections=decision.corrections, corrects=record, restarts_miners=decision.restarts_miners, warnings=warnings)


def _plan(record: NetworkRecord, *, resumed: bool, warnings: tuple[str, ...], max_at_once: int) -> NetworkPlan:
    settings = record.settings
    layers = node_config.layers(record.node_config)
    wanted = settings.poets
    poets = tuple(
        PoetPlan(
            i, f"poet-{i}", poet.initial_duration(settings.genesis_delay_minutes, layers, i, wanted.init_phase_shift_seconds), record.poet_hosts[i]
        )
        for i in range(wanted.count)
    )
    miners = tuple(_miner(settings, record.pins, number) for number in range(1, settings.miners.count + 1))
    return NetworkPlan(record, poets, miners, resumed, warnings, max_at_once)


def _miner(settings: Settings, pins: tuple[Pin, ...], number: int) -> MinerPlan:
    first = int(settings.bootstrap)
    role = Role.BOOTSTRAP if number <= first else Role.BOOTNODE if number <= first + settings.miners.bootnodes else Role.ORDINARY
    pin = pins[number - 1] if number <= len(pins) else None
    return MinerPlan(number, f"miner-{number}", role, FIRST_P2P_PORT + number, (number - 1) % settings.poets.count, pin)


def _warnings(settings: Settings) -> tuple[str, ...]:
    return (*_too_slow(settings), *_nobody_profiled(settings))


def _nobody_profiled(settings: Settings) -> tuple[str, ...]:
    if settings.profiling.server_url and not settings.profiling.miners:
        return ("No miner sends profiles to the Pyroscope server: name some in profiling.miners.",)
    return ()


def _too_slow(settings: Settings) -> tuple[str, ...]:
    needed = genesis.estimate(settings)
    if settings.bootstrap and needed > timedelta(minutes=settings.genesis_delay_minutes):
        minutes = -(-int(needed.total_seconds()) // 60) - settings.genesis_delay_minutes
        return (
            f"Deploying {settings.miners.count} miners usually takes longer than the genesis delay: raise genesis_delay_minutes by about {minutes}.",
        )
    return ()
