"""The addresses that nodes of a network know one another by."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

_IDENTITY = re.compile(r"[1-9A-HJ-NP-Za-km-z]{1,128}")  # base58, as libp2p writes peer ids
_P2P = re.compile(r"/(ip4|ip6|dns4|dns6|dns)/([^/]+)/tcp/([0-9]{1,5})/p2p/([^/]+)")


@dataclass(frozen=True, order=True)
class P2pAddress:
    """Where a node listens and who it is."""

    host: str
    port: int
    identity: str

    def __str__(self) -> str:
        return f"/{_kind(self.host)}/{self.host}/tcp/{self.port}/p2p/{self.identity}"


def _kind(host: str) -> str:
    try:
        return f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        return "dns4"


def parse_p2p(text: object) -> P2pAddress:
    """Read `/ip4/10.0.0.1/tcp/5001/p2p/12D3Koo…`. ValueError says what is wrong with it."""
    if not isinstance(text, str):
        raise ValueError(f"{str(text)[:80]!r} is not a p2p address")
    found = _P2P.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:80]!r} is not a p2p address")
    kind, host, port, identity = found.groups()
    if kind in {"ip4", "ip6"}:
        try:
            if f"ip{ipaddress.ip_address(host).version}" != kind:
                raise ValueError
        except ValueError:
            raise ValueError(f"{text[:80]!r}: {host[:40]!r} is no address of kind {kind}") from None
    if not 0 < int(port) < 65536:
        raise ValueError(f"{text[:80]!r}: port {port} does not exist")
    if not is_identity(identity):
        raise ValueError(f"{text[:80]!r}: {identity[:40]!r} is no identity")
    return P2pAddress(host, int(port), identity)


def is_identity(text: str) -> bool:
    """Whether this can be a libp2p peer id."""
    return _IDENTITY.fullmatch(text) is not None


def host_port(host: str, port: int) -> str:
    """`10.0.0.1:6000`, or `[::1]:6000`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_host_port(text: str) -> tuple[str, int]:
    """The other way round. ValueError on anything else."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text[:80]!r} is not host:port")
    return host, int(port)


def watcher_hosts(miners: Iterable[tuple[str, str]]) -> str:
    """What spacemesh-watch takes as `--nodes`: `ip:port/miner-1,ip:port/miner-2`, from (gRPC address, name)."""
    return ",".join(f"{address}/{name}" for address, name in miners)
