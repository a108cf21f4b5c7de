"""A pod's ports are its own, though real processes share this machine's network.

A process that listens on all addresses, or on localhost, would take the port from every other pod and every other lab. So `bind` and `connect` of
containers' processes are looked at by the lab first (seccomp's user notifications, which need no rights, and which static binaries cannot get round):

- `bind` to any address or to localhost, with a port, becomes one to the pod's own address, as does `bind` to the same in IPv6;
- `connect` to localhost goes to the pod's own address when somebody listens there on that port: containers of a pod share their localhost. Otherwise
  it goes to this machine's localhost, where the services are that people run beside the lab;
- `connect` to another address of the lab comes from the pod's own, and is refused while a partition stands between the two.

Where the machine does not allow that, processes bind what they ask for.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import ipaddress
import os
import platform
import select
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from lab.addresses import real_port

# Numbers of the kernel: audit architecture, bind, connect, seccomp, pidfd_getfd.
_MACHINES = {"x86_64": (0xC000003E, 49, 42, 317, 438), "aarch64": (0xC00000B7, 200, 203, 277, 438)}
_NO_NEW_PRIVS, _SET_FILTER, _GET_SIZES, _NEW_LISTENER = 38, 1, 3, 8
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_RECEIVE, _SEND, _CONTINUE = 0xC0502100, 0xC0182101, 1
_SIZES = (80, 24, 64)  # of a notification, of an answer, of the call's data: those that the numbers above are for
_ADDRESS_WITHOUT_PORT = 24  # IP_BIND_ADDRESS_NO_PORT: the port is chosen when connecting
_LOCAL = ("0.0.0.0", "127.0.0.1")

Cut = Callable[[str, str], bool]  # whether a partition stands between two addresses

_libc = ctypes.CDLL(None, use_errno=True)


@lru_cache
def guards_work() -> bool:
    """Whether this machine lets the lab look at its children's calls."""
    numbers = _MACHINES.get(platform.machine())
    if numbers is None:
        return False
    sizes = (ctypes.c_uint16 * 3)()
    if _libc.syscall(numbers[3], _GET_SIZES, 0, sizes) != 0 or tuple(sizes) != _SIZES:
        return False
    return _libc.syscall(numbers[4], -1, 0, 0) < 0 and ctypes.get_errno() == errno.EBADF


def _filter() -> tuple[ctypes.Array[ctypes.c_char], bytes]:
    """The program that the kernel runs at each call: `bind` and `connect` are told to us, all others pass."""
    machine, bind, connect, _, _ = _MACHINES[platform.machine()]
    load, equal, end = 0x20, 0x15, 0x06
    lines = [
        (load, 0, 0, 4), (equal, 0, 3, machine), (load, 0, 0, 0), (equal, 2, 0, bind), (equal, 1, 0, connect), (end, 0, 0, _ALLOW),
        (end, 0, 0, _NOTIFY),
    ]  # fmt: skip
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    return code, struct.pack("HxxxxxxP", len(lines), ctypes.addressof(code))


@dataclass(frozen=True)
class _Call:
    """A call that waits for us."""

    id: int
    thread: int
    number: int
    handle: int
    address: bytes


