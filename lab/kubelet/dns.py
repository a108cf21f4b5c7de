"""The cluster's DNS for programs inside the lab: names of services and of pods behind headless services."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from lab.controllers.controller import Index
from lab.kubelet.endpoints import endpoints_of, service_of
from lab.kubernetes.kinds import ENDPOINT_SLICE, SERVICE
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

_DOMAIN = ".cluster.local"


class ClusterDns:
    """Answers for names as pods ask for them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._slices = Index(registry.store, ENDPOINT_SLICE, service_of)

    def close(self) -> None:
        """Stop following endpoints."""
        self._slices.close()

    def resolve(self, name: str, namespace: str) -> list[str]:
        """Addresses for `poet-0`, `poet-0.ns`, `poet-0.ns.svc`, `poet-0.ns.svc.cluster.local`, `pod.service.ns.svc`; none when nobody has the name.

        `namespace` is the asking pod's. An address stands for itself.
        """
        name = name.rstrip(".").lower()
        try:
            return [str(ipaddress.ip_address(name))]
        except ValueError:
            pass
        for host, service_name, space in _readings(name.removesuffix(_DOMAIN), namespace):
            service = self._registry.find(SERVICE, space, service_name)
            if service is not None and (found := self._addresses(service, host)):
                return found
        return _pod_address(name.removesuffix(_DOMAIN))

    def _addresses(self, service: Obj, host: str) -> list[str]:
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            return [] if host else self.resolve(spec["externalName"], service["metadata"]["namespace"])
        if not host and spec.get("clusterIP") not in (None, "", "None"):
            return [spec["clusterIP"]]
        key = (service["metadata"]["namespace"], service["metadata"]["name"])
        return [
            address
            for endpoint in endpoints_of(self._slices.get(key))
            if not host or endpoint.get("hostname") == host
            for address in endpoint["addresses"]
        ]


def _readings(name: str, namespace: str) -> Iterator[tuple[str, str, str]]:
    """What a name may mean, by a pod's search list: host, service, namespace."""
    parts = name.split(".")
    options = [parts[:-1]] if parts[-1] == "svc" else [[*parts, namespace], parts]
    for option in options:
        if len(option) == 2:
            yield "", option[0], option[1]
        elif len(option) == 3:
            yield option[0], option[1], option[2]


def _pod_address(name: str) -> list[str]:
    """`127-65-16-1.ns.pod`."""
    match = re.fullmatch(r"(\d+-\d+-\d+-\d+)\.[^.]+\.pod", name)
    return [match[1].replace("-", ".")] if match else []
