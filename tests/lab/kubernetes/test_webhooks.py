"""Admission webhooks: asked about writes over HTTP, heard when they refuse, change or do not answer."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.lab.kubernetes.conftest import Api

Obj = dict[str, Any]

MAPS = "/api/v1/namespaces/default/configmaps"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1"


class Hook:
    """A webhook's server: `decide` gives the response for a request, without its uid."""

    def __init__(self) -> None:
        self.asked: list[Obj] = []
        self.decide: Callable[[Obj], Obj] = lambda request: {"allowed": True}
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.asked.append(review["request"])
        response = {"uid": review["request"]["uid"], **self.decide(review["request"])}
        return web.json_response({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})


@pytest_asyncio.fixture
async def hook() -> AsyncIterator[Hook]:
    """A webhook that allows everything."""
    hook = Hook()
    app = web.Application()
    app.router.add_post("/{path:.*}", hook.answer)
    async with TestServer(app) as server:
        hook.url = str(server.make_url("/check"))
        yield hook


async def configure(api: Api, hook: Hook, kind: str = "Validating", **more: Any) -> None:
    """Have the webhook asked about config maps."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
    webhook = {
        "name": "hook.example.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None", "rules": [rule],
        "clientConfig": {"url": hook.url}, **more,
    }  # fmt: skip
    path = f"{CONFIGURATIONS}/{kind.lower()}webhookconfigurations"
    status, answer = await api.ask("POST", path, {"metadata": {"name": "hook"}, "webhooks": [webhook]})
    assert status == 201, answer


async def test_a_refusal_is_told_in_the_webhooks_words(api: Api, hook: Hook) -> None:
    await configure(api, hook)
    hook.decide = lambda request: {"allowed": False, "status": {"code": 403, "message": "not today"}}
    status, body = await api.ask("POST", MAPS, {"metadata": {"name": "x"}})
    assert (status, body["message"]) == (403, 'admission webhook "hook.example.dev" denied the request: not today')
    assert (await api.ask("GET", f"{MAPS}/x"))[0] == 404


async def test_what_a_webhook_sees(api: Api, hook: Hook) -> None:
    await configure(api, hook)
    await api.ask("POST", MAPS, {"metadata": {"name": "x"}, "data": {"a": "1"}})
    await api.ask("PATCH", f"{MAPS}/x", {"data": {"a": "2"}}, Content_Type="application/merge-patch+json")
    await api.ask("DELETE", f"{MAPS}/x")
    told = [
        (one["operation"], (one["object"] or {}).get("data"), (one["oldObject"] or {}).get("data"), one["name"], one["namespace"])
        for one in hook.asked
    ]
    assert told == [
        ("CREATE", {"a": "1"}, None, "x", "default"),
        ("UPDATE", {"a": "2"}, {"a": "1"}, "x", "default"),
        ("DELETE", None, {"a": "2"}, "x", "default"),
    ]
    assert hook.asked[0]["userInfo"]["username"] == "lab-admin"


async def test_a_mutating_webhook_changes_what_is_stored(api: Api, hook: Hook) -> None:
    await configure(api, hook, "Mutating")
    patch = base64.b64encode(json.dumps([{"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}]).encode()).decode()
    hook.decide = lambda request: {"allowed": True, "patchType": "JSONPatch", "patch": patch}
    status, made = await api.ask("POST", MAPS, {"metadata": {"name": "x"}})
    assert (status, made["metadata"]["labels"]) == (201, {"seen": "yes"})
    body = {"metadata": {"labels": None}, "data": {"a": "1"}}
    status, changed = await api.ask("PATCH", f"{MAPS}/x", body, Content_Type="application/merge-patch+json")
    assert (status, changed["metadata"]["labels"], changed["data"]) == (200, {"seen": "yes"}, {"a": "1"})


@pytest.mark.parametrize(("policy", "expected"), [("Fail", 500), ("Ignore", 201)])
async def test_a_webhook_that_is_not_there(api: Api, hook: Hook, policy: str, expected: int) -> None:
    hook.url = "http://127.0.0.1:9/nobody"
    await configure(api, hook, failurePolicy=policy)
    status, body = await api.ask("POST", MAPS, {"metadata": {"name": "x"}})
    assert status == expected
    if expected == 500:
        assert body["message"].startswith('Internal error occurred: failed calling webhook "hook.example.dev": failed to call webhook: Post "http://')


async def test_selectors_and_rules_keep_a_webhook_out(api: Api, hook: Hook) -> None:
    await configure(
        api, hook, objectSelector={"matchLabels": {"judge": "me"}}, namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "default"}}
    )
    await api.ask("POST", MAPS, {"metadata": {"name": "x"}})
    await api.ask("POST", MAPS.replace("configmaps", "secrets"), {"metadata": {"name": "x", "labels": {"judge": "me"}}})
    await api.ask("POST", MAPS.replace("default", "kube-system"), {"metadata": {"name": "x", "labels": {"judge": "me"}}})
    assert hook.asked == []
    await api.ask("POST", MAPS, {"metadata": {"name": "y", "labels": {"judge": "me"}}})
    assert [one["name"] for one in hook.asked] == ["y"]