class PortGuard:
    """Guards the processes of one container. `install` is for the child, between fork and exec; `watch` for the parent, after it."""

    def __init__(self, address: str, cut: Cut | None = None) -> None:
        self._address = address
        self._cut = cut
        self._network = ipaddress.ip_network(f"{address}/16", strict=False)
        self._ours, self._theirs = socket.socketpair()
        self._code, self._program = _filter()
        self._pending: set[asyncio.Task[None]] = set()

    def install(self) -> None:
        """In the child: from here on its calls are looked at."""
        _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        listener = _libc.syscall(_MACHINES[platform.machine()][3], _SET_FILTER, _NEW_LISTENER, ctypes.create_string_buffer(self._program))
        socket.send_fds(self._theirs, [b"x"], [listener] if listener >= 0 else [])

    def watch(self) -> None:
        """In the parent: answer until no process is left."""
        _, handles, _, _ = socket.recv_fds(self._ours, 1, 1)
        self.close()
        if handles:
            asyncio.get_running_loop().add_reader(handles[0], self._look, handles[0])

    def close(self) -> None:
        """The child has not come to be."""
        self._ours.close()
        self._theirs.close()

    def _look(self, listener: int) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        events = poll.poll(0)
        if events and not events[0][1] & select.POLLIN:  # nobody is left
            asyncio.get_running_loop().remove_reader(listener)
            os.close(listener)
            return
        notification = bytearray(_SIZES[0])
        try:
            fcntl.ioctl(listener, _RECEIVE, notification)
        except OSError:  # it has been killed
            return
        number, thread, _ = struct.unpack_from("QII", notification)
        kind, _, _, handle, place, length = struct.unpack_from("iIQQQQ", notification, 16)
        try:
            call = _Call(number, thread, kind, handle & 0x7FFFFFFF, _memory(thread, place, min(length & 0xFFFFFFFF, 128)))
            answer = self._answer(listener, call)
        except OSError as error:
            answer = -max(error.errno or 0, 0) or -errno.EINVAL
        except Exception:  # whatever it is: somebody waits
            _reply(listener, number, None)
            raise
        if answer != _LATER:
            _reply(listener, number, answer)

    def _answer(self, listener: int, call: _Call) -> int | None:
        """What the call gives: 0 or a negative error number; None: the kernel carries it out as it is."""
        wanted = _parse(call.address)
        if wanted is None:
            return None
        host, port = wanted
        if call.number == _MACHINES[platform.machine()][1]:
            return self._bind(call, port) if host in _LOCAL and port else None
        if host in _LOCAL and port:
            sock = _socket_of(call)
            if self._taken(sock.type, port):
                return self._connect(listener, call, sock, port)
            sock.close()
        elif ipaddress.ip_address(host) in self._network:
            if self._cut and self._cut(self._address, host):
                return -errno.ECONNREFUSED
            sock = _socket_of(call)
            with contextlib.suppress(OSError):
                if sock.family == socket.AF_INET and sock.getsockname() == ("0.0.0.0", 0):
                    sock.setsockopt(socket.IPPROTO_IP, _ADDRESS_WITHOUT_PORT, 1)
                    sock.bind((self._address, 0))
            if real_port(port) != port:
                return self._connect(listener, call, sock, port, host)
            sock.close()
        return None

    def _place(self, sock: socket.socket, port: int, host: str = "") -> tuple[str, int]:
        host = host or self._address
        return (f"::ffff:{host}" if sock.family == socket.AF_INET6 else host), real_port(port)

    def _bind(self, call: _Call, port: int) -> int:
        with _socket_of(call) as sock:
            if sock.family == socket.AF_INET6 and sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
                sock.bind(("::1", 0))  # pods have no IPv6 address: it may listen, and nobody will come
            else:
                _reuse(sock)
                sock.bind(self._place(sock, port))
        return 0

    def _taken(self, kind: int, port: int) -> bool:
        with socket.socket(socket.AF_INET, kind) as probe:
            _reuse(probe)
            try:
                probe.bind((self._address, real_port(port)))
            except OSError as error:
                return error.errno == errno.EADDRINUSE
        return False

    def _connect(self, listener: int, call: _Call, sock: socket.socket, port: int, host: str = "") -> int:
        place = self._place(sock, port, host)
        if not os.get_blocking(sock.fileno()):
            with sock:
                return -sock.connect_ex(place)

        def wait() -> int:  # it is the caller that wants to wait: not in our thread
            with sock:
                return -sock.connect_ex(place)

        async def finish() -> None:
            answer: int | None = None
            try:
                answer = await asyncio.to_thread(wait)
            finally:
                _reply(listener, call.id, answer)

        task = asyncio.ensure_future(finish())
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        return _LATER


_LATER = 1  # an answer that comes by itself; real ones are 0 or below


def _reply(listener: int, number: int, answer: int | None) -> None:
    data = struct.pack("QqiI", number, 0, 0 if answer is None else answer, _CONTINUE if answer is None else 0)
    with contextlib.suppress(OSError):  # it has been killed
        fcntl.ioctl(listener, _SEND, data)


def _reuse(sock: socket.socket) -> None:
    """A pod is new to its network: connections that ended at the same address, another pod's or lab's, keep no port. Listeners do all the same."""
    if sock.type == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _memory(thread: int, place: int, length: int) -> bytes:
    handle = os.open(f"/proc/{thread}/mem", os.O_RDONLY)
    try:
        return os.pread(handle, length, place)
    finally:
        os.close(handle)


def _socket_of(call: _Call) -> socket.socket:
    """The caller's own socket."""
    process = call.thread
    with open(f"/proc/{call.thread}/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123
        process = next(int(line.split()[1]) for line in status if line.startswith("Tgid:"))
    handle = os.pidfd_open(process)
    try:
        found = _libc.syscall(_MACHINES[platform.machine()][4], handle, call.handle, 0)
    finally:
        os.close(handle)
    if found < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return socket.socket(fileno=found)


def _parse(address: bytes) -> tuple[str, int] | None:
    """Host (an IPv4 address, also for what means the same in IPv6) and port; None when it is something else."""
    if len(address) < 8:
        return None
    (family,) = struct.unpack_from("H", address)
    (port,) = struct.unpack_from(">H", address, 2)
    if family == socket.AF_INET:
        return socket.inet_ntoa(address[4:8]), port
    if family == socket.AF_INET6 and len(address) >= 24:
        host = ipaddress.IPv6Address(address[8:24])
        if host.ipv4_mapped:
            return str(host.ipv4_mapped), port
        return ("0.0.0.0" if host.is_unspecified else "127.0.0.1" if host.is_loopback else str(host)), port
    return None
