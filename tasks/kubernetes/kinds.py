"""Where each kind of object that we use lives in the API. A further kind is a further row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

Obj = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One kind of object: its name, API version, plural, and whether it lives in a namespace."""

    kind: str
    api_version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """The API path of one object, or of the collection when no name is given."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        if self.namespaced and namespace:
            root += f"/namespaces/{quote(namespace, safe='')}"
        return f"{root}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


NAMESPACE = Kind("Namespace", "v1", "namespaces", namespaced=False)
NODE = Kind("Node", "v1", "nodes", namespaced=False)
POD = Kind("Pod", "v1", "pods")
SERVICE = Kind("Service", "v1", "services")
CONFIG_MAP = Kind("ConfigMap", "v1", "configmaps")
SECRET = Kind("Secret", "v1", "secrets")
PVC = Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims")
EVENT = Kind("Event", "v1", "events")
SERVICE_ACCOUNT = Kind("ServiceAccount", "v1", "serviceaccounts")
DEPLOYMENT = Kind("Deployment", "apps/v1", "deployments")
PDB = Kind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets")
PERSISTENT_VOLUME = Kind("PersistentVolume", "v1", "persistentvolumes", namespaced=False)
STORAGE_CLASS = Kind("StorageClass", "storage.k8s.io/v1", "storageclasses", namespaced=False)

KINDS = (NAMESPACE, NODE, POD, SERVICE, CONFIG_MAP, SECRET, PVC, EVENT, SERVICE_ACCOUNT, DEPLOYMENT, PDB, PERSISTENT_VOLUME, STORAGE_CLASS)
_BY_NAME = {(kind.api_version, kind.kind): kind for kind in KINDS}


def kind_of(obj: Mapping[str, Any]) -> Kind:
    """The kind of an object, from its apiVersion and kind. KeyError when the table has no such row."""
    return _BY_NAME[obj["apiVersion"], obj["kind"]]


def name_of(obj: Mapping[str, Any]) -> str:
    """The object's name."""
    return str(obj["metadata"]["name"])


def describe(obj: Mapping[str, Any]) -> str:
    """`Deployment devnet/miner-3`: how people say it."""
    meta = obj["metadata"]
    where = f"{meta['namespace']}/" if meta.get("namespace") else ""
    return f"{obj['kind']} {where}{meta['name']}"
