"""What is run again: kubectl's commands and both helms', side by side, each on a lab of its own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.lab.clients.binaries import binary
from tests.lab.clients.recorded import Command
from tests.lab.clients.series import Runner, Series

CHART = Path(__file__).parents[2] / "data" / "charts" / "demo"
KUBECTL = ("14a", "14b")
HELMS = {"helm3": "11a", "helm4": "11c"}
DELETE_ONE = "kubectl delete --wait=false -n kc $(kubectl get pods -n kc -o name | head -n 1)"
# Pods are labeled when no rollout takes them away meanwhile: that the recording went well was luck.
LABELED = "kubectl label pods -l app=web extra=1 -n kc"
SETTLED = (
    "kubectl rollout status deploy/web -n kc --timeout=30s; until [ $(kubectl get pods -n kc -l app=web -o name | wc -l) = 3 ]; do sleep 0.1; done"
)
SCALED = "helm4 upgrade web ./chart -n rel-helm4 --reuse-values --set message=sixth --server-side=true --wait --timeout 60s"
KINDS = (
    "api/v1/{}/secrets",
    "api/v1/{}/configmaps",
    "api/v1/{}/services",
    "apis/apps/v1/{}/deployments",
    "apis/networking.k8s.io/v1/{}/ingresses",
    "apis/demo.example.dev/v1/{}/widgets",
    "apis/batch/v1/{}/jobs",
)
# Waits that end in a time-out need not take as long as they were recorded.
SHORTER = {"6s": "3s", "5s": "3s", "--timeout=4s": "--timeout=1s", "--timeout=2s": "--timeout=1s", "--request-timeout=5s": "--request-timeout=4s",
           "--request-timeout=2s": "--request-timeout=1s", "./chart": str(CHART)}  # fmt: skip


def _here(argv: list[str]) -> list[str]:
    return [SHORTER.get(word, word) for word in argv]


def name_of(command: Command) -> str:
    """Which series a command belongs to: kubectl, helm3, helm4."""
    return command.argv[0]


@cache
def collections(helm: str) -> tuple[str, ...]:
    """Paths of everything that the chart makes."""
    return tuple("/" + kind.format(f"namespaces/rel-{helm}") for kind in KINDS)


def _series(name: str) -> Series:
    kubectl = binary("kubectl")
    if name == "kubectl":
        meanwhile = {"kubectl get pods -w -n kc (a Pod is deleted meanwhile)": ["sh", "-c", DELETE_ONE]}
        before = {LABELED: ["sh", "-c", SETTLED]}
        return Series(name, KUBECTL, {name: kubectl}, _here, needs_exec, before, meanwhile, namespace="kc")
    scale = ["kubectl", "scale", "deploy", "web", "-n", "rel-helm4", "--replicas=3"]  # by somebody else, not in the recording
    binaries = {name: binary(name), "kubectl": kubectl}
    return Series(name, (HELMS[name],), binaries, changed=_here, before={SCALED: scale}, collections=collections(name))


def needs_exec(command: Command) -> bool:
    """Whether it runs something in a container, which other tests look at."""
    return command.argv[1] == "exec"


@pytest.fixture(scope="session")
def running(request: pytest.FixtureRequest) -> Iterator[dict[str, Series]]:
    """Every series that the chosen tests need, begun at once."""
    chosen: list[Any] = [item.callspec.params.get("command") for item in request.session.items if hasattr(item, "callspec")]
    found = {name: _series(name) for name in sorted({name_of(command) for command in chosen if isinstance(command, Command)})}
    runner = Runner(list(found.values()))
    yield found
    runner.thread.join(timeout=60)
