"""What a recording depends on and does not show: accounts and rights given another way, a webhook that never answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.lab.replay.bindings import Bindings
from tests.lab.replay.transport import Transport

ACCOUNT = "/api/v1/namespaces/flt/serviceaccounts"
RIGHTS = {
    "metadata": {"name": "low"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
    "subjects": [{"kind": "ServiceAccount", "name": "low", "namespace": "flt"}],
}
WEBHOOK_PORT = "19999"


class Unrecorded:
    """Nothing, for most scenarios."""

    async def before(self, n: int) -> None:
        """Do what was done before a request, another way."""


class Faults(Unrecorded):
    """Scenario 15: an account without rights gets some later, and a webhook hangs up at last."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.hang_up = asyncio.Event()

    async def before(self, n: int) -> None:
        if n == 1:
            await self.transport.post(ACCOUNT, {"metadata": {"name": "low"}})
            self.transport.tokens["bad token"] = "nobody-has-this"
            self.transport.tokens["service account"] = await self.transport.token(f"{ACCOUNT}/low/token")
        if n == 39:
            await self.transport.post("/apis/rbac.authorization.k8s.io/v1/namespaces/flt/rolebindings", RIGHTS)
        if n == 59:
            self.hang_up.set()


@asynccontextmanager
async def unrecorded(scenario: str, transport: Transport, bindings: Bindings) -> AsyncIterator[Unrecorded]:
    """What stands around a scenario."""
    if scenario != "15":
        yield Unrecorded()
        return

    faults = Faults(transport)

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the call, say nothing, and hang up when the recorded one had done so."""
        with contextlib.suppress(asyncio.CancelledError):
            await faults.hang_up.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    bindings.words[WEBHOOK_PORT] = str(server.sockets[0].getsockname()[1])
    try:
        yield faults
    finally:
        server.close()
