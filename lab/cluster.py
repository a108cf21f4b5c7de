"""A Kubernetes cluster: API server, controllers, nodes, on addresses of its own; and what it holds before anybody has used it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from lab.addresses import AddressBlock
from lab.certificates import Certificates, make_certificates
from lab.clock import Clock
from lab.controllers.manager import run_controllers
from lab.controllers.volumes import standard_storage_class
from lab.faults import Faults
from lab.kubelet.kubelet import Kubelet
from lab.kubelet.machine import Surroundings
from lab.kubelet.nodes import NodeSpec
from lab.kubelet.sessions import Pods
from lab.kubelet.volumes import TokenMaker
from lab.kubernetes.auth import ADMIN_TOKEN, ISSUER, Authenticator
from lab.kubernetes.bootstrap import bootstrap
from lab.kubernetes.context import Context
from lab.kubernetes.http import REQUESTS, make_app
from lab.kubernetes.kinds import NAMESPACE, SERVICE, SERVICE_ACCOUNT, STORAGE_CLASS
from lab.kubernetes.registry import Registry
from lab.serving import Lifetime

Obj = dict[str, Any]

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
# The API server makes these itself, before any controller runs.
_SERVER = Context("system:apiserver", ("system:masters",), manager="kube-apiserver")


class Cluster:
    """One cluster. `start`, then in any case `stop`."""

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self.registry = Registry(clock)
        self.authenticator = Authenticator(self.registry)
        self.shared: dict[str, Any] = {}  # what its programs share
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.url = self.tls_url = ""
        self.certificates: Certificates | None = None
        self.life = Lifetime()
        self.kubelet: Kubelet | None = None
        self.block: AddressBlock | None = None
        self._clock, self._faults = clock, faults

    async def start(
        self, state: Path, nodes: Callable[[AddressBlock], list[NodeSpec]], storage_classes: tuple[str, ...] = ("standard",), port: int = 0
    ) -> None:
        """Bring it up, with these nodes; the first storage class is the default one. `state`: where its files are."""
        self.block = block = AddressBlock.claim()
        self.life.at_end(block.close)
        around = Surroundings(self.registry, block, self._faults, state, self.shared, _token_maker(self.registry, self.authenticator))
        self.kubelet = kubelet = Kubelet(around, nodes(block))
        self.registry.admission.services.network = block.service_network
        app = make_app(self.registry, auth=self.authenticator, faults=self._faults, pods=Pods(kubelet, self._clock))
        first = str(next(block.service_network.hosts()))
        self.certificates = make_certificates("127.0.0.1", first)
        self.requests = app[REQUESTS]
        runner = await self.life.run_app(app)
        self.url = await self.life.listen(runner, "Kubernetes API", port)
        self.tls_url = await self.life.listen(runner, "Kubernetes API over TLS", 0, self.certificates.context)
        seed_cluster(self.registry, storage_classes, first, int(self.url.rpartition(":")[2]))
        kubelet.register()
        self.life.spawn("controllers", run_controllers(self.registry, self._faults, self.certificates.authority.decode()))
        self.life.at_end(kubelet.stop)
        self.life.spawn("kubelet", kubelet.run())

    def kubeconfig(self, name: str = "lab") -> str:
        """A kubeconfig with the administrator's token. TLS: kubectl and helm send no token over plain HTTP."""
        authority = self.certificates.authority_data if self.certificates else ""
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": name, "cluster": {"server": self.tls_url, "certificate-authority-data": authority}}],
                "users": [{"name": "lab-admin", "user": {"token": ADMIN_TOKEN}}],
                "contexts": [{"name": name, "context": {"cluster": name, "user": "lab-admin"}}],
                "current-context": name,
            },
            sort_keys=False,
        )

    async def stop(self) -> None:
        """End it, whatever has begun."""
        await self.life.end()


def _token_maker(registry: Registry, authenticator: Authenticator) -> TokenMaker:
    """Tokens for the volumes of pods, as good as those of the `token` subresource."""

    def make(pod: dict[str, Any], account: str, audience: str, seconds: int) -> str:
        found = registry.get(SERVICE_ACCOUNT, pod["metadata"]["namespace"], account)
        return authenticator.issue(found, seconds, [audience or ISSUER], pod)

    return make


def seed_cluster(registry: Registry, storage_classes: tuple[str, ...], api_address: str, api_port: int) -> None:
    """Make namespaces, the service `kubernetes`, and storage classes, of which the first is the default."""
    for name in NAMESPACES:
        registry.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, ctx=_SERVER)
    bootstrap(registry)
    registry.create(SERVICE, _kubernetes_service(api_address, api_port), "default", ctx=_SERVER)
    for number, name in enumerate(storage_classes):
        made = standard_storage_class(name)
        if number:
            del made["metadata"]["annotations"]
        registry.create(STORAGE_CLASS, made, ctx=_SERVER)


def _kubernetes_service(address: str, port: int) -> Obj:
    labels = {"component": "apiserver", "provider": "kubernetes"}
    ports = [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "spec": {"clusterIP": address, "clusterIPs": [address], "type": "ClusterIP", "sessionAffinity": "None", "ports": ports},
    }
