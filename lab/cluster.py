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
from lab.cluster_faults import ClusterFaults
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
from lab.kubernetes.kind import Kind
from lab.kubernetes.kinds import ENDPOINT_SLICE, ENDPOINTS, NAMESPACE, SERVICE, SERVICE_ACCOUNT, STORAGE_CLASS
from lab.kubernetes.registry import Registry
from lab.serving import Lifetime

Obj = dict[str, Any]

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
# The API server makes these itself, before any controller runs.
_SERVER = Context("system:apiserver", ("system:masters",), manager="kube-apiserver")


class Cluster:
    """One cluster. `start`, then in any case `stop`."""

    def __init__(self, clock: Clock, faults: Faults, load_balancers: bool = True) -> None:
        self.registry = Registry(clock)
        self.authenticator = Authenticator(self.registry)
        self.shared: dict[str, Any] = {}  # what its programs share
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.url = self.tls_url = ""
        self.certificates: Certificates | None = None
        self.life = Lifetime()
        self.kubelet: Kubelet | None = None
        self.block: AddressBlock | None = None
        self._clock, self._faults, self._load_balancers = clock, faults, load_balancers

    async def start(
        self,
        state: Path,
        nodes: Callable[[AddressBlock], list[NodeSpec]],
        storage_classes: tuple[str, ...] = ("standard",),
        port: int = 0,
        in_flight: int | None = None,
    ) -> None:
        """Bring it up, with these nodes; the first storage class is the default one. `state`: where its files are. `in_flight`: requests at once."""
        self.block = block = AddressBlock.claim()
        self.life.at_end(block.close)
        around = Surroundings(self.registry, block, self._faults, state, self.shared, _token_maker(self.registry, self.authenticator))
        self.kubelet = kubelet = Kubelet(around, nodes(block))
        self.registry.admission.services.network = block.service_network
        app = make_app(self.registry, auth=self.authenticator, faults=self._faults, pods=Pods(kubelet, self._clock), in_flight=in_flight)
        first = str(next(block.service_network.hosts()))
        inside = block.node(1)  # where pods reach the API: as on a machine that is control plane and node in one
        self.certificates = make_certificates("127.0.0.1", first, inside)
        self.requests = app[REQUESTS]
        runner = await self.life.run_app(app)
        self.url = await self.life.listen(runner, "Kubernetes API", port)
        self.tls_url = await self.life.listen(runner, "Kubernetes API over TLS", 0, self.certificates.context)
        api_port = int(self.url.rpartition(":")[2])
        await self.life.listen(runner, "Kubernetes API for pods", api_port, self.certificates.context, inside)
        seed_cluster(self.registry, storage_classes, first, (inside, api_port))
        kubelet.register()
        balancers = block.load_balancers if self._load_balancers else ()
        self.life.spawn("controllers", run_controllers(self.registry, self._faults, self.certificates.authority.decode(), balancers))
        self.life.at_end(kubelet.stop)
        self.life.spawn("kubelet", kubelet.run())
        self.life.spawn("faults", ClusterFaults(self.registry, self._faults).run())

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


def seed_cluster(registry: Registry, storage_classes: tuple[str, ...], cluster_ip: str, api: tuple[str, int]) -> None:
    """Make namespaces, the service `kubernetes` with its way to the API's address and port, and storage classes, the first as the default one."""
    for name in NAMESPACES:
        registry.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, ctx=_SERVER)
    bootstrap(registry)
    registry.create(SERVICE, _kubernetes_service(cluster_ip, api[1]), "default", ctx=_SERVER)
    for kind, made in _kubernetes_endpoints(*api):
        registry.create(kind, made, "default", ctx=_SERVER)
    for number, name in enumerate(storage_classes):
        storage_class = standard_storage_class(name)
        if number:
            del storage_class["metadata"]["annotations"]
        registry.create(STORAGE_CLASS, storage_class, ctx=_SERVER)


def _kubernetes_service(address: str, port: int) -> Obj:
    labels = {"component": "apiserver", "provider": "kubernetes"}
    ports = [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "spec": {"clusterIP": address, "clusterIPs": [address], "type": "ClusterIP", "sessionAffinity": "None", "ports": ports},
    }


def _kubernetes_endpoints(address: str, port: int) -> list[tuple[Kind, Obj]]:
    """The server writes itself where its service leads: pods have no other way to it."""
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    old = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": address}], "ports": ports}],
    }
    new = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": ports,
    }
    return [(ENDPOINTS, old), (ENDPOINT_SLICE, new)]
