"""prometheus-operator: for each Prometheus and Alertmanager object a stateful set with a headless service, owned by the object."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from lab.programs.http_program import Answer, HttpProgram, Route, as_json
from lab.programs.in_cluster import ApiRefused, InCluster
from lab.programs.program import Container

Obj = dict[str, Any]

_MANAGER = "PrometheusOperator"
_GROUP = "/apis/monitoring.coreos.com/v1"


@dataclass(frozen=True)
class Made:
    """What is made of one kind of object."""

    kind: str
    plural: str
    name: str  # of the container, and how names begin
    port: int


KINDS = (Made("Prometheus", "prometheuses", "prometheus", 9090), Made("Alertmanager", "alertmanagers", "alertmanager", 9093))


class PrometheusOperator(HttpProgram):
    """The image's program."""

    port = 8080

    def routes(self) -> list[Route]:
        """Health."""
        return [("GET", "/healthz", self._health)]

    async def _health(self, _request: web.BaseRequest) -> Answer:
        return as_json({"status": "up"})

    async def work(self, container: Container) -> None:
        """Follow the objects and make what they ask for."""
        options = dict(word.removeprefix("--").partition("=")[::2] for word in container.argv if word.startswith("--"))
        reloader = options.get("prometheus-config-reloader", "quay.io/prometheus-operator/prometheus-config-reloader:v0.79.2")
        try:
            async with InCluster(container) as api:
                await self._follow(api, container, reloader, options.get("kubelet-service", ""))
        except (ApiRefused, aiohttp.ClientError) as error:
            container.log(f"ts=lab level=error msg={error}")

    async def _follow(self, api: InCluster, container: Container, reloader: str, kubelet: str) -> None:
        changed = asyncio.Event()
        found: dict[str, dict[tuple[str, str], Obj]] = {}

        def heard(name: str) -> Any:
            def keep(objects: dict[tuple[str, str], Obj]) -> None:
                found[name] = objects
                changed.set()

            return keep

        tasks = [asyncio.create_task(api.follow(f"{_GROUP}/{made.plural}", heard(made.kind))) for made in KINDS]
        tasks.append(asyncio.create_task(self._make_all(api, changed, found, reloader)))
        if "/" in kubelet:
            await _make_kubelet_service(api, *kubelet.split("/", 1))
        try:
            await container.stopping.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    async def _make_all(api: InCluster, changed: asyncio.Event, found: dict[str, dict[tuple[str, str], Obj]], reloader: str) -> None:
        done: dict[tuple[str, str], Any] = {}  # by uid: the last specification that was carried out
        while True:
            await changed.wait()
            changed.clear()
            for made in KINDS:
                for (namespace, name), obj in list(found.get(made.kind, {}).items()):
                    meta = obj["metadata"]
                    if meta.get("deletionTimestamp") or done.get((made.kind, meta["uid"])) == obj["spec"]:
                        continue
                    with contextlib.suppress(ApiRefused):  # the namespace may be on its way out
                        await _make(api, made, namespace, name, obj, reloader)
                        done[made.kind, meta["uid"]] = obj["spec"]


async def _make(api: InCluster, made: Made, namespace: str, name: str, obj: Obj, reloader: str) -> None:
    meta = obj["metadata"]
    owner = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": made.kind,
        "name": name,
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    governing = f"{made.name}-operated"
    service = {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": governing, "labels": {f"operated-{made.name}": "true"}, "ownerReferences": [owner | {"controller": False}]},
        "spec": {
            "clusterIP": "None", "selector": {"app.kubernetes.io/name": made.name},
            "ports": [{"name": "http-web", "port": made.port, "targetPort": "http-web"}],
        },
    }  # fmt: skip
    await api.apply(f"/api/v1/namespaces/{namespace}/services/{governing}", service, _MANAGER)
    stateful = stateful_set(made, name, obj, owner, reloader)
    await api.apply(f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{made.name}-{name}", stateful, _MANAGER)


def stateful_set(made: Made, name: str, obj: Obj, owner: Obj, reloader: str) -> Obj:
    """The stateful set of one object."""
    spec = obj["spec"]
    labels = {
        "app.kubernetes.io/name": made.name, "app.kubernetes.io/instance": name, "app.kubernetes.io/managed-by": "prometheus-operator",
        "operator.prometheus.io/name": name, made.name: name,
    }  # fmt: skip
    claim = ((spec.get("storage") or {}).get("volumeClaimTemplate") or {}).get("spec")
    volume = f"{made.name}-{name}-db"
    pod: Obj = {
        "serviceAccountName": spec.get("serviceAccountName"), "terminationGracePeriodSeconds": 120, "nodeSelector": spec.get("nodeSelector"),
        "tolerations": spec.get("tolerations"), "affinity": spec.get("affinity"), "securityContext": spec.get("securityContext"),
        "containers": [
            _container(made, spec, volume),
            {"name": "config-reloader", "image": reloader, "ports": [{"name": "reloader-web", "containerPort": 8081}]},
        ],
        "volumes": [] if claim else [{"name": volume, "emptyDir": {}}],
    }  # fmt: skip
    return {
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": f"{made.name}-{name}", "labels": {**(obj["metadata"].get("labels") or {}), **labels}, "ownerReferences": [owner]},
        "spec": {
            "replicas": spec.get("replicas", 1), "serviceName": f"{made.name}-operated", "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {key: value for key, value in pod.items() if value is not None}},
            **({"volumeClaimTemplates": [{"metadata": {"name": volume}, "spec": claim}]} if claim else {}),
        },
    }  # fmt: skip


def _container(made: Made, spec: Obj, volume: str) -> Obj:
    probe = {"httpGet": {"path": "/-/ready", "port": "http-web"}, "timeoutSeconds": 3}
    return {
        "name": made.name,
        "image": spec.get("image", ""),
        "ports": [{"name": "http-web", "containerPort": made.port}],
        "resources": spec.get("resources") or {},
        "startupProbe": probe | {"periodSeconds": 15, "failureThreshold": 60},
        "readinessProbe": probe | {"periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {"httpGet": {"path": "/-/healthy", "port": "http-web"}, "timeoutSeconds": 3, "periodSeconds": 5, "failureThreshold": 6},
        "volumeMounts": [{"name": volume, "mountPath": f"/{made.name}", "subPath": f"{made.name}-db"}],
    }


async def _make_kubelet_service(api: InCluster, namespace: str, name: str) -> None:
    """The operator lists the kubelets in a service of its own, which nobody takes away after it."""
    labels = {"k8s-app": "kubelet", "app.kubernetes.io/name": "kubelet", "app.kubernetes.io/managed-by": "prometheus-operator"}
    ports = [{"name": "https-metrics", "port": 10250}, {"name": "http-metrics", "port": 10255}, {"name": "cadvisor", "port": 4194}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels}, "spec": {"clusterIP": "None", "ports": ports}}
    await api.apply(f"/api/v1/namespaces/{namespace}/services/{name}", service, _MANAGER)
