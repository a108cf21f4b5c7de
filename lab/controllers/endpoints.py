"""Endpoints and endpoint slices: which pods stand behind a service, in the old form and in the new one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from lab.controllers import endpoint_slices
from lab.controllers.controller import Controller, Key, key_of
from lab.controllers.objects import condition, is_deleting, is_finished, is_ready
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import ENDPOINT_SLICE, ENDPOINTS, POD, SERVICE
from lab.kubernetes.registry import SYSTEM, Context, Registry
from lab.kubernetes.selectors import labels_of
from lab.kubernetes.store import Event

Obj = dict[str, Any]

TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"
ENDPOINTS_CONTROLLER = Context(SYSTEM.user, SYSTEM.groups, manager="kube-controller-manager")


def _pairs(obj: Obj) -> Iterable[tuple[str, str, str]]:
    namespace = obj["metadata"]["namespace"]
    return ((namespace, key, value) for key, value in labels_of(obj).items())


def _selector_pair(service: Obj) -> Iterable[tuple[str, str, str]]:
    """One of a service's wishes, to find the services that a pod's labels may concern."""
    selector = service["spec"].get("selector")
    if not selector or service["spec"].get("type") == "ExternalName":
        return ()
    key = min(selector)
    return ((service["metadata"]["namespace"], key, selector[key]),)


class EndpointsController(Controller):
    """Keeps both forms in step with pods and services."""

    watches = (SERVICE, POD, ENDPOINTS, ENDPOINT_SLICE)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._pods = self.index(POD, _pairs)
        self._services = self.index(SERVICE, _selector_pair)
        self._slices = self.index(ENDPOINT_SLICE, endpoint_slices.service_of)
        self._triggers = {ENDPOINTS: _Triggers(), ENDPOINT_SLICE: _Triggers()}

    def on_event(self, event: Event) -> None:
        """A service, a pod behind one, or somebody's hand in what this controller writes."""
        if event.kind is SERVICE:
            self.queue.add(key_of(event.object))
        elif event.kind is POD:
            if event.old is None or event.type == "DELETED" or _shown(event.old) != _shown(event.object):
                self._wake_services(event)
        elif event.kind is ENDPOINTS:
            if event.type == "DELETED":
                self.queue.add(key_of(event.object))
        elif event.type == "DELETED":
            for key in endpoint_slices.service_of(event.object):
                self.queue.add(key)

    def _wake_services(self, event: Event) -> None:
        for pod in (event.object, event.old):
            if pod is None:
                continue
            labels = labels_of(pod)
            for pair in _pairs(pod):
                for service in self._services.get(pair):
                    if service["spec"]["selector"].items() <= labels.items():
                        self.queue.add(key_of(service))

    def sync(self, key: Key) -> None:
        """Write what changed of both forms."""
        service = self.registry.find(SERVICE, *key)
        if service is None:
            self._forget(key)
            return
        if not any(_selector_pair(service)) or is_deleting(service):
            return
        pods = self._behind(service)
        shown = [pod for pod in pods if _has_address(pod)]
        slices = [one for one in self._slices.get(key) if not is_deleting(one)]
        endpoint_slices.reconcile(self.registry, service, shown, slices, self._triggers[ENDPOINT_SLICE].since(key, service, pods))
        staying = [pod for pod in shown if not is_deleting(pod)]
        self._write_endpoints(service, staying, self._triggers[ENDPOINTS].since(key, service, pods))

    def _behind(self, service: Obj) -> list[Obj]:
        selector = service["spec"]["selector"].items()
        (pair,) = _selector_pair(service)
        return [pod for pod in self._pods.get(pair) if selector <= labels_of(pod).items()]

    def _forget(self, key: Key) -> None:
        for triggers in self._triggers.values():
            triggers.forget(key)
        old = self.registry.find(ENDPOINTS, *key)
        if old is not None and labels_of(old).get(MANAGED_BY):
            self.registry.delete(ENDPOINTS, *key)

    def _write_endpoints(self, service: Obj, pods: list[Obj], trigger: str | None) -> None:
        meta = service["metadata"]
        labels = {**labels_of(service), MANAGED_BY: "endpoint-controller"}
        if is_headless(service):
            labels[HEADLESS] = ""
        subsets = _subsets(service, pods)
        old = self.registry.find(ENDPOINTS, meta["namespace"], meta["name"])
        if old is not None and (old.get("subsets") or []) == subsets and labels_of(old) == labels:
            return
        change = _change(labels, trigger, subsets)
        if old is not None:
            self.registry.modify(ENDPOINTS, meta["namespace"], meta["name"], change, ctx=ENDPOINTS_CONTROLLER)
            return
        new: Obj = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": meta["name"], "namespace": meta["namespace"]}}
        change(new)
        try:
            self.registry.create(ENDPOINTS, new, meta["namespace"], ENDPOINTS_CONTROLLER)
        except ApiError as error:
            if error.code != 403:  # a namespace on its way out
                raise


