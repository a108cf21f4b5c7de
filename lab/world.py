"""All of the lab put together: what starts, in which order, and how it all ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import shutil
import ssl
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from lab.addresses import AddressBlock, NoFreeBlock
from lab.certificates import Certificates, make_certificates
from lab.clock import Clock
from lab.cluster import seed_cluster
from lab.config import LabConfig
from lab.control import make_control
from lab.controllers.manager import run_controllers
from lab.faults import Faults
from lab.kubelet.kubelet import Kubelet
from lab.kubelet.logs import PodLogs
from lab.kubelet.machine import Surroundings
from lab.kubelet.nodes import NodeSpec
from lab.kubelet.volumes import TokenMaker
from lab.kubernetes.auth import ADMIN_TOKEN, ISSUER, Authenticator
from lab.kubernetes.http import REQUESTS, make_app
from lab.kubernetes.kinds import SERVICE_ACCOUNT
from lab.kubernetes.registry import Registry
from lab.outside.outside import Outside
from lab.storage import Storage, StorageError, StorageProxy

log = logging.getLogger("lab")

CLOSE_SECONDS = 0.5  # real time that open requests get at the end


class WorldError(Exception):
    """The lab cannot start, or cannot go on."""


class World:
    """One lab. `start()`, then `run()` until something ends it, then always `stop()`."""

    def __init__(self, config: LabConfig) -> None:
        self.config = config
        self.clock = Clock(config.speed)
        self.faults = Faults()
        self.shared: dict[str, Any] = {}
        self.registry = Registry(self.clock)
        self.stopping = asyncio.Event()
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.storage: Storage | None = None
        self.outside = Outside(self.clock, self.faults)
        self.state = Path()
        self._block: AddressBlock | None = None
        self._certificates: Certificates | None = None
        self._urls: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._endings: list[Callable[[], Awaitable[Any] | None]] = []  # undone in reverse order

    async def start(self) -> None:
        """Bring everything up; WorldError says why it does not come. Call `stop()` in any case."""
        _raise_file_limit()
        try:
            self._make_state()
            self._block = AddressBlock.claim()
            self._endings.append(self._block.close)
            if self.config.storage:
                await self._start_storage()
            if self.config.outside:
                for name, service in self.outside.services.items():
                    service.url = await self._listen(await self._run_app(service.app()), name, 0)
            await self._start_cluster(self._block)
            self._urls["control"] = await self._listen(await self._run_app(make_control(self)), "control site", self.config.control_port)
            self._write_kubeconfig()
        except (OSError, StorageError, NoFreeBlock) as error:
            raise WorldError(str(error)) from error

    async def run(self) -> None:
        """Stay up until `stopping` is set; WorldError when a part of the lab fails."""
        stopped = asyncio.create_task(self.stopping.wait())
        try:
            done, _ = await asyncio.wait({stopped, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        for task in done - {stopped}:
            error = None if task.cancelled() else task.exception()
            raise WorldError(f"{task.get_name()} ended: {error!r}") from error

    async def stop(self) -> None:
        """Undo whatever start did. Safe after a start that failed or was cancelled half way."""
        self.stopping.set()
        while self._endings:
            ending = self._endings.pop()
            try:
                waiting = ending()
                if waiting is not None:
                    await waiting
            except Exception:
                log.exception("while stopping")

    def addresses(self) -> dict[str, Any]:
        """Where everything is."""
        found: dict[str, Any] = {
            "kubernetes": self._urls.get("kubernetes", ""),
            "kubernetes_tls": self._urls.get("kubernetes_tls", ""),
            "control": self._urls.get("control", ""),
            "kubeconfig": str(self._kubeconfig_file),
            "token": ADMIN_TOKEN,
            "nodes": list(self.config.nodes),
            "speed": self.config.speed,
            "profile": self.config.profile,
            "state": str(self.state),
            "pid": os.getpid(),
        }
        if self.storage:
            found["storage"] = self._urls.get("storage", "")
        return found | self.outside.addresses()

    def kubeconfig(self) -> str:
        """A kubeconfig with the administrator's token."""
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "lab", "cluster": self._cluster_entry()}],
                "users": [{"name": "lab-admin", "user": {"token": ADMIN_TOKEN}}],
                "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab-admin"}}],
                "current-context": "lab",
            },
            sort_keys=False,
        )

    def _cluster_entry(self) -> dict[str, str]:
        """TLS: kubectl and helm send no token over plain HTTP."""
        authority = self._certificates.authority_data if self._certificates else ""
        return {"server": self._urls.get("kubernetes_tls", ""), "certificate-authority-data": authority}

    # --- parts

    def _make_state(self) -> None:
        """A directory of our own, below the one asked for: what is beside it is not ours to remove."""
        parent = self.config.state_dir
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        self.state = Path(tempfile.mkdtemp(prefix="lab-", dir=parent)).resolve()
        self._endings.append(self._remove_state)

    def _remove_state(self) -> None:
        shutil.rmtree(self.state, ignore_errors=True)
        self._kubeconfig_file.unlink(missing_ok=True)
        if self.config.ready_file:
            self.config.ready_file.unlink(missing_ok=True)
        if self.config.state_dir:
            with contextlib.suppress(OSError):  # not empty: somebody else's files
                self.config.state_dir.rmdir()

    async def _start_storage(self) -> None:
        """The proxy first: the server has to be told its address."""
        proxy, self.storage = StorageProxy(self.faults), Storage()
        self._endings.append(self.storage.stop)
        self._urls["storage"] = await self._listen(await self._run_app(proxy.app()), "storage", 0)
        await self.storage.start(self._urls["storage"])
        proxy.target = self.storage.url

    async def _start_cluster(self, block: AddressBlock) -> None:
        authenticator = Authenticator(self.registry)
        around = Surroundings(self.registry, block, self.faults, self.state, self.shared, _token_maker(self.registry, authenticator))
        kubelet = Kubelet(around, self._node_specs(block))
        self.registry.admission.services.network = block.service_network
        app = make_app(self.registry, auth=authenticator, faults=self.faults, pods=PodLogs(kubelet, self.clock))
        first = str(next(block.service_network.hosts()))
        self._certificates = make_certificates("127.0.0.1", first)
        self.requests = app[REQUESTS]
        runner = await self._run_app(app)
        self._urls["kubernetes"] = url = await self._listen(runner, "Kubernetes API", self.config.port)
        self._urls["kubernetes_tls"] = await self._listen(runner, "Kubernetes API over TLS", 0, self._certificates.context)
        seed_cluster(self.registry, self.config.storage_class, first, int(url.rpartition(":")[2]))
        kubelet.register()
        self._spawn("controllers", run_controllers(self.registry, self.faults, self._certificates.authority.decode()))
        self._endings.append(kubelet.stop)
        self._spawn("kubelet", kubelet.run())

    def _node_specs(self, block: AddressBlock) -> list[NodeSpec]:
        config, specs = self.config, []
        for number, name in enumerate(config.nodes, 1):
            address = block.node(number)
            external = address if config.external_addresses else ""
            specs.append(NodeSpec(name, address, external, config.node_cpu, config.node_memory, pods=config.node_pods, zone=config.node_zone))
        return specs

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.append(task)

        async def end() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

        self._endings.append(end)

    async def _run_app(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_SECONDS, handler_cancellation=True)
        await runner.setup()
        self._endings.append(runner.cleanup)
        return runner

    async def _listen(self, runner: web.AppRunner, name: str, port: int, tls: ssl.SSLContext | None = None) -> str:
        """Serve on loopback; gives the address."""
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            raise WorldError(f"the {name} cannot listen on 127.0.0.1:{port}: {os.strerror(error.errno or 0)}") from error
        return f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[-1][1]}"

    @property
    def _kubeconfig_file(self) -> Path:
        return (self.config.state_dir.resolve() if self.config.state_dir else self.state) / "kubeconfig"

    def _write_kubeconfig(self) -> None:
        self._kubeconfig_file.write_text(self.kubeconfig())


def ready_line(world: World) -> str:
    """One line of JSON that says where everything is."""
    return json.dumps(world.addresses())


def _token_maker(registry: Registry, authenticator: Authenticator) -> TokenMaker:
    """Tokens for the volumes of pods, as good as those of the `token` subresource."""

    def make(pod: dict[str, Any], account: str, audience: str, seconds: int) -> str:
        found = registry.get(SERVICE_ACCOUNT, pod["metadata"]["namespace"], account)
        return authenticator.issue(found, seconds, [audience or ISSUER], pod)

    return make


def _raise_file_limit() -> None:
    """Hundreds of pods listen on several ports each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
