"""The HTTP side that the transcripts do not show, or show only in passing: forms, order of checks, faults, counts."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from lab.faults import Fault
from lab.kubernetes.http import REQUESTS
from lab.kubernetes.kinds import CONFIG_MAP, DEPLOYMENT, EVENT, POD, ROLE, ROLE_BINDING
from tests.lab.kubernetes.conftest import Api

CONFIGS = "/api/v1/namespaces/demo/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
MERGE = "application/merge-patch+json"


async def test_objects_by_http(api: Api) -> None:
    status, made = await api.ask("POST", CONFIGS, {"metadata": {"name": "x"}, "data": {"a": "1"}})
    assert status == 201 and (made["kind"], made["apiVersion"]) == ("ConfigMap", "v1")
    status, listed = await api.ask("GET", CONFIGS)
    assert status == 200 and listed["kind"] == "ConfigMapList" and "kind" not in listed["items"][0]
    status, changed = await api.ask("PATCH", f"{CONFIGS}/x", {"data": {"b": "2"}}, Content_Type=MERGE)
    assert status == 200 and changed["data"] == {"a": "1", "b": "2"}
    status, gone = await api.ask("DELETE", f"{CONFIGS}/x")
    assert status == 200 and gone["details"] == {"name": "x", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert (await api.ask("GET", f"{CONFIGS}/x"))[0] == 404


async def test_the_field_manager_is_the_client(api: Api) -> None:
    body = {"metadata": {"name": "x"}, "data": {"a": "1"}}
    _, made = await api.ask("POST", CONFIGS, body, User_Agent="someone/1.2 (linux)")
    assert made["metadata"]["managedFields"][0]["manager"] == "someone"
    _, made = await api.ask("POST", f"{CONFIGS}?fieldManager=given", {**body, "metadata": {"name": "y"}})
    assert made["metadata"]["managedFields"][0]["manager"] == "given"


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/nosuch", 404, "404 page not found\n"),
        ("GET", "/apis/no.group", 404, "404 page not found\n"),
        ("GET", "/API/v1/pods", 404, "404 page not found\n"),
        ("GET", "/apis/apps/v9", 404, "the server could not find the requested resource"),
        ("GET", "/api/v1/nosuch", 404, "the server could not find the requested resource"),
        ("GET", f"{CONFIGS}/x/status", 404, "the server could not find the requested resource"),
        ("GET", "/api/v1/namespaces//configmaps/x", 400, "Namespace parameter required."),
        ("PUT", CONFIGS, 405, "the server does not allow this method on the requested resource"),
        ("POST", "/api/v1/configmaps", 405, "the server does not allow this method on the requested resource"),
        ("DELETE", "/api/v1/namespaces", 405, "the server does not allow this method on the requested resource"),
        ("GET", f"{CONFIGS}?timeout=abc", 400, 'invalid timeout specified in the request URL - time: invalid duration "abc"'),
    ],
)
async def test_paths(api: Api, method: str, path: str, status: int, text: str) -> None:
    code, body = await api.ask(method, path)
    assert (code, body if isinstance(body, str) else body["message"]) == (status, text)


async def test_a_slash_at_the_end_is_nothing(api: Api) -> None:
    for path in ("/version", "/api", "/apis/apps/v1", CONFIGS):
        assert await api.ask("GET", path) == await api.ask("GET", path + "/")


async def test_forms(api: Api) -> None:
    await api.ask("POST", CONFIGS, {"metadata": {"name": "x"}, "data": {"a": "1"}})
    _, table = await api.ask("GET", CONFIGS, Accept=f"{TABLE},application/json")
    assert [row["cells"][:2] for row in table["rows"]] == [["x", 1]]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    _, full = await api.ask("GET", f"{CONFIGS}?includeObject=Object", Accept=TABLE)
    assert full["rows"][0]["object"]["data"] == {"a": "1"}
    _, partial = await api.ask("GET", f"{CONFIGS}/x", Accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
    assert partial["kind"] == "PartialObjectMetadata" and "data" not in partial
    status, text = await api.ask("GET", f"{CONFIGS}/x", Accept="application/yaml")
    assert status == 200 and text.startswith("apiVersion: v1\ndata:\n  a: '1'\nkind: ConfigMap\n")
    assert (await api.ask("GET", CONFIGS, Accept="text/html"))[0] == 406


async def test_bodies(api: Api) -> None:
    assert (await api.ask("POST", CONFIGS, b"x", Content_Type="text/plain"))[0] == 415
    yaml_body = b"metadata: {name: y}\ndata: {when: 2026-01-01}\n"
    status, body = await api.ask("POST", CONFIGS, b'{"metadata":{"name":"y"},"data":{"a":"1","a":"2"}}', Content_Type="application/json")
    assert status == 201 and body["data"] == {"a": "2"}
    assert (await api.ask("PUT", f"{CONFIGS}/y", yaml_body, Content_Type="application/yaml"))[1]["data"] == {"when": "2026-01-01"}
    doubled = b'{"metadata":{"name":"z"},"data":{"a":"1","a":"2"}}'
    status, body = await api.ask("POST", f"{CONFIGS}?fieldValidation=Strict", doubled, Content_Type="application/json")
    assert status == 400 and 'duplicate field "data.a"' in body["message"]
    response = await api.raw("POST", CONFIGS, {"metadata": {"name": "w"}, "dta": {}})
    assert response.status == 201 and response.headers["Warning"] == '299 - "unknown field \\"dta\\""'
    assert (await api.ask("POST", CONFIGS, b"x" * (3 * 2**20 + 1), Content_Type="application/json"))[0] == 413
    assert (await api.ask("PATCH", f"{CONFIGS}/y", {"data": {}}, Content_Type="application/json"))[0] == 415


async def test_pages_are_of_one_snapshot(api: Api) -> None:
    for name in "abcde":
        api.registry.create(CONFIG_MAP, {"metadata": {"name": name}}, "demo")
    _, first = await api.ask("GET", f"{CONFIGS}?limit=2")
    assert first["metadata"]["remainingItemCount"] == 3
    api.registry.delete(CONFIG_MAP, "demo", "d")
    api.registry.create(CONFIG_MAP, {"metadata": {"name": "cc"}}, "demo")
    _, second = await api.ask("GET", f"{CONFIGS}?limit=2&continue={first['metadata']['continue']}")
    _, third = await api.ask("GET", f"{CONFIGS}?limit=2&continue={second['metadata']['continue']}")
    names = [item["metadata"]["name"] for page in (first, second, third) for item in page["items"]]
    assert names == ["a", "b", "c", "d", "e"] and "continue" not in third["metadata"]
    _, wide = await api.ask("GET", "/api/v1/serviceaccounts?limit=3")
    _, rest = await api.ask("GET", f"/api/v1/serviceaccounts?continue={wide['metadata']['continue']}")
    assert len(wide["items"]) == 3 and len(rest["items"]) == len(api.registry.list(api.registry.kinds.by_kind("v1", "ServiceAccount"))) - 3  # type: ignore[arg-type]


async def test_old_pages_are_gone_with_a_way_on(api: Api) -> None:
    for name in "abc":
        api.registry.create(CONFIG_MAP, {"metadata": {"name": name}}, "demo")
    _, first = await api.ask("GET", f"{CONFIGS}?limit=1")
    api.registry.delete(CONFIG_MAP, "demo", "b")
    api.registry.store.compact()
    status, gone = await api.ask("GET", f"{CONFIGS}?limit=1&continue={first['metadata']['continue']}")
    assert (status, gone["reason"]) == (410, "Expired")
    status, rest = await api.ask("GET", f"{CONFIGS}?continue={gone['metadata']['continue']}")
    assert status == 200 and [item["metadata"]["name"] for item in rest["items"]] == ["c"]


async def test_scale(api: Api) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "x"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    api.registry.create(DEPLOYMENT, {"metadata": {"name": "d"}, "spec": spec}, "demo")
    path = "/apis/apps/v1/namespaces/demo/deployments/d/scale"
    _, scale = await api.ask("GET", path)
    assert (scale["kind"], scale["spec"], scale["status"]) == ("Scale", {}, {"replicas": 0, "selector": "a=b"})
    status, scale = await api.ask("PATCH", path, {"spec": {"replicas": 3}}, Content_Type=MERGE)
    assert status == 200 and scale["spec"] == {"replicas": 3}
    assert api.registry.get(DEPLOYMENT, "demo", "d")["spec"]["replicas"] == 3
    scale["metadata"]["resourceVersion"] = "1"
    assert (await api.ask("PUT", path, scale))[0] == 409


async def test_binding_and_eviction(api: Api) -> None:
    api.registry.create(POD, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x"}]}}, "demo")
    path = "/api/v1/namespaces/demo/pods/p"
    body = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "node1"}}
    assert (await api.ask("POST", f"{path}/binding", body))[0] == 201
    assert api.registry.get(POD, "demo", "p")["spec"]["nodeName"] == "node1"
    assert (await api.ask("POST", f"{path}/binding", body))[0] == 409
    assert (await api.ask("POST", f"{path}/eviction", {"metadata": {"name": "p"}}))[0] == 201
    assert api.registry.get(POD, "demo", "p")["metadata"]["deletionTimestamp"]


async def test_the_same_events_in_two_versions(api: Api) -> None:
    about = {"kind": "Pod", "name": "p", "namespace": "demo"}
    api.registry.create(EVENT, {"metadata": {"name": "e"}, "involvedObject": about, "message": "hello", "reason": "R", "type": "Normal"}, "demo")
    _, seen = await api.ask("GET", "/apis/events.k8s.io/v1/namespaces/demo/events/e")
    assert (seen["apiVersion"], seen["note"], seen["regarding"]["name"]) == ("events.k8s.io/v1", "hello", "p") and "message" not in seen


# Who may


async def test_tokens(api: Api) -> None:
    assert (await api.ask("GET", "/version", token="nobody"))[0] == 401
    assert (await api.ask("GET", "/version", token=""))[0] == 200
    status, body = await api.ask("GET", CONFIGS, token="")
    assert status == 403 and body["message"].startswith('configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps"')


async def _account_token(api: Api) -> str:
    _, answer = await api.ask("POST", "/api/v1/namespaces/demo/serviceaccounts/default/token", {"spec": {"expirationSeconds": 3600}})
    token: str = answer["status"]["token"]
    return token


async def test_roles_are_evaluated(api: Api) -> None:
    token = await _account_token(api)
    assert (await api.ask("GET", CONFIGS, token=token))[0] == 403
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]
    api.registry.create(ROLE, {"metadata": {"name": "r"}, "rules": rules}, "demo")
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": "demo"}]
    api.registry.create(ROLE_BINDING, {"metadata": {"name": "b"}, "roleRef": ref, "subjects": subjects}, "demo")
    assert (await api.ask("GET", CONFIGS, token=token))[0] == 200
    assert (await api.ask("GET", "/api/v1/configmaps", token=token))[0] == 403
    assert (await api.ask("POST", CONFIGS, {"metadata": {"name": "x"}}, token=token))[0] == 403
    wanted: dict[str, Any] = {"spec": {"resourceAttributes": {"namespace": "demo", "resource": "configmaps", "verb": "list"}}}
    _, review = await api.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", wanted, token=token)
    reason = 'RBAC: allowed by RoleBinding "b/demo" of Role "r" to ServiceAccount "default/demo"'
    assert review["status"] == {"allowed": True, "reason": reason}
    wanted["spec"]["resourceAttributes"]["verb"] = "delete"
    assert (await api.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", wanted, token=token))[1]["status"] == {"allowed": False}


async def test_a_token_dies_with_its_account(api: Api) -> None:
    token = await _account_token(api)
    await api.ask("DELETE", "/api/v1/namespaces/demo/serviceaccounts/default")
    assert (await api.ask("GET", "/api", token=token))[0] == 401
    assert (await api.ask("GET", "/api", token=token[:-2] + "xx"))[0] == 401


async def test_acting_for_somebody(api: Api) -> None:
    status, body = await api.ask("GET", CONFIGS, Impersonate_User="jane")
    assert status == 403 and 'User "jane" cannot list' in body["message"]
    assert (await api.ask("GET", CONFIGS, Impersonate_User="jane", Impersonate_Group="system:masters"))[0] == 200
    assert "impersonate-on" in (await api.ask("GET", CONFIGS, token=await _account_token(api), Impersonate_User="jane"))[1]["message"]


# Faults and counts


async def test_overload(api: Api) -> None:
    api.faults.add(Fault("api", r"GET .*/configmaps", "status", {"code": 429, "retry_after": 2}, times=1))
    response = await api.raw("GET", CONFIGS)
    assert (response.status, response.headers["Retry-After"]) == (429, "2")
    assert await response.text() == "Too many requests, please try again later.\n"
    assert (await api.ask("GET", CONFIGS))[0] == 200


async def test_server_errors(api: Api) -> None:
    api.faults.add(Fault("api", "POST", "status", {"code": 500}, times=1, after=1))
    assert (await api.ask("POST", CONFIGS, {"metadata": {"name": "a"}}))[0] == 201
    status, body = await api.ask("POST", CONFIGS, {"metadata": {"name": "b"}})
    assert status == 500 and body["kind"] == "Status"
    assert (await api.ask("POST", CONFIGS, {"metadata": {"name": "b"}}))[0] == 201


@pytest.mark.parametrize(("effect", "done"), [("reset", False), ("reset-after", True)])
async def test_cut_connections(api: Api, effect: str, done: bool) -> None:
    api.faults.add(Fault("api", "POST", effect, times=1))
    with pytest.raises(aiohttp.ClientError):
        await api.ask("POST", CONFIGS, {"metadata": {"name": "a"}})
    assert (api.registry.find(CONFIG_MAP, "demo", "a") is not None) is done


async def test_answers_that_take_their_time(api: Api) -> None:
    api.faults.add(Fault("api", "GET", "hang", times=1))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(api.ask("GET", CONFIGS), 0.05)
    api.faults.add(Fault("api", "GET", "delay", {"seconds": 0.01}, times=1))
    assert (await api.ask("GET", CONFIGS))[0] == 200


async def test_requests_are_counted(api: Api) -> None:
    await api.ask("GET", CONFIGS, User_Agent="me")
    await api.ask("GET", f"{CONFIGS}/x", User_Agent="me")
    await api.ask("GET", f"{CONFIGS}/y", User_Agent="me")
    counts = api.client.app[REQUESTS] if api.client.app else {}
    assert {key: count for key, count in counts.items() if key[0] == "me"} == {("me", "list", "configmaps"): 1, ("me", "get", "configmaps"): 2}
