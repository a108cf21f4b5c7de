"""How Kibana and Filebeat reach Elasticsearch: by the names of the cluster's DNS, with the credentials they were given."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from typing import Any

import aiohttp

from lab.addresses import real_port
from lab.programs.program import Container


class Unreachable(Exception):
    """No answer from Elasticsearch."""


class ElasticClient:
    """Requests to the first host that answers."""

    def __init__(
        self, container: Container, hosts: Sequence[str], user: str = "", password: str = "", token: str = "", authority: str = "", check: bool = True
    ) -> None:
        self._container, self._hosts = container, hosts
        self._auth = aiohttp.BasicAuth(user, password) if user else None
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._tls: ssl.SSLContext | bool = False
        if check and any(host.startswith("https:") for host in hosts):
            file = container.path(authority) if authority else None
            try:
                self._tls = ssl.create_default_context(cafile=str(file) if file else None)
            except (OSError, ssl.SSLError) as error:
                raise Unreachable(f"{authority}: {error}") from None

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON; Unreachable when nobody answers."""
        problem = "no hosts"
        for host in self._hosts:
            match = re.fullmatch(r"(https?)://([^:/]+)(?::(\d+))?/?", host if "://" in host else f"http://{host}")
            addresses = self._container.resolve(match[2]) if match else []
            if not match or not addresses:
                problem = f"getaddrinfo ENOTFOUND {match[2] if match else host}"
                continue
            url = f"{match[1]}://{addresses[0]}:{real_port(int(match[3] or 9200))}{path}"
            try:
                async with (
                    aiohttp.ClientSession(
                        connector=aiohttp.TCPConnector(local_addr=self._container.source), timeout=aiohttp.ClientTimeout(total=30)
                    ) as session,
                    session.request(
                        method, url, json=body, auth=None if "Authorization" in headers else self._auth, headers=self._headers | headers,
                        ssl=self._tls, server_hostname=match[2] if match[1] == "https" and self._tls else None,
                    ) as answer,
                ):  # fmt: skip
                    return answer.status, await answer.json(content_type=None)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                problem = str(error)
        raise Unreachable(problem)
