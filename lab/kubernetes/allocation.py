"""Cluster IPs and node ports of services: given by the server, checked when a client asks for some."""

from __future__ import annotations

import random
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

from lab.kubernetes.errors import FieldError, invalid
from lab.kubernetes.gotext import go_json
from lab.kubernetes.kinds import SERVICE

if TYPE_CHECKING:
    from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

NODE_PORTS = range(30000, 32768)
_ADDRESS_FIELDS = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")


class ServiceAllocator:
    """What is taken is read from the services themselves, so nothing can get out of step."""

    def __init__(self, registry: Registry, network: IPv4Network | None = None, seed: int | None = None) -> None:
        self._registry = registry
        self.network = network or IPv4Network("10.96.0.0/16")
        self._random = random.Random(seed)  # noqa: S311 - no secret

    def keep(self, old: Obj, new: Obj) -> None:
        """Take over on a change what the client left out, and drop what the new type has no use for."""
        before, after = old["spec"], new.setdefault("spec", {})
        if after.get("type") == "ExternalName":
            for key in _ADDRESS_FIELDS:
                if after.get(key) == before.get(key):
                    after.pop(key, None)
        elif before.get("type") != "ExternalName" and not after.get("clusterIP"):
            after.update({key: before[key] for key in _ADDRESS_FIELDS if key in before})
        elif before.get("type") != "ExternalName" and after.get("clusterIP") == before.get("clusterIP"):
            for key in _ADDRESS_FIELDS[1:]:
                if key in before:
                    after.setdefault(key, before[key])
        had = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in before.get("ports") or ()}
        for port in after.get("ports") or ():
            there = had.get((port.get("protocol"), port.get("port")))
            if _wants_node_ports(after) and there and not port.get("nodePort"):
                port["nodePort"] = there
            elif not _wants_node_ports(after) and port.get("nodePort") == there:
                port.pop("nodePort", None)

    def allocate(self, obj: Obj, dry_run: bool) -> None:
        """Complete a service that is going to be written; ApiError 422 for what cannot be had."""
        spec, meta = obj["spec"], obj["metadata"]
        others = [one for one in self._registry.list(SERVICE) if one["metadata"]["uid"] != meta.get("uid")]
        if spec.get("type") != "ExternalName":
            self._address(obj, {one["spec"].get("clusterIP") for one in others}, dry_run)
            headless_alone = spec.get("clusterIP") == "None" and not spec.get("selector")
            spec.setdefault("ipFamilies", ["IPv4", "IPv6"] if headless_alone else ["IPv4"])
            spec.setdefault("ipFamilyPolicy", "RequireDualStack" if headless_alone else "SingleStack")
        if _wants_node_ports(spec):
            self._node_ports(obj, {(port.get("protocol"), port["nodePort"]) for one in others for port in _ports(one) if port.get("nodePort")})

    def _address(self, obj: Obj, taken: set[str | None], dry_run: bool) -> None:
        spec = obj["spec"]
        wanted = spec.get("clusterIP") or (spec.get("clusterIPs") or [""])[0]
        if wanted != "None":
            if not wanted:
                wanted = str(self.network.network_address) if dry_run else self._free_address(taken)
            else:
                self._check_address(obj, wanted, taken)
        spec["clusterIP"], spec["clusterIPs"] = wanted, [wanted]

    def _free_address(self, taken: set[str | None]) -> str:
        size = self.network.num_addresses
        while True:
            address = str(self.network[self._random.randrange(min(256, size // 4), size - 1)])
            if address not in taken:
                return address

    def _check_address(self, obj: Obj, wanted: str, taken: set[str | None]) -> None:
        try:
            inside = IPv4Address(wanted) in self.network
        except AddressValueError:
            inside = False
        if inside and wanted not in taken:
            return
        why = "provided IP is already allocated" if inside else "the provided network does not match the current range"
        text = f"Invalid value: {go_json([wanted])}: failed to allocate IP {wanted}: {why}"
        raise invalid(SERVICE, obj["metadata"]["name"], [FieldError("FieldValueInvalid", text, "spec.clusterIPs")])

    def _node_ports(self, obj: Obj, taken: set[tuple[Any, int]]) -> None:
        numbers = {number for _, number in taken}
        for index, port in enumerate(_ports(obj)):
            wanted, where = port.get("nodePort"), f"spec.ports[{index}].nodePort"
            if not wanted:
                port["nodePort"] = wanted = self._random.choice([number for number in NODE_PORTS if number not in numbers])
            elif (port.get("protocol"), wanted) in taken:
                error = FieldError("FieldValueInvalid", f"Invalid value: {wanted}: provided port is already allocated", where)
                raise invalid(SERVICE, obj["metadata"]["name"], [error])
            elif wanted not in NODE_PORTS:
                text = f"Invalid value: {wanted}: provided port is not in the valid range. The range of valid ports is 30000-32767"
                raise invalid(SERVICE, obj["metadata"]["name"], [FieldError("FieldValueInvalid", text, where)])
            taken.add((port.get("protocol"), wanted))
            numbers.add(wanted)


def _ports(service: Obj) -> list[Obj]:
    return service["spec"].get("ports") or []


def _wants_node_ports(spec: Obj) -> bool:
    kind = spec.get("type")
    return kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False)
