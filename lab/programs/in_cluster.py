"""The Kubernetes API for programs in pods, by the way that a pod has: the service `kubernetes`, and its service account's token."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp

from lab.addresses import real_port
from lab.programs.program import Container

Obj = dict[str, Any]

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class ApiRefused(Exception):
    """The API server's answer is a refusal."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class InCluster:
    """A small client. Use it as a context."""

    def __init__(self, container: Container) -> None:
        host, port = container.env.get("KUBERNETES_SERVICE_HOST", ""), container.env.get("KUBERNETES_SERVICE_PORT", "")
        token = container.path(f"{_ACCOUNT}/token")
        if not host or not token.is_file():
            raise ApiRefused(0, "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined")
        self.namespace = container.namespace
        self._url = f"https://{host}:{real_port(int(port))}"
        authority = container.path(f"{_ACCOUNT}/ca.crt")
        self._tls = ssl.create_default_context(cafile=str(authority))
        agent = container.argv[0].rpartition("/")[2] if container.argv else "pod"
        self._headers = {"Authorization": f"Bearer {token.read_text()}", "User-Agent": agent}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> InCluster:
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(sock_connect=10))
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Obj:
        """One request; ApiRefused for a refusal, aiohttp's errors when there is no answer."""
        assert self._session is not None
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type} if body is not None else {}
        async with self._session.request(method, self._url + path, data=data, headers=headers, ssl=self._tls) as answer:
            found: Obj = await answer.json(content_type=None)
        if answer.status >= 400:
            raise ApiRefused(answer.status, str(found.get("message", answer.reason)))
        return found

    async def apply(self, path: str, obj: Obj, manager: str) -> Obj:
        """Server-side apply of what this program owns."""
        return await self.call("PATCH", f"{path}?fieldManager={manager}&force=true", obj, APPLY)

    async def follow(self, path: str, changed: Callable[[dict[tuple[str, str], Obj]], None]) -> None:
        """Keep up with a collection until cancelled: `changed` gets all of it, by namespace and name, after the list and after every event."""
        while True:
            try:
                found = await self.call("GET", path)
                objects = {_key(obj): obj for obj in found["items"]}
                changed(objects)
                await self._watch(path, found["metadata"]["resourceVersion"], objects, changed)
            except (ApiRefused, aiohttp.ClientError, OSError, ValueError):
                await asyncio.sleep(1)

    async def _watch(self, path: str, version: str, objects: dict[tuple[str, str], Obj], changed: Callable[..., None]) -> None:
        assert self._session is not None
        query = f"{'&' if '?' in path else '?'}watch=true&resourceVersion={version}&timeoutSeconds=3600"
        async with self._session.get(self._url + path + query, ssl=self._tls) as answer:
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] == "DELETED":
                    objects.pop(_key(event["object"]), None)
                else:
                    objects[_key(event["object"])] = event["object"]
                changed(objects)


def _key(obj: Obj) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
