"""Releases on a lab: an unmodified helm, and the API to look at what it did."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from lab.addresses import real_port
from tests.lab.clients.binaries import binary
from tests.lab.labs import RunningLab

Obj = dict[str, Any]


@dataclass(frozen=True)
class Client:
    """A helm and the API, on one lab."""

    lab: RunningLab
    home: Path

    def helm(self, name: str, *arguments: str, values: Obj | None = None) -> str:
        """Run a helm; it must do what it is asked."""
        done = self.try_helm(name, *arguments, values=values)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def try_helm(self, name: str, *arguments: str, values: Obj | None = None) -> subprocess.CompletedProcess[str]:
        """Run a helm."""
        env = {
            "KUBECONFIG": self.lab.kubeconfig, "HELM_CACHE_HOME": str(self.home / "cache"), "HELM_CONFIG_HOME": str(self.home / "config"),
            "HELM_DATA_HOME": str(self.home / "data"), "PATH": os.environ["PATH"], "HOME": str(self.home),
        }  # fmt: skip
        given = ["-f", "-"] if values is not None else []
        return subprocess.run(
            [str(binary(name)), *arguments, *given], input=yaml.safe_dump(values) if values is not None else "", capture_output=True, text=True,
            env=env, check=False, timeout=100,
        )  # fmt: skip

    def install(self, helm: str, chart: str, version: str, release: str, namespace: str, values: Obj | None = None) -> None:
        """Install a chart of a repository, and wait for it."""
        repository, _, name = chart.partition("/")
        self.helm(
            helm, "install", release, name, "--repo", f"{self.lab.ready['charts']}/{repository}", "--version", version, "-n", namespace,
            "--create-namespace", "--wait", "--timeout", "60s", values=values or {},
        )  # fmt: skip

    def get(self, path: str) -> Obj:
        """From the Kubernetes API."""
        answer = httpx.get(self.lab.kubernetes + path, headers={"Authorization": f"Bearer {self.lab.token}"})
        assert answer.status_code == 200, answer.text
        found: Obj = answer.json()
        return found

    def post(self, path: str, body: Obj) -> httpx.Response:
        """To the Kubernetes API."""
        return httpx.post(self.lab.kubernetes + path, json=body, headers={"Authorization": f"Bearer {self.lab.token}"})

    def names(self, path: str) -> set[str]:
        """Names of what is in a collection."""
        return {item["metadata"]["name"] for item in self.get(path)["items"]}

    def service(self, namespace: str, name: str, port: int) -> str:
        """Where a service's port is."""
        address = self.get(f"/api/v1/namespaces/{namespace}/services/{name}")["spec"]["clusterIP"]
        return f"{address}:{real_port(port)}"


def until(seen: Callable[[], bool]) -> None:
    """Wait for something that comes by itself, at most some seconds."""
    for _ in range(300):
        if seen():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")
