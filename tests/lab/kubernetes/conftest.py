"""A registry with the namespaces of a cluster, and an API server over it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from lab.clock import Clock
from lab.faults import Faults
from lab.kubernetes.auth import Authenticator
from lab.kubernetes.bootstrap import bootstrap
from lab.kubernetes.http import make_app
from lab.kubernetes.kinds import NAMESPACE, SERVICE_ACCOUNT
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]


@pytest.fixture
def registry() -> Registry:
    """An empty cluster: namespaces `default`, `kube-system` and `demo`, with their accounts."""
    registry = Registry(Clock(100))
    for name in ("default", "kube-system", "demo"):
        registry.create(NAMESPACE, {"metadata": {"name": name}})
        registry.create(SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, name)
    return registry


class Api:
    """Talks to an API server of the test's own."""

    def __init__(self, client: TestClient[Any, Any], registry: Registry, faults: Faults, auth: Authenticator) -> None:
        self.client, self.registry, self.faults, self.auth = client, registry, faults, auth

    async def ask(self, method: str, path: str, body: Any = None, token: str = "lab-admin", **headers: str) -> tuple[int, Any]:
        """Status and body of an answer: JSON if it is, else text."""
        response = await self.raw(method, path, body, token, **headers)
        if "json" in response.headers.get("Content-Type", "") and "watch=" not in path:
            return response.status, await response.json(content_type=None)
        return response.status, await response.text()

    async def raw(self, method: str, path: str, body: Any = None, token: str = "lab-admin", **headers: str) -> ClientResponse:
        """The answer itself."""
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if isinstance(body, dict | list):
            return await self.client.request(method, path, json=body, headers=sent)
        return await self.client.request(method, path, data=body, headers=sent)


@pytest_asyncio.fixture
async def api(registry: Registry) -> AsyncIterator[Api]:
    """An API server over the registry."""
    bootstrap(registry)
    faults, auth = Faults(), Authenticator(registry)
    server = TestServer(make_app(registry, auth=auth, faults=faults))
    async with TestClient(server) as client:
        yield Api(client, registry, faults, auth)
