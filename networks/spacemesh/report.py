"""What a flow gives back about a network: plain JSON, and tables for people."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from networks.spacemesh import addresses
from networks.spacemesh.node_config import format_time
from networks.spacemesh.settings import Frozen


class MinerRow(Frozen):
    """One miner as it runs. Addresses are `host:port`; empty where something is not known (yet)."""

    name: str
    role: str
    node: str = ""
    p2p_address: str = ""
    grpc: str = ""
    json_api: str = ""
    poet: str = ""
    image: str = ""
    ready: bool = False


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

    def miner_table(self) -> list[dict[str, str]]:
        """A row for every miner, with words for headings."""
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
            "miners": f"{sum(row.ready for row in self.miners)} of {len(self.miners)} ready",
            "PoETs": f"{sum(row.ready for row in self.poets)} of {len(self.poets)} ready",
            "configuration": self.published,
            "corrected": "; ".join(self.corrected),
            "this run changed": str(self.changes),
            **self.links,
        }
        return {key: value for key, value in lines.items() if value}


def _columns(rows: list[dict[str, str]]) -> str:
    """A table in plain text; columns in which nothing stands are left out."""
    names = [name for name in (rows[0] if rows else {}) if any(row[name] for row in rows)]
    lines = [names, *([row[name] for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    return "\n".join("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines if names)
