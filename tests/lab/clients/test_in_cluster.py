"""What runs in a pod reaches the API as in a real cluster: by the service's address, with its account's token and the mounted authority."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from kubernetes import client, stream
from kubernetes import watch as watching
from kubernetes.config.incluster_config import InClusterConfigLoader

MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"
# What an in-cluster configuration does, in the standard library's words.
ASK = f"""
import json, os, ssl, urllib.request
host = os.environ["KUBERNETES_SERVICE_HOST"] + ":" + os.environ["KUBERNETES_SERVICE_PORT"]
token, space = (open("{MOUNTED}/" + name).read() for name in ("token", "namespace"))
context = ssl.create_default_context(cafile="{MOUNTED}/ca.crt")
request = urllib.request.Request(f"https://{{host}}/api/v1/namespaces/{{space}}/pods", headers={{"Authorization": "Bearer " + token}})
print([pod["metadata"]["name"] for pod in json.load(urllib.request.urlopen(request, context=context))["items"]])
"""


@pytest.fixture
def pod(api: client.ApiClient, namespace: str) -> str:
    """A pod whose account may list pods."""
    core, rbac = client.CoreV1Api(api), client.RbacAuthorizationV1Api(api)
    role = {"metadata": {"name": "look"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]}
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}]
    binding = {
        "metadata": {"name": "look"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "look"},
        "subjects": subjects,
    }
    rbac.create_namespaced_role(namespace, cast(Any, role))
    rbac.create_namespaced_role_binding(namespace, cast(Any, binding))
    spec = {"containers": [{"name": "a", "image": "python:3.11", "command": ["sleep", "600"]}], "terminationGracePeriodSeconds": 1}
    core.create_namespaced_pod(namespace, cast(Any, {"metadata": {"name": "p"}, "spec": spec}))
    for event in watching.Watch().stream(core.list_namespaced_pod, namespace, timeout_seconds=20):
        if event["object"].status.phase == "Running":
            return "p"
    raise AssertionError("the pod does not run")


def run(api: client.ApiClient, namespace: str, *command: str) -> str:
    answer = stream.stream(
        client.CoreV1Api(api).connect_get_namespaced_pod_exec, "p", namespace, command=list(command), stderr=True, stdin=False, stdout=True, tty=False
    )
    return str(answer)


def test_a_process_in_a_pod_asks_the_api(api: client.ApiClient, namespace: str, pod: str) -> None:
    assert run(api, namespace, "python3", "-c", ASK) == f"['{pod}']\n"


def test_the_python_clients_in_cluster_configuration(api: client.ApiClient, namespace: str, pod: str, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("token", "ca.crt")}
    for name, place in files.items():
        place.write_text(run(api, namespace, "cat", f"{MOUNTED}/{name}"))
    environment = json.loads(run(api, namespace, "python3", "-c", "import json, os; print(json.dumps(dict(os.environ)))").replace("'", '"'))
    configuration = client.Configuration()
    InClusterConfigLoader(str(files["token"]), str(files["ca.crt"]), environ=environment).load_and_set(configuration)
    with client.ApiClient(configuration) as inside:
        assert [one.metadata.name for one in client.CoreV1Api(inside).list_namespaced_pod(namespace).items] == [pod]
        with pytest.raises(client.ApiException, match="Forbidden"):
            client.CoreV1Api(inside).list_namespaced_secret(namespace)


def test_the_service_has_endpoints(api: client.ApiClient) -> None:
    (one,) = client.DiscoveryV1Api(api).list_namespaced_endpoint_slice("default", label_selector="kubernetes.io/service-name=kubernetes").items
    assert one.endpoints[0].conditions.ready and one.ports[0].name == "https"
    assert client.CoreV1Api(api).read_namespaced_endpoints("kubernetes", "default").subsets[0].addresses[0].ip == one.endpoints[0].addresses[0]
