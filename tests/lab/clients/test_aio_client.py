"""`kubernetes.aio`, unmodified, against the lab: what our own flows use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio import client, config, dynamic, watch
from kubernetes.aio.client.exceptions import ApiException

from tests.lab.clients.conftest import deployment
from tests.lab.labs import RunningLab


@pytest.fixture
async def aio(lab: RunningLab) -> AsyncIterator[client.ApiClient]:
    """The unmodified asynchronous client."""
    configuration = client.Configuration()
    await config.load_kube_config(lab.kubeconfig, client_configuration=configuration)
    async with client.ApiClient(configuration) as found:
        yield found


async def test_objects_are_made_read_changed_and_deleted(aio: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(aio)
    made = await core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="c"), data={"a": "1"}))
    same = await core.replace_namespaced_config_map("c", namespace, made)
    assert same.metadata.resource_version == made.metadata.resource_version
    patched = await core.patch_namespaced_config_map("c", namespace, {"data": {"a": None, "b": "2"}})
    assert patched.data == {"b": "2"}
    with pytest.raises(ApiException) as stale:
        await core.replace_namespaced_config_map("c", namespace, made)
    assert stale.value.status == 409
    with pytest.raises(ApiException) as twice:
        await core.create_namespaced_config_map(namespace, {"metadata": {"name": "c"}})
    assert '"reason":"AlreadyExists"' in twice.value.body
    await core.delete_namespaced_config_map("c", namespace)
    assert (await core.list_namespaced_config_map(namespace, field_selector="metadata.name=c")).items == []


async def test_many_requests_at_once(aio: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(aio)
    bodies = [{"metadata": {"name": f"c-{n:03}", "labels": {"many": "1"}}} for n in range(100)]
    await asyncio.gather(*(core.create_namespaced_config_map(namespace, body) for body in bodies))
    found = await core.list_namespaced_config_map(namespace, label_selector="many=1")
    assert [item.metadata.name for item in found.items] == [f"c-{n:03}" for n in range(100)]


async def test_watch_goes_on_from_a_list(aio: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(aio)
    await core.create_namespaced_config_map(namespace, {"metadata": {"name": "before"}})
    version = (await core.list_namespaced_config_map(namespace)).metadata.resource_version
    await core.create_namespaced_config_map(namespace, {"metadata": {"name": "after"}, "data": {"a": "1"}})
    await core.patch_namespaced_config_map("after", namespace, {"data": {"a": "2"}})
    await core.delete_namespaced_config_map("after", namespace)
    seen = []
    async with watch.Watch() as watching:
        options = {"resource_version": version, "timeout_seconds": 1, "field_selector": "metadata.name=after"}
        async for event in watching.stream(core.list_namespaced_config_map, namespace, **options):
            seen.append((event["type"], event["object"].metadata.name, event["object"].data["a"]))
    assert seen == [("ADDED", "after", "1"), ("MODIFIED", "after", "2"), ("DELETED", "after", "2")]


async def test_watch_from_a_version_that_is_forgotten_is_410(aio: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(aio)
    with pytest.raises(ApiException) as gone:
        async with watch.Watch() as watching:
            async for _ in watching.stream(core.list_namespaced_config_map, namespace, resource_version="1", timeout_seconds=5):
                pytest.fail("there is nothing to see")
    assert gone.value.status == 410


async def test_logs_of_a_deployment_and_its_end(aio: client.ApiClient, namespace: str) -> None:
    core, apps = client.CoreV1Api(aio), client.AppsV1Api(aio)
    command = "echo up; trap 'echo bye; exit 0' TERM; sleep 3600 & wait"
    await apps.create_namespaced_deployment(namespace, deployment("web", replicas=1, command=command))
    async with watch.Watch() as watching:
        async for event in watching.stream(core.list_namespaced_pod, namespace, label_selector="app=web", timeout_seconds=20):
            pod = event["object"]
            if any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or []):
                break
    follow = await core.read_namespaced_pod_log_without_preload_content(pod.metadata.name, namespace, follow=True)
    assert await asyncio.wait_for(follow.content.readline(), 10) == b"up\n"
    await apps.delete_namespaced_deployment("web", namespace, propagation_policy="Background")
    assert await asyncio.wait_for(follow.content.readline(), 10) == b"bye\n"
    follow.close()


async def test_paging_and_a_token_that_is_too_old(aio: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(aio)
    for number in range(3):
        await core.create_namespaced_secret(namespace, {"metadata": {"name": f"s{number}"}})
    first = await core.list_namespaced_secret(namespace, limit=1)
    assert first.metadata.remaining_item_count == 2
    second = await core.list_namespaced_secret(namespace, limit=1, _continue=first.metadata._continue)
    assert [item.metadata.name for item in first.items + second.items] == ["s0", "s1"]
    old = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6Miwic3RhcnQiOiIvczFcdTAwMDAifQ"  # {"v":"meta.k8s.io/v1","rv":2,"start":"/s1\u0000"}
    with pytest.raises(ApiException) as gone:
        await core.list_namespaced_secret(namespace, limit=1, _continue=old)
    assert gone.value.status == 410


async def test_server_side_apply(aio: client.ApiClient, namespace: str) -> None:
    found = await dynamic.DynamicClient(aio)
    deployments = await found.resources.get(api_version="apps/v1", kind="Deployment")

    async def apply(body: Any, manager: str, **options: Any) -> Any:
        return await deployments.server_side_apply(body, namespace=namespace, field_manager=manager, **options)

    first = await apply(deployment("web", replicas=0), "cosmodrome")
    again = await apply(deployment("web", replicas=0), "cosmodrome")
    assert again.metadata.generation == first.metadata.generation == 1
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 1}}
    with pytest.raises(ApiException) as conflict:
        await apply(body, "somebody")
    assert conflict.value.status == 409 and ".spec.replicas" in str(conflict.value.body)
    taken = await apply(body, "somebody", force_conflicts=True)
    assert taken.spec.replicas == 1 and taken.metadata.generation == 2
