"""The `kubernetes` package, synchronous and unmodified, against the lab."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException

from tests.lab.clients.conftest import deployment


def eventually(check: Callable[[], Any], seconds: float = 15) -> Any:
    """What a check gives as soon as it gives something."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return found


def test_typed_objects_are_made_read_changed_and_deleted(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    made = core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="c"), data={"a": "1"}))
    assert made.metadata.uid and made.metadata.resource_version and made.metadata.creation_timestamp.tzinfo is not None
    made.data = {"a": "2"}
    changed = core.replace_namespaced_config_map("c", namespace, made)
    assert changed.data == {"a": "2"} and changed.metadata.uid == made.metadata.uid
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("c", namespace, made)
    assert (stale.value.status, stale.value.reason) == (409, "Conflict")
    assert core.patch_namespaced_config_map("c", namespace, {"data": {"b": "3"}}).data == {"a": "2", "b": "3"}
    assert core.patch_namespaced_config_map("c", namespace, [{"op": "remove", "path": "/data/a"}]).data == {"b": "3"}
    assert core.delete_namespaced_config_map("c", namespace)["status"] == "Success"
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("c", namespace)
    assert gone.value.status == 404


def test_pages_are_of_one_moment(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    for number in range(5):
        core.create_namespaced_secret(namespace, {"metadata": {"name": f"s{number}"}})
    page = core.list_namespaced_secret(namespace, limit=2)
    names, version = [], page.metadata.resource_version
    core.create_namespaced_secret(namespace, {"metadata": {"name": "s1-late"}})
    while True:
        names += [item.metadata.name for item in page.items]
        assert page.metadata.resource_version == version
        token = page.metadata._continue
        if not token:
            break
        page = core.list_namespaced_secret(namespace, limit=2, _continue=token)
    assert names == ["s0", "s1", "s2", "s3", "s4"]


def test_watch_follows_a_deployment_until_it_is_available(api: client.ApiClient, namespace: str) -> None:
    apps = client.AppsV1Api(api)
    apps.create_namespaced_deployment(namespace, deployment("web"))
    phases = []
    for event in watch.Watch().stream(apps.list_namespaced_deployment, namespace, timeout_seconds=20):
        phases.append(event["object"].status.available_replicas)
        if phases[-1] == 2:
            break
    assert phases[-1] == 2
    pods = client.CoreV1Api(api).list_namespaced_pod(namespace, label_selector="app=web").items
    assert [pod.status.phase for pod in pods] == ["Running", "Running"]
    assert all(pod.metadata.owner_references[0].kind == "ReplicaSet" for pod in pods)


def test_watch_from_a_version_that_is_forgotten_is_410(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    with pytest.raises(ApiException) as gone:
        for _ in watch.Watch().stream(core.list_namespaced_config_map, namespace, resource_version="1", timeout_seconds=5):
            pytest.fail("there is nothing to see")
    assert gone.value.status == 410


def test_logs_are_read_and_followed(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    container = {"name": "m", "image": "busybox", "command": ["sh", "-c", "echo one; echo two; sleep 0.5; echo three"]}
    spec = {"restartPolicy": "Never", "containers": [container]}
    core.create_namespaced_pod(namespace, {"metadata": {"name": "p"}, "spec": spec})
    eventually(lambda: core.read_namespaced_pod("p", namespace).status.phase in ("Running", "Succeeded"))
    assert list(watch.Watch().stream(core.read_namespaced_pod_log, "p", namespace)) == ["one", "two", "three"]
    assert core.read_namespaced_pod_log("p", namespace, tail_lines=1) == "three\n"
    ended = eventually(lambda: core.read_namespaced_pod("p", namespace).status.container_statuses[0].state.terminated)
    assert (ended.exit_code, ended.reason) == (0, "Completed")


def test_deleting_a_deployment_in_the_foreground_takes_its_pods(api: client.ApiClient, namespace: str) -> None:
    apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
    apps.create_namespaced_deployment(namespace, deployment("web", replicas=1))
    eventually(lambda: core.list_namespaced_pod(namespace).items)
    apps.delete_namespaced_deployment("web", namespace, propagation_policy="Foreground")
    eventually(lambda: not apps.list_namespaced_deployment(namespace).items)
    assert core.list_namespaced_pod(namespace).items == []
    assert apps.list_namespaced_replica_set(namespace).items == []


def test_scale_and_status_subresources(api: client.ApiClient, namespace: str) -> None:
    apps = client.AppsV1Api(api)
    apps.create_namespaced_deployment(namespace, deployment("web", replicas=0))
    assert apps.read_namespaced_deployment_scale("web", namespace).status.selector == "app=web"
    assert apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 1}}).spec.replicas == 1
    eventually(lambda: apps.read_namespaced_deployment_status("web", namespace).status.available_replicas == 1)


def test_dynamic_client_discovers_and_applies(api: client.ApiClient, namespace: str, tmp_path: Any) -> None:
    found = dynamic.DynamicClient(api, cache_file=str(tmp_path / "discovery"))
    maps = found.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"}}
    first = maps.server_side_apply(body, namespace=namespace, field_manager="one")
    again = maps.server_side_apply(body, namespace=namespace, field_manager="one")
    assert first.metadata.resourceVersion == again.metadata.resourceVersion
    with pytest.raises(dynamic.exceptions.ConflictError) as conflict:
        maps.server_side_apply({**body, "data": {"a": "2"}}, namespace=namespace, field_manager="two")
    assert json.loads(conflict.value.body)["details"]["causes"][0]["field"] == ".data.a"
    forced = maps.server_side_apply({**body, "data": {"a": "2"}}, namespace=namespace, field_manager="two", force_conflicts=True)
    assert forced.data.to_dict() == {"a": "2"}
    assert [item.metadata.name for item in maps.get(namespace=namespace, field_selector="metadata.name=applied").items] == ["applied"]


def test_create_from_dict_takes_several_kinds(api: client.ApiClient, namespace: str) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
    utils.create_from_dict(api, {"apiVersion": "v1", "kind": "List", "items": [service, deployment("web", replicas=1)]}, namespace=namespace)
    core = client.CoreV1Api(api)
    assert core.read_namespaced_service("web", namespace).spec.cluster_ip
    discovery = client.DiscoveryV1Api(api)

    def ready_endpoints() -> list[str]:
        slices = discovery.list_namespaced_endpoint_slice(namespace, label_selector="kubernetes.io/service-name=web").items
        return [point.addresses[0] for one in slices for point in one.endpoints or [] if point.conditions.ready]

    assert len(eventually(ready_endpoints)) == 1


def test_events_tell_why_a_pod_is_not_scheduled(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    spec = {"nodeSelector": {"no": "where"}, "containers": [{"name": "m", "image": "busybox"}]}
    core.create_namespaced_pod(namespace, {"metadata": {"name": "p"}, "spec": spec})
    events = eventually(lambda: core.list_namespaced_event(namespace, field_selector="involvedObject.name=p,reason=FailedScheduling").items)
    assert "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector" in events[0].message
