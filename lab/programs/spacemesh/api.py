"""The node's API: gRPC, the same as JSON over HTTP, and metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from aiohttp import web
from google.protobuf import json_format
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError

from lab.programs.spacemesh.ledger import Ledger
from lab.programs.spacemesh.messages import PACKAGE, messages


class NodeView(Protocol):
    """What the API shows of a node."""

    identity: str
    version: str
    ledger: Ledger

    def status(self) -> dict[str, Any]:
        """Peers, layers and whether it is synced."""
        ...

    def listen_addresses(self) -> list[str]:
        """Where p2p listens."""
        ...


Method = Callable[[Any], Any]

_GRPC_ONLY = {"DebugService/NetworkInfo"}  # spacemeshos/api gives it no HTTP path (spacemesh/v1/api_config.yaml)


class NodeApi:
    """The methods, by `Service/Method`; `address` is the type that account addresses have."""

    def __init__(self, node: NodeView, address: str, services: tuple[str, ...], knows_network_info: bool) -> None:
        self._node = node
        self._bytes = address == "bytes"
        self._m = messages(address)
        m = self._m
        methods: dict[str, tuple[Method, Any, Any]] = {
            "NodeService/Status": (self._status, m.StatusRequest, m.StatusResponse),
            "NodeService/Version": (self._version, m.Empty, m.VersionResponse),
            "NodeService/Build": (self._build, m.Empty, m.BuildResponse),
            "DebugService/Accounts": (self._accounts, m.AccountsRequest, m.AccountsResponse),
            "DebugService/NetworkInfo": (self._network_info, m.Empty, m.NetworkInfoResponse),
        }
        if not knows_network_info:
            del methods["DebugService/NetworkInfo"]
        wanted = {f"{name}service" for name in services}
        self.methods = {path: m for path, m in methods.items() if not wanted or path.split("/")[0].lower() in wanted}

    def __mapping__(self) -> dict[str, Handler]:
        """What a grpclib server serves."""
        return {f"/{PACKAGE}.{path}": _unary(*method) for path, method in self.methods.items()}

    async def serve_json(self, request: web.BaseRequest) -> web.StreamResponse:
        """`POST /v1/node/status` and the like, as grpc-gateway answers them."""
        by_path = {_json_path(path): method for path, method in self.methods.items() if path not in _GRPC_ONLY}
        if request.path not in by_path:
            return _json_error(404, 5, "Not Found")
        if request.method != "POST":
            return _json_error(501, 12, "Method Not Allowed")
        call, request_type, _ = by_path[request.path]
        try:
            message = json_format.Parse(await request.text() or "{}", request_type(), ignore_unknown_fields=True)
        except json_format.ParseError as error:
            return _json_error(400, 3, str(error))
        answer = json_format.MessageToDict(call(message), always_print_fields_with_no_presence=True)
        return web.json_response(answer)

    async def serve_metrics(self, request: web.BaseRequest) -> web.StreamResponse:
        """Prometheus' text form."""
        if request.path != "/metrics":
            return web.Response(status=404, text="404 page not found\n")
        status = self._node.status()
        gauges = {
            "spacemesh_p2p_connected_peers": status["connected_peers"],
            "spacemesh_sync_synced": int(status["is_synced"]),
            "spacemesh_layers_top": status["top_layer"],
            "spacemesh_layers_verified": status["verified_layer"],
        }
        text = "".join(f"# TYPE {name} gauge\n{name} {value}\n" for name, value in gauges.items())
        return web.Response(body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    def _status(self, _request: Any) -> Any:
        m, status = self._m, self._node.status()
        layers = {name: m.LayerNumber(number=status[name]) for name in ("synced_layer", "top_layer", "verified_layer")}
        return m.StatusResponse(status=m.NodeStatus(connected_peers=status["connected_peers"], is_synced=status["is_synced"], **layers))

    def _version(self, _request: Any) -> Any:
        return self._m.VersionResponse(version_string=self._m.SimpleString(value=self._node.version))

    def _build(self, _request: Any) -> Any:
        return self._m.BuildResponse(build_string=self._m.SimpleString(value=self._node.version))

    def _network_info(self, _request: Any) -> Any:
        return self._m.NetworkInfoResponse(id=self._node.identity, listen_addresses=self._node.listen_addresses())

    def _accounts(self, _request: Any) -> Any:
        m = self._m
        answer = m.AccountsResponse()
        for address, balance in sorted(self._node.ledger.balances.items()):
            if self._bytes and address.startswith("s"):
                continue
            state = m.AccountState(balance=m.Amount(value=balance))
            shown = bytes.fromhex(address) if self._bytes else address
            answer.account_wrapper.append(m.Account(account_id=m.AccountId(address=shown), state_current=state, state_projected=state))
        return answer


def _unary(call: Method, request_type: Any, response_type: Any) -> Handler:
    async def handle(stream: Any) -> None:
        message = await stream.recv_message()
        if message is None:
            raise GRPCError(Status.INTERNAL, "no request")
        await stream.send_message(call(message))

    return Handler(handle, Cardinality.UNARY_UNARY, request_type, response_type)


def _json_path(path: str) -> str:
    service, _, method = path.partition("/")
    return f"/v1/{service.removesuffix('Service').lower()}/{method.lower()}"


def _json_error(status: int, code: int, message: str) -> web.Response:
    return web.Response(status=status, text=json.dumps({"code": code, "message": message, "details": []}), content_type="application/json")


async def serve_pprof(request: web.BaseRequest) -> web.StreamResponse:
    """The index of net/http/pprof; profiles themselves make no sense for a node that is not Go."""
    if request.path.rstrip("/") == "/debug/pprof":
        page = "<html><head><title>/debug/pprof/</title></head><body>profiles: goroutine heap profile</body></html>"
        return web.Response(text=page, content_type="text/html")
    return web.Response(status=404, text="404 page not found\n")
