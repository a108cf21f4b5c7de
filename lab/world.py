"""All of the lab put together: what starts, in which order, and how it all ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from lab.addresses import AddressBlock, NoFreeBlock
from lab.clock import Clock
from lab.cluster import Cluster
from lab.config import LabConfig
from lab.control import make_control
from lab.faults import Faults
from lab.images import use_binaries
from lab.kubelet.nodes import NodeSpec
from lab.kubernetes.auth import ADMIN_TOKEN
from lab.kubernetes.registry import Registry
from lab.outside.outside import Outside
from lab.serving import Lifetime, WorldError
from lab.storage import Storage, StorageError, StorageProxy

__all__ = ["World", "WorldError", "ready_line"]


class World:
    """One lab. `start()`, then `run()` until something ends it, then always `stop()`."""

    def __init__(self, config: LabConfig) -> None:
        self.config = config
        self.clock = Clock(config.speed)
        self.faults = Faults()
        self.cluster = Cluster(self.clock, self.faults, config.load_balancers)
        self.outside = Outside(self.clock, self.faults)
        self.stopping = asyncio.Event()
        self.storage: Storage | None = None
        self.state = Path()
        self._life = Lifetime()
        self._urls: dict[str, str] = {}

    @property
    def registry(self) -> Registry:
        """The cluster's objects."""
        return self.cluster.registry

    @property
    def requests(self) -> Counter[tuple[str, str, str]]:
        """To the Kubernetes API, by user agent, verb and resource."""
        return self.cluster.requests

    def shared(self) -> list[dict[str, Any]]:
        """What the programs of each cluster share."""
        return [self.cluster.shared, *(cluster.shared for cluster in self.outside.clusters().values())]

    async def start(self) -> None:
        """Bring everything up; WorldError says why it does not come. Call `stop()` in any case."""
        _raise_file_limit()
        config = self.config
        use_binaries(dict(config.programs))
        self._life.at_end(lambda: use_binaries({}))
        try:
            self._make_state()
            if config.storage:
                await self._start_storage()
            self._life.at_end(self.cluster.stop)
            classes = (config.storage_class,) if config.storage_class is not None else ()
            await self.cluster.start(self.state, self._node_specs, classes, config.port, config.max_in_flight)
            if config.outside:
                await self.outside.start(self._life, self.state)
            control = await self._life.run_app(make_control(self))
            self._urls["control"] = await self._life.listen(control, "control site", config.control_port)
            self._write_kubeconfig()
        except (OSError, StorageError, NoFreeBlock) as error:
            raise WorldError(str(error)) from error

    async def run(self) -> None:
        """Stay up until `stopping` is set; WorldError when a part of the lab fails."""
        stopped = asyncio.create_task(self.stopping.wait())
        try:
            done, _ = await asyncio.wait({stopped, *self._life.tasks, *self.cluster.life.tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        for task in done - {stopped}:
            error = None if task.cancelled() else task.exception()
            raise WorldError(f"{task.get_name()} ended: {error!r}") from error

    async def stop(self) -> None:
        """Undo whatever start did. Safe after a start that failed or was cancelled half way."""
        self.stopping.set()
        await self._life.end()

    def addresses(self) -> dict[str, Any]:
        """Where everything is."""
        found: dict[str, Any] = {
            "kubernetes": self.cluster.url,
            "kubernetes_tls": self.cluster.tls_url,
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

    def kubeconfig(self, cluster: str = "") -> str | None:
        """A kubeconfig with the administrator's token; of a cluster that was made outside, by its name. None when there is none."""
        if not cluster:
            return self.cluster.kubeconfig()
        found = self.outside.clusters().get(cluster)
        return found.kubeconfig(cluster) if found else None

    # --- parts

    def _make_state(self) -> None:
        """A directory of our own, below the one asked for: what is beside it is not ours to remove."""
        parent = self.config.state_dir
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        self.state = Path(tempfile.mkdtemp(prefix="lab-", dir=parent)).resolve()
        self._life.at_end(self._remove_state)

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
        self._life.at_end(self.storage.stop)
        self._urls["storage"] = await self._life.listen(await self._life.run_app(proxy.app()), "storage")
        await self.storage.start(self._urls["storage"])
        proxy.target = self.storage.url

    def _node_specs(self, block: AddressBlock) -> list[NodeSpec]:
        config, specs = self.config, []
        for number, name in enumerate(config.nodes, 1):
            address = block.node(number)
            external = address if config.external_addresses else ""
            specs.append(NodeSpec(name, address, external, config.node_cpu, config.node_memory, pods=config.node_pods, zone=config.node_zone))
        return specs

    @property
    def _kubeconfig_file(self) -> Path:
        return (self.config.state_dir.resolve() if self.config.state_dir else self.state) / "kubeconfig"

    def _write_kubeconfig(self) -> None:
        self._kubeconfig_file.write_text(self.cluster.kubeconfig())


def ready_line(world: World) -> str:
    """One line of JSON that says where everything is."""
    return json.dumps(world.addresses())


def _raise_file_limit() -> None:
    """Hundreds of pods listen on several ports each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
