"""A cloud's load balancers: a Service of type LoadBalancer gets an address after a while. What leads from there to pods is the network's part.

The finalizer, the events and their texts are those of the service controller of a cloud-controller-manager.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.controllers.controller import Controller, Key, Obj, key_of
from lab.controllers.events import Recorder
from lab.controllers.objects import is_deleting
from lab.kubernetes.kinds import SERVICE
from lab.kubernetes.registry import Registry

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
SECONDS = 10.0  # lab seconds that a cloud takes


class LoadBalancerController(Controller):
    """Gives addresses, and takes them back. Which are taken stands in the services themselves."""

    watches = (SERVICE,)

    def __init__(self, registry: Registry, addresses: Sequence[str]) -> None:
        super().__init__(registry)
        self._addresses = addresses
        self._events = Recorder(registry, "service-controller")
        self._due: dict[str, float] = {}  # when a service's address is there, by uid

    def sync(self, key: Key) -> None:
        """Bring one service further."""
        service = self.registry.find(SERVICE, *key)
        if service is None:
            return
        wanted = service["spec"].get("type") == "LoadBalancer" and not service["spec"].get("loadBalancerClass")
        if wanted and not is_deleting(service):
            self._ensure(service)
        elif FINALIZER in (service["metadata"].get("finalizers") or ()):
            self._remove(service)

    def _ensure(self, service: Obj) -> None:
        key, uid = key_of(service), service["metadata"]["uid"]
        if _address(service):
            return
        if FINALIZER not in (service["metadata"].get("finalizers") or ()):
            self._events.event(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer")
            self.registry.modify(SERVICE, *key, lambda one: one["metadata"].setdefault("finalizers", []).append(FINALIZER))
        due = self._due.setdefault(uid, self.clock.monotonic() + SECONDS)
        if due > self.clock.monotonic():
            self.queue.add_after(key, due - self.clock.monotonic())
            return
        address = self._free(service["spec"].get("loadBalancerIP"))
        if address is None:
            problem = "Error syncing load balancer: failed to ensure load balancer: the address is in use or none of this cloud"
            self._events.event(service, "Warning", "SyncLoadBalancerFailed", problem)
            self.queue.add_after(key, 5 * SECONDS)
            return
        del self._due[uid]
        status = {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}
        self.registry.modify(SERVICE, *key, lambda one: one.update(status=status), "status")
        self._events.event(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")

    def _free(self, wanted: str | None) -> str | None:
        taken = {address for service in self.store.items(SERVICE) if (address := _address(service))}
        if wanted:
            return wanted if wanted in self._addresses and wanted not in taken else None
        return next((address for address in self._addresses if address not in taken), None)

    def _remove(self, service: Obj) -> None:
        key = key_of(service)
        self._due.pop(service["metadata"]["uid"], None)
        self._events.event(service, "Normal", "DeletingLoadBalancer", "Deleting load balancer")
        if _address(service):
            self.registry.modify(SERVICE, *key, lambda one: one.update(status={"loadBalancer": {}}), "status")
        self._events.event(service, "Normal", "DeletedLoadBalancer", "Deleted load balancer")
        self.registry.modify(SERVICE, *key, lambda one: one["metadata"]["finalizers"].remove(FINALIZER))


def _address(service: Obj) -> str | None:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return ingress[0].get("ip") if ingress else None
