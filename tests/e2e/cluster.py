"""The cluster that end-to-end tests run on: the lab, or one of your own; and what tests look at there, past the code that they judge."""

from __future__ import annotations

import base64
import copy
import json
import re
from dataclasses import dataclass, field
from typing import Any

import httpx
import yaml

from tests.lab.labs import RunningLab

Obj = dict[str, Any]

KINDS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "Service": "/api/v1/namespaces/{}/services",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Event": "/api/v1/namespaces/{}/events",
    "ReplicaSet": "/apis/apps/v1/namespaces/{}/replicasets",
}
MADE = ("ConfigMap", "Secret", "PersistentVolumeClaim", "Service", "Deployment", "PodDisruptionBudget")  # what flows make themselves


@dataclass
class Target:
    """A cluster, and the options that networks need there."""

    kubeconfig: str
    context: str | None = None
    lab: RunningLab | None = None
    options: Obj = field(default_factory=dict)

    def spec(self, name: str, miners: int = 4, bootnodes: int = 2, **more: Any) -> Obj:
        """A small network."""
        base = {
            "name": name,
            "miners": {"count": miners, "bootnodes": bootnodes, "cpu": "50m", "memory": "256Mi", "disk": "1Gi"},
            "poets": {"gateways": 2, "cpu": "50m", "memory": "256Mi", "disk": "1Gi"},
        }
        return merged(base, merged(self.options, more))

    def http(self) -> httpx.Client:
        """Plain HTTP to the API server. (For a lab or a cluster with a token or client certificate in its kubeconfig.)"""
        config = yaml.safe_load(self.kubeconfig)
        named = {key: {entry["name"]: entry[key[:-1]] for entry in config[key]} for key in ("contexts", "clusters", "users")}
        context = named["contexts"][self.context or config["current-context"]]
        cluster, user = named["clusters"][context["cluster"]], named["users"].get(context.get("user"), {})
        headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        return httpx.Client(base_url=cluster["server"], headers=headers, verify=False, trust_env=False, timeout=30)  # what tests read is no secret

    def get(self, path: str) -> Obj:
        """One GET."""
        with self.http() as http:
            return http.get(path).json()

    def objects(self, namespace: str, *kinds: str) -> dict[str, list[Obj]]:
        """All objects of these kinds (all that tests know) in a namespace."""
        with self.http() as http:
            return {kind: http.get(KINDS[kind].format(namespace)).json()["items"] for kind in kinds or KINDS}

    def has_namespace(self, name: str) -> bool:
        """Whether it is there."""
        with self.http() as http:
            return http.get(f"/api/v1/namespaces/{name}").status_code == 200

    def create(self, path: str, obj: Obj) -> None:
        """Make an object that is not Cosmodrome's."""
        with self.http() as http:
            http.post(path, json=obj).raise_for_status()

    def delete(self, path: str) -> None:
        """Ask for its deletion."""
        with self.http() as http:
            http.delete(path)

    def fault(self, place: str, target: str, effect: str, *, times: int | None = None, after: int = 0, **options: Any) -> None:
        """Ask the lab for trouble."""
        body = {"place": place, "target": target, "effect": effect, "options": options, "after": after}
        self._control("POST", "/faults", body | ({"times": times} if times else {}))

    def faults(self) -> list[Obj]:
        """Troubles that were asked for and have not happened (often enough) yet."""
        assert self.lab
        listed: list[Obj] = httpx.get(f"{self.lab.control}/faults", trust_env=False, timeout=10).json()["faults"]
        return listed

    def no_faults(self) -> None:
        """All is well again."""
        if self.lab:
            self._control("DELETE", "/faults")

    def _control(self, method: str, path: str, body: Obj | None = None) -> None:
        assert self.lab
        httpx.request(method, self.lab.control + path, json=body, trust_env=False, timeout=10).raise_for_status()


def merged(base: Obj, more: Obj) -> Obj:
    """Nested dicts, the second over the first."""
    result = copy.deepcopy(base)
    for key, value in more.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and isinstance(result.get(key), dict) else value
    return result


def keys_of(objects: dict[str, list[Obj]]) -> dict[str, str]:
    """Secret name to private key."""
    return {
        obj["metadata"]["name"]: base64.b64decode(obj["data"]["private"]).decode() for obj in objects["Secret"] if "private" in obj.get("data", {})
    }


def pods_of(objects: dict[str, list[Obj]]) -> dict[str, str]:
    """What each workload's pod is: label `name` to uid."""
    return {pod["metadata"]["labels"]["name"]: pod["metadata"]["uid"] for pod in objects["Pod"]}


# What differs between two networks that were made alike: moments, chosen ports and addresses, keys and what is derived from them.
_DIFFERS = re.compile(
    r"\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|\+00:00)"  # a time
    r"|\d{8}T\d{6}Z"  # an expiry
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # a run
    r"|/p2p/\w+"
    r"|(?<=:)3[0-2]\d{3}\b"  # a node port behind an address
)
_CHOSEN = {"nodePort", "clusterIP", "clusterIPs", "volumeName", "cosmodrome.dev/config"}


def likeness(objects: dict[str, list[Obj]]) -> dict[str, Any]:
    """What two networks that were made alike have in common: every object that flows make, without what must differ."""
    return {f"{kind}/{obj['metadata']['name']}": _alike(kind, obj) for kind in MADE for obj in objects[kind] if _is_ours(obj)}


def _is_ours(obj: Obj) -> bool:
    return "cosmodrome.dev/network" in obj["metadata"].get("labels", {})


def _alike(kind: str, obj: Obj) -> Any:
    rest = {key: value for key, value in obj.items() if key not in ("metadata", "status")}
    if kind == "Secret":
        rest["data"] = sorted(obj["data"])
    name = obj["metadata"]["labels"]["cosmodrome.dev/network"]
    text = json.dumps({**rest, "labels": obj["metadata"]["labels"]}).replace(name, "NETWORK")
    return _without(json.loads(_DIFFERS.sub("X", text)))


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(inner) for key, inner in value.items() if key not in _CHOSEN}
    if isinstance(value, list):
        return [_without(inner) for inner in value]
    return value
