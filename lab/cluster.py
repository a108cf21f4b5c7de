"""What a cluster holds before anybody has used it."""

from __future__ import annotations

from typing import Any

from lab.controllers.volumes import standard_storage_class
from lab.kubernetes.bootstrap import bootstrap
from lab.kubernetes.context import Context
from lab.kubernetes.kinds import NAMESPACE, SERVICE, STORAGE_CLASS
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
# The API server makes these itself, before any controller runs.
_SERVER = Context("system:apiserver", ("system:masters",), manager="kube-apiserver")


def seed_cluster(registry: Registry, storage_class: str | None, api_address: str, api_port: int) -> None:
    """Make namespaces, the service `kubernetes`, and the default storage class when there is to be one."""
    for name in NAMESPACES:
        registry.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, ctx=_SERVER)
    bootstrap(registry)
    registry.create(SERVICE, _kubernetes_service(api_address, api_port), "default", ctx=_SERVER)
    if storage_class is not None:
        registry.create(STORAGE_CLASS, standard_storage_class(storage_class), ctx=_SERVER)


def _kubernetes_service(address: str, port: int) -> Obj:
    labels = {"component": "apiserver", "provider": "kubernetes"}
    ports = [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "spec": {"clusterIP": address, "clusterIPs": [address], "type": "ClusterIP", "sessionAffinity": "None", "ports": ports},
    }
