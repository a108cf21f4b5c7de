"""Defaults of pods and of everything in their specs; those of templates are the same but for `Pod` itself."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


def fill(obj: Obj, **values: Any) -> None:
    """Set what is not there."""
    for key, value in values.items():
        if key not in obj:
            obj[key] = value


def pod(obj: Obj) -> None:
    """A pod (not a template): limits stand in for missing requests, host network takes host ports."""
    spec = obj.setdefault("spec", {})
    fill(spec, enableServiceLinks=True)
    for container in [*spec.get("initContainers", ()), *spec.get("containers", ())]:
        _requests_from_limits(container)
        if spec.get("hostNetwork"):
            for port in container.get("ports", ()):
                fill(port, hostPort=port.get("containerPort"))
    if "status" in obj and "qosClass" not in obj["status"]:
        obj["status"]["qosClass"] = qos_class(spec)


def qos_class(spec: Obj) -> str:
    """Guaranteed, Burstable or BestEffort, by the CPU and memory of all containers."""
    containers = [*spec.get("initContainers", ()), *spec.get("containers", ())]
    asked = False
    guaranteed = bool(containers)
    for container in containers:
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            limit, request = limits.get(name), requests.get(name, limits.get(name))
            asked = asked or bool(limit or request)
            guaranteed = guaranteed and limit is not None and limit == request
    return "BestEffort" if not asked else "Guaranteed" if guaranteed else "Burstable"


def _requests_from_limits(container: Obj) -> None:
    resources = container.get("resources") or {}
    for name, amount in (resources.get("limits") or {}).items():
        resources.setdefault("requests", {}).setdefault(name, amount)


def pod_spec(spec: Obj) -> None:
    """Any pod spec."""
    fill(spec, restartPolicy="Always", terminationGracePeriodSeconds=30, dnsPolicy="ClusterFirst", schedulerName="default-scheduler")
    fill(spec, securityContext={})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:  # the old name goes along with the new one
        spec["serviceAccountName"] = spec["serviceAccount"] = account


def container(obj: Obj) -> None:
    """A container of any sort."""
    fill(obj, resources={}, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    if "imagePullPolicy" not in obj:
        obj["imagePullPolicy"] = "Always" if image_tag(obj.get("image", "")) == "latest" else "IfNotPresent"


def image_tag(image: str) -> str:
    """The tag; `latest` when there is neither tag nor digest, empty when there is only a digest."""
    name, _, digest = image.partition("@")
    last = name.rsplit("/", 1)[-1]
    _, _, tag = last.partition(":")
    return tag or ("" if digest else "latest")


def probe(obj: Obj) -> None:
    """A probe of any sort."""
    for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not obj.get(key):
            obj[key] = value


def http_get(obj: Obj) -> None:
    """An HTTP probe or hook."""
    fill(obj, path="/", scheme="HTTP")


def container_port(obj: Obj) -> None:
    """A container's port."""
    fill(obj, protocol="TCP")


def volume(obj: Obj) -> None:
    """A volume without a source is an empty directory."""
    if not obj.keys() - {"name"}:
        obj["emptyDir"] = {}


def file_mode(obj: Obj) -> None:
    """A volume made of files: 0644."""
    fill(obj, defaultMode=420)


def host_path(obj: Obj) -> None:
    """A directory of the node, unchecked."""
    fill(obj, type="")


def token(obj: Obj) -> None:
    """A projected account token lives an hour."""
    fill(obj, expirationSeconds=3600)


def field_ref(obj: Obj) -> None:
    """A field's version."""
    fill(obj, apiVersion="v1")


def grpc(obj: Obj) -> None:
    """A gRPC probe without service asks the whole server."""
    fill(obj, service="")


DEFAULTS = {
    "core.v1.Pod": pod,
    "core.v1.PodSpec": pod_spec,
    "core.v1.Container": container,
    "core.v1.EphemeralContainer": container,
    "core.v1.ContainerPort": container_port,
    "core.v1.Probe": probe,
    "core.v1.HTTPGetAction": http_get,
    "core.v1.GRPCAction": grpc,
    "core.v1.Volume": volume,
    "core.v1.ConfigMapVolumeSource": file_mode,
    "core.v1.SecretVolumeSource": file_mode,
    "core.v1.DownwardAPIVolumeSource": file_mode,
    "core.v1.ProjectedVolumeSource": file_mode,
    "core.v1.HostPathVolumeSource": host_path,
    "core.v1.ServiceAccountTokenProjection": token,
    "core.v1.ObjectFieldSelector": field_ref,
}
