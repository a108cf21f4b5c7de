"""One lab for all clients, and a namespace for each test."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest
from kubernetes import client, config

from tests.lab.clients.running import running  # noqa: F401 - a fixture
from tests.lab.labs import RunningLab, lab_in_thread

SPEED = 10
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def lab() -> Iterator[RunningLab]:
    """A lab of three nodes as a child process, once for all tests here."""
    with lab_in_thread(SPEED, ("--no-storage",)) as running_one:
        yield running_one


@pytest.fixture
def api(lab: RunningLab) -> Iterator[client.ApiClient]:
    """The unmodified synchronous client."""
    configuration = client.Configuration()
    config.load_kube_config(lab.kubeconfig, client_configuration=configuration)
    with client.ApiClient(configuration) as found:
        yield found


@pytest.fixture
def namespace(api: client.ApiClient, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty namespace, deleted afterwards."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.removeprefix("test_").lower())[:40].strip("-") + f"-{next(_numbers)}"
    core = client.CoreV1Api(api)
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)


def deployment(name: str, replicas: int = 2, command: str = "echo hello; sleep 3600") -> dict[str, object]:
    """A Deployment of a shell."""
    container = {"name": "main", "image": "busybox:1.36", "command": ["sh", "-c", command]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}