class _Triggers:
    """When what changed since the last look changed: the earliest of it, as the annotation tells."""

    def __init__(self) -> None:
        self._services: dict[Key, str] = {}
        self._pods: dict[Key, dict[str, tuple[str, str]]] = {}

    def since(self, key: Key, service: Obj, pods: list[Obj]) -> str | None:
        """The earliest change that was not known at the last call. In a quick lab two changes may have the same second."""
        known = self._pods.get(key, {})
        times = {pod["metadata"]["name"]: _ready_change(pod) for pod in pods}
        changed = [time for name, (time, state) in times.items() if time and (time, state) != known.get(name)]
        created = service["metadata"]["creationTimestamp"]
        if created > self._services.get(key, ""):
            changed.append(created)
        self._pods[key] = times
        self._services[key] = created
        return min(changed, default=None)

    def forget(self, key: Key) -> None:
        """The service is gone."""
        self._services.pop(key, None)
        self._pods.pop(key, None)


def _ready_change(pod: Obj) -> tuple[str, str]:
    ready = condition(pod, "Ready") or {}
    return ready.get("lastTransitionTime") or "", ready.get("status") or ""


def is_headless(service: Obj) -> bool:
    """Whether a service has no address of its own."""
    return bool(service["spec"].get("clusterIP") == "None")


def _shown(pod: Obj) -> tuple[Any, ...]:
    """What of a pod shows in endpoints."""
    return pod.get("status", {}).get("podIP"), is_finished(pod), is_ready(pod), is_deleting(pod), labels_of(pod)


def _has_address(pod: Obj) -> bool:
    return bool(pod.get("status", {}).get("podIP")) and not is_finished(pod)


def pod_port(pod: Obj, port: Obj) -> int | None:
    """The number behind a service port: named ones are looked up in the pod."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target or int(port["port"])
    for container in pod["spec"]["containers"]:
        for some in container.get("ports") or ():
            if some.get("name") == target and some.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return int(some["containerPort"])
    return None


def target_reference(pod: Obj) -> Obj:
    """What an endpoint says of its pod."""
    meta = pod["metadata"]
    return {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}


def host_name(service: Obj, pod: Obj) -> Obj:
    """The name that a pod has under a headless service."""
    spec = pod["spec"]
    if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
        return {"hostname": spec["hostname"]}
    return {}


def _subsets(service: Obj, pods: list[Obj]) -> list[Obj]:
    """Addresses grouped by the ports that they have, as Endpoints hold them."""
    groups: dict[tuple[tuple[str, int, str], ...], tuple[list[Obj], list[Obj]]] = {}
    wanted = service["spec"].get("ports") or ()
    everybody = service["spec"].get("publishNotReadyAddresses", False)
    for pod in pods:
        ports = [(port.get("name", ""), number, port.get("protocol", "TCP")) for port in wanted if (number := pod_port(pod, port)) is not None]
        if wanted and not ports:
            continue
        ready, not_ready = groups.setdefault(tuple(ports), ([], []))
        (ready if everybody or is_ready(pod) else not_ready).append(_address(service, pod))
    return [_subset(ports, *addresses) for ports, addresses in sorted(groups.items())]


def _address(service: Obj, pod: Obj) -> Obj:
    return {"ip": pod["status"]["podIP"], **host_name(service, pod), "nodeName": pod["spec"]["nodeName"], "targetRef": target_reference(pod)}


def _subset(ports: tuple[tuple[str, int, str], ...], ready: list[Obj], not_ready: list[Obj]) -> Obj:
    subset: Obj = {}
    for name, addresses in (("addresses", ready), ("notReadyAddresses", not_ready)):
        if addresses:
            subset[name] = sorted(addresses, key=lambda one: (tuple(int(part) for part in one["ip"].split(".")), one["targetRef"]["uid"]))
    if ports:
        subset["ports"] = [{**({"name": name} if name else {}), "port": number, "protocol": protocol} for name, number, protocol in ports]
    return subset


def _change(labels: Obj, trigger: str | None, subsets: list[Obj]) -> Callable[[Obj], None]:
    def change(endpoints: Obj) -> None:
        meta = endpoints["metadata"]
        meta["labels"] = labels
        set_trigger(meta, trigger)
        endpoints.pop("subsets", None)
        if subsets:
            endpoints["subsets"] = subsets

    return change


def set_trigger(meta: Obj, trigger: str | None) -> None:
    """Note when what led to a write happened, or that nobody knows."""
    notes = {key: value for key, value in (meta.get("annotations") or {}).items() if key != TRIGGER}
    if trigger:
        notes[TRIGGER] = trigger
    meta["annotations"] = notes
    if not notes:
        del meta["annotations"]
