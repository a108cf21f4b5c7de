"""A small PoET server: command line, configuration file and REST of the real one, without its proofs.

Until v0.6 a PoET waits for POST /v1/start, which names its gateways; newer ones (by the image's tag) start by themselves and know no such path.

Faults it looks up (place `program`, target `namespace/pod`):

- `crash` (`code`, `line`): ends with the code after logging the line; looked up at the start and every second.
- `refuse-activation` (`status`, `message`): POST /v1/start is answered with that HTTP status (500 unless given).
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.programs.flags import Flag, FlagError, Parsed, parse
from lab.programs.listeners import HttpHandler, Listeners
from lab.programs.program import Container, wait
from lab.programs.spacemesh.gateways import connect
from lab.programs.spacemesh.identity import load_key

_SERVICE_FLAGS = (
    Flag("n", "int"),
    Flag("memory", "int"),
    Flag("duration"),
    Flag("initialduration"),
    Flag("empty", "bool"),
    Flag("reset", "bool"),
    Flag("norecovery", "bool"),
    Flag("gateway"),
    Flag("disablebroadcast", "bool"),
    Flag("conn-acks", "int"),
    Flag("broadcast-acks", "int"),
    Flag("genesis-time"),
    Flag("epoch-duration"),
    Flag("phase-shift"),
    Flag("cycle-gap"),
)
FLAGS = (
    Flag("poetdir"),
    Flag("configfile", short="c"),
    Flag("datadir", short="b"),
    Flag("dbdir"),
    Flag("logdir"),
    Flag("jsonlog", "bool"),
    Flag("debuglog", "bool"),
    Flag("maxlogfiles", "int"),
    Flag("maxlogfilesize", "int"),
    Flag("rpclisten", short="r"),
    Flag("restlisten", short="w"),
    Flag("cpuprofile"),
    Flag("profile"),
    Flag("metrics-port", "int"),
    *_SERVICE_FLAGS,
)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
CONNECT_SECONDS = 10.0  # lab time a gateway has to answer
CONNECT_FLOOR = 5.0  # real seconds: connections are no quicker in a quick lab


class PoetError(Exception):
    """The server cannot start; the text is its last line."""


@dataclass(frozen=True)
class PoetConfig:
    """What the server goes by; durations in seconds."""

    host: str
    port: int
    json_log: bool
    data_folder: str
    duration: float
    initial_duration: float
    n: int


class Poet:
    """The image's program."""

    async def run(self, container: Container) -> int:
        """Read command line and file, then serve until told to stop."""
        try:
            flags = parse(container.argv[1:], FLAGS)
            config = read_config(container, flags)
            key = load_key(container.path(config.data_folder) / "key.json")
        except FlagError as error:
            container.log(re.sub(r"^unknown flag: --(.*)$", r"unknown flag `\1'", str(error)))
            return 1
        except (PoetError, OSError) as error:
            container.log(str(error))
            return 1
        server = PoetServer(container, config, key, is_new(container.image))
        return await server.run()


