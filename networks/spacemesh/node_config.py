"""go-spacemesh's own configuration: a JSON document of which the deployment knows a few keys and keeps the rest as it is."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from networks.errors import Problem, SpecError
from networks.spacemesh import addresses

LARGEST = 256 * 1024  # bytes: a ConfigMap holds 1 MiB, and the network's record keeps a copy
DEEPEST = 32
LONGEST_LAYER = 7 * 24 * 3600
LONGEST_EPOCH = 1_000_000


@dataclass(frozen=True)
class Layers:
    """How time passes in a network."""

    duration_seconds: int
    per_epoch: int

    @property
    def epoch_seconds(self) -> int:
        """Length of an epoch, which is also the length of a PoET's round."""
        return self.duration_seconds * self.per_epoch


def parse(text: str, *, source: str) -> dict[str, Any]:
    """The configuration in a file's text. SpecError when it is not a JSON object; `source` says where it came from."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError(
            [Problem("node_config", f"{source} is not JSON: {str(error)[:120]}", "give a JSON object like the node's config.json")]
        ) from None
    if not isinstance(config, dict):
        raise SpecError([Problem("node_config", f"{source} holds no JSON object", "give a JSON object like the node's config.json")])
    fault = document_fault(config)
    if fault:
        raise SpecError([Problem("node_config", f"{source} {fault}", "give a JSON object like the node's config.json")])
    return config


def document_fault(config: Mapping[str, Any]) -> str | None:
    """Why this cannot be a configuration at all, whatever it says; None when it can."""
    level: list[Any] = [config]
    for _ in range(DEEPEST):
        level = [value for outer in level if isinstance(outer, dict | list) for value in (outer.values() if isinstance(outer, dict) else outer)]
    if level:
        return f"is nested more than {DEEPEST} levels deep"
    try:
        text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
        same = json.loads(text) == config
    except (TypeError, ValueError) as error:
        return f"is not JSON: {str(error)[:120]}"
    if size > LARGEST:
        return f"is {size} bytes long, at most {LARGEST} are allowed"
    return None if same else "is not JSON: every key must be a text"


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The base with the changes in it (RFC 7386: null removes a key). Neither input is changed, nor shared with the result."""
    merged = {key: copy.deepcopy(value) for key, value in base.items()}
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def get(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path (`main.genesis-time`), None when it is not there."""
    here: Any = config
    for part in path.split("."):
        if not isinstance(here, Mapping):
            return None
        here = here.get(part)
    return here


def layers(config: Mapping[str, Any]) -> Layers:
    """Layer duration and layers per epoch of a configuration in which `problems` found nothing."""
    return Layers(int(get(config, "main.layer-duration-sec")), int(get(config, "main.layers-per-epoch")))


def network_id(config: Mapping[str, Any]) -> str:
    """The network's id, by which nodes know that they belong together; empty when the node's own default is used."""
    value = get(config, "p2p.network-id")
    return "" if value is None else str(value)


def genesis_time(config: Mapping[str, Any]) -> datetime | None:
    """When the configuration says that genesis is; None when it says nothing, ValueError when it cannot be read."""
    value = get(config, "main.genesis-time")
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("is not a text")
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("has no time zone")
    return moment.astimezone(UTC)


def bootnodes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The p2p addresses that the configuration gives a node to begin with."""
    value = get(config, "p2p.bootnodes")
    return tuple(value) if isinstance(value, list) else ()


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds: what `main.genesis-time` holds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def dump(config: Mapping[str, Any]) -> str:
    """The same configuration is always the same text."""
    return json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def digest(config: Mapping[str, Any]) -> str:
    """A short name for exactly this configuration."""
    return hashlib.sha256(dump(config).encode()).hexdigest()[:16]


def problems(config: Mapping[str, Any], *, bootstrap: bool, miners: int, where: str = "node_config") -> list[Problem]:
    """Everything in a configuration that a deployment cannot go with."""
    found = [Problem(where, f"{name} is not an object", "write it as {…}") for name in ("main", "p2p") if not _is_section(config, name)]
    if found:
        return found
    found += _layer_problems(config, where)
    found += _bootstrap_problems(config, where, miners) if bootstrap else _joining_problems(config, where)
    return found


def _is_section(config: Mapping[str, Any], name: str) -> bool:
    return isinstance(config.get(name, {}), Mapping)


def _layer_problems(config: Mapping[str, Any], where: str) -> Iterable[Problem]:
    for key, most, example in (("main.layer-duration-sec", LONGEST_LAYER, 60), ("main.layers-per-epoch", LONGEST_EPOCH, 6)):
        value = get(config, key)
        if value is None:
            yield Problem(where, f"{key} is missing", f"add it: a whole number, like {example}")
        elif isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
            yield Problem(where, f"{key} is {str(value)[:40]!r}", f"give a whole number from 1 to {most}")


def _bootstrap_problems(config: Mapping[str, Any], where: str, miners: int) -> Iterable[Problem]:
    """A network that starts from nothing sets these itself; what is given would silently be lost, or be another network's."""
    if get(config, "main.genesis-time") is not None:
        yield Problem(
            where,
            "main.genesis-time is given, but a network that starts from nothing gets its genesis from genesis_delay_minutes",
            "remove the key from it",
        )
    size = get(config, "main.genesis-active-size")
    if size is not None and size != miners:
        yield Problem(
            where,
            f"main.genesis-active-size is {str(size)[:40]!r}, but there are {miners} miners",
            "remove the key: it is set to the number of miners",
        )
    if get(config, "p2p.bootnodes"):
        yield Problem(
            where,
            "p2p.bootnodes is given, but a network that starts from nothing has bootnodes of its own",
            "remove the key, or set bootstrap to false",
        )


def _joining_problems(config: Mapping[str, Any], where: str) -> Iterable[Problem]:
    seeds = get(config, "p2p.bootnodes")
    if not seeds:
        yield Problem(
            where, "p2p.bootnodes is missing: miners that join another network must know some of its nodes", "take that network's configuration"
        )
    elif not isinstance(seeds, list):
        yield Problem(where, "p2p.bootnodes is not a list", "write it as a list of addresses")
    else:
        for seed in seeds:
            try:
                addresses.parse_p2p(seed)
            except ValueError as error:
                yield Problem(where, f"p2p.bootnodes: {error}", "write it as /ip4/<address>/tcp/<port>/p2p/<identity>")
    try:
        if genesis_time(config) is None:
            yield Problem(
                where, "main.genesis-time is missing: miners that join another network must know its genesis", "take that network's configuration"
            )
    except ValueError as error:
        yield Problem(where, f"main.genesis-time cannot be read: {error}", "write it as 2026-11-22T05:56:15Z")
