"""What a node is told: command line and configuration file, read and judged as the real node does."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lab.programs.flags import Flag, Parsed
from lab.programs.program import Container

FLAGS: tuple[Flag, ...] = (
    Flag("preset", short="p"),
    Flag("config", short="c"),
    Flag("data-folder", short="d"),
    Flag("listen"),
    Flag("bootnodes"),
    Flag("network-id", "int"),
    Flag("target-outbound", "int"),
    Flag("json-server", "bool"),
    Flag("json-port", "int"),
    Flag("grpc"),
    Flag("grpc-port", "int"),
    Flag("grpc-interface"),
    Flag("smeshing-start", "bool"),
    Flag("smeshing-coinbase"),
    Flag("smeshing-opts-datadir"),
    Flag("smeshing-opts-numunits", "int"),
    Flag("smeshing-opts-provider", "int"),
    Flag("poet-server"),
    Flag("genesis-time"),
    Flag("layer-duration-sec", "int"),
    Flag("layers-per-epoch", "int"),
    Flag("log-encoder"),
    Flag("metrics", "bool"),
    Flag("metrics-port", "int"),
    Flag("metrics-push"),
    Flag("metrics-push-period", "int"),
    Flag("pprof-server", "bool"),
    Flag("profiler-url"),
    Flag("profiler-name"),
    Flag("version", "bool"),
    Flag("help", "bool", "h"),
)
# What `preset` stands for: presets know how layers go, never when or where.
PRESETS: dict[str, dict[str, Any]] = {
    "testnet": {"main": {"layer-duration-sec": 300, "layers-per-epoch": 288}},
    "fastnet": {"main": {"layer-duration-sec": 15, "layers-per-epoch": 4}},
}
_MULTIADDRESS = re.compile(r"^/(?:ip4|dns4)/([^/]+)/tcp/(\d+)(?:/p2p/([1-9A-HJ-NP-Za-km-z]+))?$")


class ConfigError(Exception):
    """The node cannot start with this."""


@dataclass(frozen=True)
class Multiaddress:
    """`/ip4/<host>/tcp/<port>[/p2p/<identity>]`."""

    host: str
    port: int
    identity: str

    @classmethod
    def parse(cls, text: str) -> Multiaddress:
        """ConfigError with libp2p's words when it is none."""
        match = _MULTIADDRESS.match(text)
        if not match or int(match[2]) > 65535:
            raise ConfigError(f'failed to parse multiaddr "{text}": must be /ip4/<address>/tcp/<port>/p2p/<peer id>')
        return cls(match[1], int(match[2]), match[3] or "")

    def __str__(self) -> str:
        return f"/ip4/{self.host}/tcp/{self.port}" + (f"/p2p/{self.identity}" if self.identity else "")


@dataclass(frozen=True)
class NodeConfig:
    """Everything the node goes by."""

    genesis: datetime
    layer_seconds: float
    layers_per_epoch: int
    network_id: int
    bootnodes: tuple[Multiaddress, ...]
    outbound: int
    poet_server: str
    coinbase: str  # as given: hex of a public key or address, or bech32
    smeshing: bool
    listen: Multiaddress
    data_folder: str
    post_folder: str
    services: tuple[str, ...]  # empty: all
    grpc_port: int
    json_port: int | None
    metrics_port: int | None
    pprof: bool
    accounts: dict[str, int] = field(default_factory=dict)
    base_reward: int = 50_000_000_000_000


