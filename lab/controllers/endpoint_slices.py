"""Endpoint slices of one service: at most a hundred endpoints each, those that are there keep their place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.controllers import endpoints
from lab.controllers.objects import controller_reference, is_deleting, is_ready
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import ENDPOINT_SLICE, NODE, SERVICE
from lab.kubernetes.registry import Registry
from lab.kubernetes.selectors import labels_of

Obj = dict[str, Any]
Ports = tuple[tuple[str, str, int], ...]  # name, protocol, number

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SERVICE_NAME = "kubernetes.io/service-name"
_CONTROLLER = "endpointslice-controller.k8s.io"
_ZONE = "topology.kubernetes.io/zone"
_LARGEST = 100


def service_of(endpoint_slice: Obj) -> Iterable[tuple[str, str]]:
    """The service whose slice it is, if this controller keeps it."""
    labels = labels_of(endpoint_slice)
    if labels.get(MANAGED_BY) == _CONTROLLER and SERVICE_NAME in labels:
        return ((endpoint_slice["metadata"]["namespace"], labels[SERVICE_NAME]),)
    return ()


def reconcile(registry: Registry, service: Obj, pods: list[Obj], slices: list[Obj], trigger: str | None) -> None:
    """Make the slices of a service list these pods."""
    wanted = _wanted(registry, service, pods)
    labels = _labels(service)
    left = list(slices)
    for ports, found in wanted.items():
        same = [one for one in left if _ports_of(one) == ports] or left[:1]
        left = [one for one in left if one not in same]
        _fill(registry, service, ports, found, same, labels, trigger)
    if not wanted:  # a service without endpoints keeps one empty slice
        _fill(registry, service, None, {}, left[:1], labels, trigger)
        left = left[1:]
    for one in left:
        registry.delete(ENDPOINT_SLICE, one["metadata"]["namespace"], one["metadata"]["name"])


def _wanted(registry: Registry, service: Obj, pods: list[Obj]) -> dict[Ports, dict[str, Obj]]:
    """Endpoints by pod uid, grouped by their ports."""
    wished = service["spec"].get("ports") or ()
    groups: dict[Ports, dict[str, Obj]] = {}
    for pod in pods:
        ports = tuple(
            (port.get("name", ""), port.get("protocol", "TCP"), number) for port in wished if (number := endpoints.pod_port(pod, port)) is not None
        )
        groups.setdefault(ports, {})[pod["metadata"]["uid"]] = _endpoint(registry, service, pod)
    return groups


def _endpoint(registry: Registry, service: Obj, pod: Obj) -> Obj:
    serving, terminating = is_ready(pod), is_deleting(pod)
    everybody = service["spec"].get("publishNotReadyAddresses", False)
    node = registry.find(NODE, "", pod["spec"]["nodeName"])
    zone = labels_of(node).get(_ZONE) if node else None
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": everybody or (serving and not terminating), "serving": serving, "terminating": terminating},
        **endpoints.host_name(service, pod),
        "targetRef": endpoints.target_reference(pod),
        "nodeName": pod["spec"]["nodeName"],
        **({"zone": zone} if zone else {}),
    }


def _labels(service: Obj) -> Obj:
    labels = {**labels_of(service), MANAGED_BY: _CONTROLLER, SERVICE_NAME: service["metadata"]["name"]}
    if endpoints.is_headless(service):
        labels[endpoints.HEADLESS] = ""
    return labels


def _ports_of(endpoint_slice: Obj) -> Ports:
    return tuple((port.get("name", ""), port.get("protocol", "TCP"), port.get("port", 0)) for port in endpoint_slice.get("ports") or ())


def _fill(registry: Registry, service: Obj, ports: Ports | None, found: dict[str, Obj], slices: list[Obj], labels: Obj, trigger: str | None) -> None:
    """Update the endpoints in the slices that have them, put new ones where there is room, and make or delete slices as needed."""
    left = dict(found)
    contents: list[tuple[Obj | None, list[Obj]]] = []
    for one in slices:
        kept = [left.pop(uid) for old in one.get("endpoints") or () if (uid := old.get("targetRef", {}).get("uid")) in left]
        contents.append((one, kept))
    for _, kept in contents:
        while left and len(kept) < _LARGEST:
            kept.append(left.pop(next(iter(left))))
    while left or not contents:
        names = list(left)[:_LARGEST]
        contents.append((None, [left.pop(name) for name in names]))
    for number, (there, kept) in enumerate(contents):
        if there is not None and not kept and number > 0:
            registry.delete(ENDPOINT_SLICE, there["metadata"]["namespace"], there["metadata"]["name"])
        else:
            _write(registry, service, there, kept, ports, labels, trigger)


def _write(registry: Registry, service: Obj, old: Obj | None, kept: list[Obj], ports: Ports | None, labels: Obj, trigger: str | None) -> None:
    listed = [{"name": name, "protocol": protocol, "port": number} for name, protocol, number in ports or ()] if ports is not None else None
    content = {"addressType": "IPv4", "endpoints": kept or None, "ports": listed}
    namespace = service["metadata"]["namespace"]
    if old is not None:
        if all(old.get(key) == value for key, value in content.items()) and labels_of(old) == labels:
            return

        def change(one: Obj) -> None:
            one.update(content)
            one["metadata"]["labels"] = labels
            endpoints.set_trigger(one["metadata"], trigger)

        registry.modify(ENDPOINT_SLICE, namespace, old["metadata"]["name"], change)
        return
    name = service["metadata"]["name"]
    meta: Obj = {"generateName": f"{name}-", "namespace": namespace, "labels": labels, "ownerReferences": [controller_reference(SERVICE, service)]}
    endpoints.set_trigger(meta, trigger)
    new = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta, **content}
    try:
        registry.create(ENDPOINT_SLICE, new, namespace)
    except ApiError as error:
        if error.code != 403:  # a namespace on its way out
            raise
