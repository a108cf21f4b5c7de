"""Pods whose containers end when a test says so."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.kinds import POD
from tests.lab.controllers.world import Cluster

Obj = dict[str, Any]


def end(lab: Cluster, pod: Obj, code: int = 0, container: str = "main") -> None:
    """The pod's container ends with this code, and the pod with it."""

    def change(some: Obj) -> None:
        some["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
        some["status"]["containerStatuses"] = [{"name": container, "restartCount": 0, "state": {"terminated": {"exitCode": code}}}]
        for condition in some["status"]["conditions"]:
            condition["status"] = "False" if "Ready" in condition["type"] else condition["status"]

    lab.registry.modify(POD, pod["metadata"]["namespace"], pod["metadata"]["name"], change, "status")


def running(lab: Cluster) -> list[Obj]:
    """Pods in namespace `demo` that run and are to stay, by name."""
    pods = [pod for pod in lab.pods() if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]]
    return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