def read_config(container: Container, flags: Parsed) -> NodeConfig:
    """Merge preset, file and flags, in the order in which they win. ConfigError says what is missing or wrong."""
    document = _read_document(container, flags.text("config"))
    preset = flags.text("preset") or str(document.get("preset", ""))
    if preset and preset not in PRESETS:
        raise ConfigError(f"preset {preset} is not registered, options: {sorted(PRESETS)}")
    sections = _merge(PRESETS.get(preset, {}), document)
    main, p2p, smeshing = (_section(sections, name) for name in ("main", "p2p", "smeshing"))
    on = flags.on("smeshing-start") if "smeshing-start" in flags.values else bool(smeshing.get("smeshing-start"))
    coinbase = flags.text("smeshing-coinbase") or str(smeshing.get("smeshing-coinbase", ""))
    if on:
        _check_coinbase(coinbase)
    poet = flags.text("poet-server") or str(main.get("poet-server", ""))
    if on and not re.match(r"^[^:/\s]+:\d+$", poet):
        raise ConfigError(f'failed to connect to poet server: main.poet-server must be host:port, it is "{poet}"')
    bootnodes = flags.text("bootnodes").split(",") if flags.text("bootnodes") else p2p.get("bootnodes") or []
    opts = smeshing.get("smeshing-opts") or {}
    return NodeConfig(
        genesis=_genesis(flags.text("genesis-time") or main.get("genesis-time")),
        layer_seconds=_positive(flags, main, "layer-duration-sec"),
        layers_per_epoch=int(_positive(flags, main, "layers-per-epoch")),
        network_id=flags.number("network-id", int(p2p.get("network-id", 1))),
        bootnodes=tuple(Multiaddress.parse(str(text).strip()) for text in bootnodes),
        outbound=flags.number("target-outbound", int(p2p.get("outbound-target", 10))),
        poet_server=poet,
        coinbase=coinbase,
        smeshing=on,
        listen=Multiaddress.parse(flags.text("listen") or str(p2p.get("listen", "/ip4/0.0.0.0/tcp/7513"))),
        data_folder=flags.text("data-folder") or str(main.get("data-folder", "/root/spacemesh")),
        post_folder=flags.text("smeshing-opts-datadir") or str(opts.get("smeshing-opts-datadir", "/root/post/data")),
        services=_services(flags, sections),
        grpc_port=flags.number("grpc-port", 9092),
        json_port=flags.number("json-port", 9093) if flags.on("json-server") else None,
        metrics_port=flags.number("metrics-port", 1010) if flags.on("metrics") else None,
        pprof=flags.on("pprof-server"),
        accounts=_accounts(sections),
        base_reward=_base_reward(sections),
    )


def _read_document(container: Container, path: str) -> dict[str, Any]:
    if not path:
        return {}
    try:
        document = json.loads(container.path(path).read_text())
    except OSError as error:
        raise ConfigError(f"can't load config file {path}: open {path}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise ConfigError(f"can't load config file {path}: While parsing config: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"can't load config file {path}: While parsing config: cannot unmarshal {type(document).__name__} into an object")
    return document


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _merge(merged[key], value) if isinstance(value, dict) and isinstance(merged.get(key), dict) else value
    return merged


def _section(document: dict[str, Any], name: str) -> dict[str, Any]:
    section = document.get(name) or {}
    if not isinstance(section, dict):
        raise ConfigError(f"can't unmarshal config: '{name}' expected a map, got '{type(section).__name__}'")
    return section


def _positive(flags: Parsed, main: dict[str, Any], name: str) -> float:
    value = flags.values.get(name, main.get(name))
    try:
        number = float(str(value))
    except ValueError:
        number = 0
    if number <= 0:
        raise ConfigError(f"main.{name} must be a number above 0, it is {'not set' if value is None else json.dumps(value)}")
    return number


def _genesis(text: Any) -> datetime:
    if not text:
        raise ConfigError("cannot parse genesis time: main.genesis-time is not set")
    problem = f'cannot parse genesis time: parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse'
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError as error:
        raise ConfigError(problem) from error
    if moment.tzinfo is None:
        raise ConfigError(problem)
    return moment


def _is_address(text: str) -> bool:
    digits = text.removeprefix("0x")
    is_hex = re.fullmatch(r"[0-9a-fA-F]{40,}", digits) and len(digits) % 2 == 0
    return bool(is_hex or re.fullmatch(r"s(m|test)1[02-9ac-hj-np-z]{20,}", text))


def _check_coinbase(coinbase: str) -> None:
    if not _is_address(coinbase):
        raise ConfigError(f"failed to parse coinbase address on start `{coinbase}`: no address")


def _accounts(sections: dict[str, Any]) -> dict[str, int]:
    accounts = _section(sections, "genesis").get("accounts") or {}
    for address, amount in accounts.items():
        if not _is_address(address) or not isinstance(amount, int) or amount < 0:
            raise ConfigError(f"could not create genesis account: {address}: {amount}")
    return dict(accounts)


def _services(flags: Parsed, sections: dict[str, Any]) -> tuple[str, ...]:
    names = flags.text("grpc") or (sections.get("api") or {}).get("grpc") or ""
    names = names.split(",") if isinstance(names, str) else names
    return tuple(str(name).strip() for name in names if str(name).strip())


def _base_reward(sections: dict[str, Any]) -> int:
    value = _section(sections, "reward").get("base-reward", 50_000_000_000_000)
    return int(value.get("abs", 0) if isinstance(value, dict) else value)
