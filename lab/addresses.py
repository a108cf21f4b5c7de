"""Loopback addresses of one lab: a block `127.X.0.0/16` of its own, so that several labs can run at once and ports never clash.

Nodes stand at 127.X.1.1 and up, load balancers at 127.X.15.*, pods in 127.X.16-127.*, cluster IPs of services in 127.X.128-255.*. The
block is kept by a bound socket, so it is free again however the lab ends. All of 127.0.0.0/8 is local on Linux: no interface has to be set up.

Containers may open ports below 1024; a lab that runs without rights may not. There such a port stands at 64512 + port, and everything in the lab that
connects to a pod looks for it there.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections import deque
from functools import cache
from pathlib import Path

_LOCK_PORT = 41_997
_FIRST, _LAST = 65, 250  # 127.0, 127.1 and 127.53 are in use on many machines


_LOW_PORTS_AT = 64_512
_FIRST_FREE_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def real_port(port: int) -> int:
    """Where this machine has a port of the lab's world."""
    return port if port >= 1024 or port == 0 or _may_open(port) else _LOW_PORTS_AT + port


def _may_open(port: int) -> bool:
    try:
        first = int(_FIRST_FREE_PORT.read_text())
    except (OSError, ValueError):
        first = 1024
    return port >= first or _has_the_right()


@cache
def _has_the_right() -> bool:
    """Tried rather than asked: rights come in many ways."""
    for port in (1023, 1022, 1021):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                return False
            return True
    return False


class NoFreeBlock(Exception):
    """Every block is taken by another lab."""


class AddressBlock:
    """The addresses of one lab. Close it to give the block back."""

    def __init__(self, second_octet: int, lock: socket.socket | None = None) -> None:
        self.second_octet = second_octet
        self._lock = lock
        self._next_pod = 16 << 8
        self._free_pods: deque[str] = deque()
        self._pods: set[str] = set()

    @classmethod
    def claim(cls) -> AddressBlock:
        """Take the first block that no other lab on this machine has."""
        for octet in range(_FIRST, _LAST + 1):
            lock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                lock.bind((f"127.{octet}.0.1", _LOCK_PORT))
            except OSError as error:
                lock.close()
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    continue
                raise
            return cls(octet, lock)
        raise NoFreeBlock(f"all blocks 127.{_FIRST}-{_LAST}.0.0/16 are in use by other labs")

    def close(self) -> None:
        """Give the block back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def node(self, number: int) -> str:
        """The address of the n-th node, from 1."""
        if not 1 <= number <= 14 * 256 - 1:
            raise ValueError(f"a lab has at most {14 * 256 - 1} nodes, not {number}")
        return f"127.{self.second_octet}.{1 + (number >> 8)}.{number & 255}"

    @property
    def load_balancers(self) -> list[str]:
        """Addresses for load balancers."""
        return [f"127.{self.second_octet}.15.{number}" for number in range(1, 255)]

    @property
    def pod_network(self) -> str:
        """Where pods have their addresses."""
        return f"127.{self.second_octet}.0.0/17"

    @property
    def service_network(self) -> ipaddress.IPv4Network:
        """Where services have their cluster IPs; the first one is `kubernetes`."""
        return ipaddress.IPv4Network(f"127.{self.second_octet}.128.0/17")

    def take_pod(self) -> str:
        """An address for a pod. Addresses given back are used again as late as possible, as real ones are."""
        end = 128 << 8
        while self._next_pod < end:
            number = self._next_pod
            self._next_pod += 1
            if number & 255 in (0, 255):
                continue
            return self._use(f"127.{self.second_octet}.{number >> 8}.{number & 255}")
        if not self._free_pods:
            raise NoFreeBlock("no pod address is left")
        return self._use(self._free_pods.popleft())

    def give_back(self, address: str) -> None:
        """The pod is gone."""
        if address in self._pods:
            self._pods.remove(address)
            self._free_pods.append(address)

    def _use(self, address: str) -> str:
        self._pods.add(address)
        return address
