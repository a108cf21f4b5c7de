"""What a flow gives back about a network: plain JSON, and tables for people."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from networks.spacemesh import addresses
from networks.spacemesh.node_config import format_time
from networks.spacemesh.settings import Frozen


class MinerRow(Frozen):
    """One miner as it runs. Addresses are `host:port`; empty where something is not known (yet).

    `layer`: the network's current layer as the miner sees it; `synced`: whether it is in step with that; None when it was not asked or did not say.
    """

    name: str
    role: str
    node: str = ""
    p2p_address: str = ""
    grpc: str = ""
    json_api: str = ""
    poet: str = ""
    image: str = ""
    ready: bool = False
    layer: int | None = None
    synced: bool | None = None


class PoetRow(Frozen):
    """One PoET as it runs. `state`: activated, started by itself, or what else is known."""

    name: str
    address: str = ""
    node: str = ""
    state: str = ""
    ready: bool = False


class Changes(Frozen):
    """How many objects the run made, changed and found as they should be."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0

    def __str__(self) -> str:
        if not self.created and not self.changed:
            return f"nothing: all {self.unchanged} objects were as they should be"
        return f"{self.created} objects created, {self.changed} changed, {self.unchanged} were as they should be"


class NetworkReport(Frozen):
    """A network, deployed."""

    network: str
    namespace: str
    network_id: str = ""
    genesis: datetime | None = None
    expires: datetime | None = None
    node_image: str = ""
    changes: Changes = Changes()
    poets: tuple[PoetRow, ...] = ()
    miners: tuple[MinerRow, ...] = ()
    published: str = ""
    links: dict[str, str] = Field(default_factory=dict)
    corrected: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def hosts(self) -> str:
        """gRPC addresses of all miners, in the watcher's form: `ip:port/miner-1,…`."""
        return addresses.watcher_hosts((row.grpc, row.name) for row in self.miners if row.grpc)

    @property
    def current_layer(self) -> int | None:
        """The current layer: what most miners that were asked say; None when none was, or none said."""
        layers = [row.layer for row in self.miners if row.layer is not None]
        return max(sorted(set(layers), reverse=True), key=layers.count) if layers else None

    @property
    def synced(self) -> str:
        """How many of the miners that told are in step with the network (`9/10`); empty when none told."""
        told = [row.synced for row in self.miners if row.synced is not None]
        return f"{sum(told)}/{len(told)}" if told else ""

    def miner_table(self) -> list[dict[str, str]]:
        """A row for every miner, with words for headings; with layers when miners were asked."""
        asked = any(row.layer is not None for row in self.miners)
        return [
            {
                "miner": row.name,
                "role": row.role,
                "ready": "yes" if row.ready else "no",
                "node": row.node,
                "p2p address": row.p2p_address,
                "gRPC": row.grpc,
                "JSON": row.json_api,
                "PoET": row.poet,
                **(_progress(row) if asked else {}),
            }
            for row in self.miners
        ]

    def poet_table(self) -> list[dict[str, str]]:
        """A row for every PoET, with words for headings."""
        return [
            {"PoET": row.name, "ready": "yes" if row.ready else "no", "address": row.address, "node": row.node, "state": row.state}
            for row in self.poets
        ]

    def as_text(self) -> str:
        """The whole report for a terminal."""
        summary = self.summary()
        width = max(len(key) for key in summary)
        lines = [f"{key:<{width}}  {value}" for key, value in summary.items()]
        parts = ["\n".join(lines), _columns(self.poet_table()), _columns(self.miner_table()), *(f"warning: {text}" for text in self.warnings)]
        return "\n\n".join(part for part in parts if part)

    def summary(self) -> dict[str, str]:
        """The report in a few lines; what is not known is left out."""
        lines = {
            "network": self.network,
            "namespace": self.namespace,
            "network id": self.network_id,
            "genesis": format_time(self.genesis) if self.genesis else "",
            "expires": format_time(self.expires) if self.expires else "",
            "node image": self.node_image,
            "layer": "" if self.current_layer is None else str(self.current_layer),
            "synced": self.synced,
            "miners": f"{sum(row.ready for row in self.miners)} of {len(self.miners)} ready",
            "PoETs": f"{sum(row.ready for row in self.poets)} of {len(self.poets)} ready",
            "configuration": self.published,
            "corrected": "; ".join(self.corrected),
            "this run changed": str(self.changes),
            **self.links,
        }
        return {key: value for key, value in lines.items() if value}


def _progress(row: MinerRow) -> dict[str, str]:
    """How far a miner is; empty when it did not say."""
    return {"layer": "" if row.layer is None else str(row.layer), "synced": "" if row.synced is None else "yes" if row.synced else "no"}


def _columns(rows: list[dict[str, str]]) -> str:
    """A table in plain text; columns in which nothing stands are left out."""
    names = [name for name in (rows[0] if rows else {}) if any(row[name] for row in rows)]
    lines = [names, *([row[name] for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    return "\n".join("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines if names)
