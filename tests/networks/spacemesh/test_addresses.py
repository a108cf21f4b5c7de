"""Addresses that nodes, PoETs and watchers take."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks.spacemesh import addresses
from networks.spacemesh.addresses import P2pAddress

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@given(st.ip_addresses(), st.integers(1, 65535), st.text(alphabet=BASE58, min_size=1, max_size=60))
def test_p2p_addresses_survive_being_written_and_read(host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, identity: str) -> None:
    address = P2pAddress(str(host), port, identity)
    assert addresses.parse_p2p(str(address)) == address


def test_a_p2p_address_is_written_as_nodes_do() -> None:
    assert str(P2pAddress("203.0.113.1", 5001, "12D3KooWAbc")) == "/ip4/203.0.113.1/tcp/5001/p2p/12D3KooWAbc"
    assert str(P2pAddress("boot.example.org", 5001, "12D3KooWAbc")) == "/dns4/boot.example.org/tcp/5001/p2p/12D3KooWAbc"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.1:5000",
        "/ip4/10.0.0.1/tcp/5000",
        "/ip4/10.0.0.256/tcp/5000/p2p/a",
        "/ip4/::1/tcp/5000/p2p/a",
        "/ip6/10.0.0.1/tcp/5000/p2p/a",
        "/ip4/10.0.0.1/tcp/0/p2p/a",
        "/ip4/10.0.0.1/tcp/65536/p2p/a",
        "/ip4/10.0.0.1/tcp/x/p2p/a",
        "/ip4/10.0.0.1/udp/5000/p2p/a",
        "/ip4/10.0.0.1/tcp/5000/p2p/0OIl",
        "/ip4/10.0.0.1/tcp/5000/p2p/",
        "/ip4/10.0.0.1/tcp/5000/p2p/a\n",
        None,
        5,
    ],
)
def test_what_is_no_p2p_address(text: object) -> None:
    with pytest.raises(ValueError, match=r"^'"):
        addresses.parse_p2p(text)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_host_and_port_survive_being_written_and_read(host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
    assert addresses.split_host_port(addresses.host_port(str(host), port)) == (str(host), port)


@pytest.mark.parametrize("text", ["", "a", ":1", "a:", "a:0", "a:65536", "a:-1", "a:1x"])
def test_what_is_no_host_and_port(text: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        addresses.split_host_port(text)


def test_watchers_take_hosts_with_names() -> None:
    assert addresses.watcher_hosts([("10.0.0.1:30001", "miner-1"), ("10.0.0.2:30002", "miner-2")]) == "10.0.0.1:30001/miner-1,10.0.0.2:30002/miner-2"
    assert addresses.watcher_hosts([]) == ""