class PoetServer:
    """A running server."""

    def __init__(self, container: Container, config: PoetConfig, public_key: bytes, new: bool) -> None:
        self._container = container
        self._config = config
        self._key = public_key
        self._new = new
        self._started: float | None = self._now() if new else None  # lab time
        self._starting = asyncio.Lock()
        self._target = f"{container.namespace}/{container.pod}"
        self._routes: dict[tuple[str, str], HttpHandler] = {("GET", "/v1/info"): self._info}
        if new:
            self._routes["GET", "/v1/pow_params"] = self._pow_params
        else:
            self._routes["POST", "/v1/start"] = self._start

    async def run(self) -> int:
        """Listen until told to stop; gives the exit code."""
        listeners = Listeners(self._container)
        try:
            await listeners.serve_http(self._config.port, self._serve)
        except OSError as error:
            self._log("error", f"failed to listen: {error}")
            return 1
        self._log("info", f"REST proxy start listening on {self._config.host}:{self._config.port}")
        self._log("info", "Service started" if self._new else "Service not starting, waiting for start request")
        try:
            return await self._stay_up()
        finally:
            await listeners.close()

    async def _stay_up(self) -> int:
        stopping = self._container.stopping
        while not stopping.is_set():
            fault = self._container.faults.take("program", self._target, "crash")
            if fault:
                self._log("error", str(fault.options.get("line", "panic: runtime error: invalid memory address or nil pointer dereference")))
                return int(fault.options.get("code", 2))
            await wait(stopping, 1.0)
        self._log("info", "Received shutdown signal")
        return 0

    # --- REST, as grpc-gateway does it

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = self._routes.get((request.method, request.path))
        if handler is not None:
            return await handler(request)
        if any(path == request.path for _, path in self._routes):
            return _error(501, 12, "Method Not Allowed")
        return _error(404, 5, "Not Found")

    async def _start(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = json.loads(await request.text() or "{}")
            gateways = body.get("gatewayAddresses") or []
            threshold = max(1, int(body.get("connAcksThreshold") or 1))
            if not all(isinstance(gateway, str) for gateway in gateways):
                raise TypeError("gatewayAddresses must be strings")
        except (ValueError, TypeError, AttributeError) as error:
            return _error(400, 3, str(error))
        async with self._starting:
            return await self._activate(gateways, threshold, bool(body.get("disableBroadcast")))

    async def _activate(self, gateways: list[str], threshold: int, without: bool) -> web.Response:
        refusal = self._container.faults.take("program", self._target, "refuse-activation")
        if refusal:
            return _error(int(refusal.options.get("status", 500)), 2, str(refusal.options.get("message", "failed to start service: refused")))
        if self._started is not None:
            return _error(500, 2, "already started")
        if not without:
            if not gateways:
                return _error(500, 2, "number of gateway addresses must be greater than 0")
            if len(gateways) < threshold:
                most = f"number of gateway addresses ({len(gateways)}) must be greater than the successful connections threshold ({threshold})"
                return _error(500, 2, most)
            self._log("info", f"Attempting to connect to Spacemesh gateway nodes at {gateways}")
            reached, reasons = await connect(self._container, gateways, max(CONNECT_FLOOR, self._container.clock.real(CONNECT_SECONDS)))
            if len(reached) < threshold:
                return _error(500, 2, " | ".join(reasons))
            if reasons:
                self._log("warning", f"Failed to connect to {len(reasons)}/{len(gateways)} gateway nodes: {' | '.join(reasons)}")
        self._started = self._now()
        self._log("info", "Service started")
        return web.json_response({})

    async def _info(self, _request: web.BaseRequest) -> web.StreamResponse:
        if self._started is None:
            return _error(500, 2, "service not started")
        passed = self._now() - self._started - self._config.initial_duration
        executing = math.floor(passed / self._config.duration) if passed >= 0 else None
        key = base64.b64encode(self._key).decode()
        opened = str(0 if executing is None else executing + 1)
        if self._new:
            return web.json_response({"openRoundId": opened, "executingRoundId": "" if executing is None else str(executing), "servicePubkey": key})
        rounds = [] if executing is None else [str(executing)]
        return web.json_response({"openRoundId": opened, "executingRoundsIds": rounds, "servicePubKey": key})

    async def _pow_params(self, _request: web.BaseRequest) -> web.StreamResponse:
        challenge = base64.b64encode(self._key[:20]).decode()
        return web.json_response({"powParams": {"challenge": challenge, "difficulty": self._config.n}})

    def _now(self) -> float:
        return self._container.clock.monotonic()

    def _log(self, level: str, message: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self._config.json_log:
            self._container.log(json.dumps({"L": level.upper(), "T": now, "N": "poet", "M": message}))
        else:
            self._container.log(f"{now}\t{level.upper()}\tpoet\t{message}")


def read_config(container: Container, flags: Parsed) -> PoetConfig:
    """Merge file and flags; flags win. A file that is not there is only worth a warning, a round without duration is not."""
    values: dict[str, str] = {}
    path = flags.text("configfile", "/root/.poet/poet.conf")
    try:
        values = read_ini(path, container.path(path))
    except OSError as error:
        container.log(f"WARNING open {path}: {(error.strerror or str(error)).lower()}")
    values |= flags.values
    new = is_new(container.image)
    duration = parse_duration("duration", values.get("duration") or values.get("epoch-duration") or ("336h" if new else ""))
    n = int(values.get("n", 15))
    if n < 1:
        raise PoetError("loadConfig: n must be positive")
    if duration <= 0:
        raise PoetError("failed to create service: round duration must be positive")
    host, _, port = values.get("restlisten", "localhost:8080").rpartition(":")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise PoetError(f"address {values.get('restlisten')}: missing port in address")
    folder = values.get("poetdir", "/root/.poet")
    initial = parse_duration("initialduration", values.get("initialduration", "35s"))
    return PoetConfig(host, int(port), values.get("jsonlog", "false") == "true", values.get("datadir", f"{folder}/data"), duration, initial, n)


def read_ini(shown: str, file: Path) -> dict[str, str]:
    """Lines `name="value"`, sections in brackets, comments. PoetError for options nobody knows; OSError when there is no file."""
    known = {flag.name: flag for flag in FLAGS}
    values: dict[str, str] = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        text = line.strip()
        if not text or text.startswith((";", "#", "[")):
            continue
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise PoetError(f"{shown}:{number}: expected key=value ({text})")
        if name not in known:
            raise PoetError(f"{shown}:{number}: unknown option: {name}")
        value = value.strip('"')
        if known[name].type == "int" and not value.isdigit():
            raise PoetError(f'{shown}:{number}: strconv.ParseInt: parsing "{value}": invalid syntax')
        values[name] = value
    return values


def parse_duration(name: str, text: str) -> float:
    """Go's durations (`1200s`, `1h30m`) in seconds."""
    parts = re.findall(r"([0-9.]+)(ms|us|µs|ns|h|m|s)", text)
    if text == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise PoetError(f'failed to create service: {name}: time: invalid duration "{text}"')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def is_new(image: str) -> bool:
    """Whether a PoET starts by itself, by its image's tag."""
    match = re.search(r":v(\d+)\.(\d+)", image)
    return match is not None and (int(match[1]), int(match[2])) >= (0, 6)


def _error(status: int, code: int, message: str) -> web.Response:
    body: dict[str, Any] = {"code": code, "message": message, "details": []}
    return web.Response(status=status, text=json.dumps(body), content_type="application/json")
