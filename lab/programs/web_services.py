"""The backends of the explorer and the dashboard: healthy, and able to say what network they are about; what they collect is not there."""

from __future__ import annotations

import json

from aiohttp import WSMsgType, web

from lab.programs.http_program import Answer, HttpProgram, Route, as_json
from lab.programs.program import Container


class ExplorerApi(HttpProgram):
    """explorer-apiserver, port 5000. It needs to be told where its database is."""

    port = 5000

    def routes(self) -> list[Route]:
        """Health, and empty lists."""
        return [
            ("GET|HEAD", "/healthz", self._health),
            ("GET", "/synced", self._health),
            ("GET", "/network-info", self._network),
            ("GET", "/(?:epochs|layers|smeshers|apps|accounts|txs|rewards|address)", self._nothing),
        ]

    async def started(self, container: Container) -> bool:
        """Look for the database's address."""
        return has_database(container)

    async def _health(self, _request: web.BaseRequest) -> Answer:
        return web.Response(text="OK")

    async def _network(self, _request: web.BaseRequest) -> Answer:
        return as_json({"network": {"genesisid": "", "issynced": True, "toplayer": 0}})

    async def _nothing(self, _request: web.BaseRequest) -> Answer:
        return as_json({"data": [], "pagination": {"totalCount": 0, "pageCount": 0, "perPage": 20, "hasNext": False, "hasPrevious": False}})


class DashApi(ExplorerApi):
    """dash-backend, port 8080: health, and a web socket at /ws that greets."""

    port = 8080

    def routes(self) -> list[Route]:
        """Health and the socket."""
        return [("GET|HEAD", "/healthz", self._health), ("GET|HEAD", "/", self._health), ("GET", "/ws", self._socket)]

    async def _socket(self, request: web.BaseRequest) -> Answer:
        socket = web.WebSocketResponse()
        if not socket.can_prepare(request).ok:
            return web.Response(status=400, text="Bad Request\n")
        await socket.prepare(request)
        await socket.send_str(json.dumps({"network": "lab", "layer": 0, "epoch": 0}))
        async for message in socket:
            if message.type is WSMsgType.CLOSE:
                break
        return socket


class Collector(HttpProgram):
    """explorer-collector: runs beside a node and serves its health alone, port 8000."""

    port = 8000

    def routes(self) -> list[Route]:
        """Health."""
        return [("GET|HEAD", "/healthz", self._health)]

    async def started(self, container: Container) -> bool:
        """Look for the database's address."""
        return has_database(container)

    async def _health(self, _request: web.BaseRequest) -> Answer:
        return web.Response(text="OK")


def has_database(container: Container) -> bool:
    """Whether SPACEMESH_MONGO_URI names a database that the cluster's DNS knows; says so when it does not."""
    address = container.env.get("SPACEMESH_MONGO_URI", "mongodb://localhost:27017")
    host = address.removeprefix("mongodb://").partition("/")[0].rpartition("@")[2].partition(":")[0]
    if not address.startswith("mongodb://") or not host:
        container.log(f"error parsing uri: scheme must be mongodb: {address}")
        return False
    if host != "localhost" and not container.resolve(host):
        container.log(f"server selection error: lookup {host}: no such host")
        return False
    container.log(f"connected to {address}")
    return True
