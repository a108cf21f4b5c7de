"""What was there before a scenario began: namespaces that it uses and does not make."""

from __future__ import annotations

import asyncio
import re

from tests.lab.replay.transcript import Record, load
from tests.lab.replay.transport import Transport

NAMESPACE = re.compile(r"^/(?:api/v1|apis/[^/]+/[^/]+)(?:/watch)?/namespaces/([^/?]+)/")
ALWAYS_THERE = {"default", "kube-system", "kube-public", "kube-node-lease"}
NEVER_THERE = {"no-such-ns"}


def namespaces(scenario: str) -> list[str]:
    """Namespaces that have to be made before the first request."""
    records = load(scenario)
    used = {found[1] for record in records if (found := NAMESPACE.match(record.path)) and record.status != 404}
    made = {_made(record) for record in records}
    return sorted(used - made - ALWAYS_THERE - NEVER_THERE)


def _made(record: Record) -> str | None:
    if record.method == "POST" and record.path.split("?")[0] == "/api/v1/namespaces" and isinstance(record.body, dict):
        return record.body.get("metadata", {}).get("name")
    if record.method == "PATCH" and record.status == 201 and (found := re.fullmatch(r"/api/v1/namespaces/([^/?]+)(\?.*)?", record.path)):
        return found[1]
    return None


async def prepare(scenario: str, transport: Transport) -> None:
    """Makes the namespaces and waits for what controllers put there."""
    for name in namespaces(scenario):
        await transport.post("/api/v1/namespaces", {"metadata": {"name": name}})
    for name in namespaces(scenario):
        for path in (f"/api/v1/namespaces/{name}/serviceaccounts/default", f"/api/v1/namespaces/{name}/configmaps/kube-root-ca.crt"):
            for _ in range(100):
                if await transport.get(path):
                    break
                await asyncio.sleep(0.02)
