"""Talking to PoET servers over their REST interface."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import httpx

from networks.errors import Permanent, Transient

_LIMITS = httpx.Timeout(20.0, connect=5.0)


class Activation(StrEnum):
    """How a PoET came to run."""

    ACTIVATED = "activated"
    ALREADY = "already active"
    BY_ITSELF = "starts by itself"


class PoetServer:
    """One PoET, by its public address (`host:port`). `via`: where it is asked, when that is not the way."""

    def __init__(self, address: str, client: httpx.AsyncClient, via: str = "") -> None:
        self.address = address
        self._via = via or address
        self._client = client

    async def activate(self, gateways: list[str]) -> Activation:
        """Give it its gateways, the gRPC addresses of miners. Old PoETs wait for that; newer ones do not know the call, and need none.

        Permanent, with what the PoET says, when it refuses. Safe to repeat: a PoET that runs says so.
        """
        answer = await self._ask("POST", "/v1/start", {"gatewayAddresses": gateways})
        if answer.status_code in (404, 405, 501):
            await self.info()  # what listens there must be a PoET all the same
            return Activation.BY_ITSELF
        if answer.is_success:
            return Activation.ACTIVATED
        said = _said(answer)
        if "already" in said.lower():
            return Activation.ALREADY
        raise Permanent(
            f"PoET {self.address} refuses to be activated",
            why=f"it answered {answer.status_code}: {said}",
            advice=f"check that the PoET can reach these gateways from inside the cluster: {', '.join(gateways)}",
        )

    async def info(self) -> dict[str, Any]:
        """What it says of itself."""
        answer = await self._ask("GET", "/v1/info")
        try:
            info = answer.json() if answer.is_success else None
        except ValueError:
            info = None
        if not isinstance(info, dict):
            raise Permanent(
                f"{self.address} does not answer /v1/info as a PoET does", why=f"{answer.status_code}: {_said(answer)}", advice="check the PoET image"
            )
        return info

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        what = f"PoET {self.address} did not answer {path}"
        try:
            answer = await self._client.request(method, f"http://{self._via}{path}", json=body)
        except httpx.TransportError as error:
            why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            advice = "check that the cluster's machines can be reached on their node ports from where the flow runs"
            raise Transient(what, why=why, advice=advice) from None
        if answer.status_code in (429, 502, 503, 504):
            wait = answer.headers.get("Retry-After", "")
            raise Transient(what, why=f"{answer.status_code}: {_said(answer)}", retry_after=float(wait) if wait.isdecimal() else None)
        return answer


def poet_client() -> httpx.AsyncClient:
    """An HTTP client for PoETs. They stand on the cluster's machines, never behind a web proxy."""
    return httpx.AsyncClient(timeout=_LIMITS, trust_env=False)


def _said(answer: httpx.Response) -> str:
    return " ".join(answer.text.split())[:500] or "nothing"
