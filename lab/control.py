"""The lab's own site: what is going on, for people and tests, and where they ask for trouble."""

from __future__ import annotations

import asyncio
import html
import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from lab.clock import Clock
from lab.faults import Faults, read_fault
from lab.kubernetes.kinds import NODE, POD
from lab.kubernetes.registry import Registry
from lab.outside.outside import Outside
from lab.outside.service import Service, SetupError
from lab.programs.spacemesh.ledger import networks


class Lab(Protocol):
    """What the site shows of a lab."""

    faults: Faults
    clock: Clock
    outside: Outside
    stopping: asyncio.Event

    @property
    def registry(self) -> Registry:
        """The cluster's objects."""
        ...

    @property
    def requests(self) -> Counter[tuple[str, str, str]]:
        """To the Kubernetes API, by user agent, verb and resource."""
        ...

    def addresses(self) -> dict[str, Any]:
        """Where everything is: the line printed when ready."""
        ...

    def shared(self) -> list[dict[str, Any]]:
        """What the programs of each cluster share."""
        ...

    def kubeconfig(self, cluster: str = "") -> str | None:
        """YAML; of a cluster that was made outside, by its name. None when there is none."""
        ...


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_control(lab: Lab) -> web.Application:
    """The site as an application."""
    site = _Site(lab)
    app = web.Application(middlewares=[_errors_as_json])
    app.router.add_get("/", site.page)
    app.router.add_get("/state", site.state)
    app.router.add_get("/networks", site.networks)
    app.router.add_get("/kubeconfig", site.kubeconfig)
    app.router.add_get("/requests", site.requests)
    app.router.add_get("/faults", site.list_faults)
    app.router.add_post("/faults", site.add_fault)
    app.router.add_delete("/faults", site.clear_faults)
    app.router.add_delete("/faults/{id}", site.remove_fault)
    app.router.add_get("/outside/{name}", site.show_outside)
    app.router.add_post("/outside/{name}", site.set_up_outside)
    app.router.add_post("/shutdown", site.shutdown)
    return app


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return web.json_response({"error": error.reason}, status=error.status)


class _Site:
    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    async def state(self, _request: web.Request) -> web.Response:
        return web.json_response(self._state())

    async def networks(self, _request: web.Request) -> web.Response:
        return web.json_response({"networks": self._networks()})

    async def requests(self, _request: web.Request) -> web.Response:
        """Requests to the Kubernetes API so far, the most frequent first."""
        rows = self._lab.requests.most_common()
        return web.json_response([{"user_agent": who, "verb": verb, "resource": what, "count": count} for (who, verb, what), count in rows])

    async def kubeconfig(self, request: web.Request) -> web.Response:
        found = self._lab.kubeconfig(request.query.get("cluster", ""))
        if found is None:
            raise web.HTTPNotFound(reason=f"there is no cluster {request.query['cluster']}")
        return web.Response(text=found, content_type="application/yaml")

    async def list_faults(self, _request: web.Request) -> web.Response:
        return web.json_response({"faults": [asdict(fault) for fault in self._lab.faults.all()]})

    async def add_fault(self, request: web.Request) -> web.Response:
        try:
            fault = self._lab.faults.add(read_fault(json.loads(await request.text() or "null")))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=422)
        return web.json_response(asdict(fault), status=201)

    async def clear_faults(self, _request: web.Request) -> web.Response:
        removed = len(self._lab.faults.all())
        self._lab.faults.clear()
        return web.json_response({"removed": removed})

    async def remove_fault(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        if not number.isdigit() or not self._lab.faults.remove(int(number)):
            return web.json_response({"error": f"there is no fault {number}"}, status=404)
        return web.json_response({"removed": 1})

    def _service(self, request: web.Request) -> Service:
        service = self._lab.outside.services.get(request.match_info["name"])
        if service is None or not service.url:
            raise web.HTTPNotFound(reason=f"there is no {request.match_info['name']} outside")
        return service

    async def show_outside(self, request: web.Request) -> web.Response:
        return web.json_response(self._service(request).show())

    async def set_up_outside(self, request: web.Request) -> web.Response:
        """What people do in a browser: zones, channels, repositories, tokens, limits."""
        service = self._service(request)
        try:
            wish = json.loads(await request.text() or "null")
            if not isinstance(wish, dict):
                raise SetupError("a wish is an object")
            service.set_up(wish)
        except (ValueError, TypeError, AttributeError) as error:
            return web.json_response({"error": str(error)}, status=422)
        return web.json_response(service.show())

    async def shutdown(self, _request: web.Request) -> web.Response:
        self._lab.stopping.set()
        return web.json_response({"stopping": True}, status=202)

    async def page(self, _request: web.Request) -> web.Response:
        return web.Response(text=_page(self._state(), self._networks()), content_type="text/html")

    def _networks(self) -> list[dict[str, Any]]:
        return [network for shared in self._lab.shared() for network in networks(shared, self._lab.clock)]

    def _state(self) -> dict[str, Any]:
        registry = self._lab.registry
        pods = [_pod_row(pod) for pod in registry.list(POD)]
        return {
            "addresses": self._lab.addresses(),
            "speed": self._lab.clock.speed,
            "memory": _resident_bytes(),
            "version": registry.store.version,
            "nodes": [_node_row(node) for node in registry.list(NODE)],
            "outside": {name: service.summary() for name, service in self._lab.outside.services.items() if service.url},
            "podsByPhase": dict(Counter(pod["phase"] for pod in pods)),
            "pods": pods,
            "faults": [asdict(fault) for fault in self._lab.faults.all()],
        }


def _pod_row(pod: dict[str, Any]) -> dict[str, Any]:
    status = pod.get("status", {})
    containers = status.get("containerStatuses") or []
    waiting = next((c["state"]["waiting"].get("reason") for c in containers if (c.get("state") or {}).get("waiting")), None)
    return {
        "namespace": pod["metadata"]["namespace"],
        "name": pod["metadata"]["name"],
        "node": pod["spec"].get("nodeName"),
        "ip": status.get("podIP"),
        "phase": status.get("phase", "Unknown"),
        "waiting": waiting,
        "ready": bool(containers) and all(c.get("ready") for c in containers),
        "restarts": sum(c.get("restartCount", 0) for c in containers),
        "images": [c["image"] for c in pod["spec"]["containers"]],
    }


def _node_row(node: dict[str, Any]) -> dict[str, Any]:
    status = node.get("status", {})
    return {
        "name": node["metadata"]["name"],
        "ready": any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", [])),
        "unschedulable": bool(node.get("spec", {}).get("unschedulable")),
        "addresses": {a["type"]: a["address"] for a in status.get("addresses", [])},
        "capacity": {k: v for k, v in status.get("capacity", {}).items() if k in ("cpu", "memory", "pods")},
    }


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# --- the page for people

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#223}
h1{font-size:1.5em}h2{font-size:1.1em;margin:1.6em 0 .4em}table{border-collapse:collapse;width:100%}
th{text-align:left;color:#667;font-weight:500}td,th{padding:.2em .9em .2em 0;border-bottom:1px solid #e4e6ee;vertical-align:top}
code{background:#f2f3f8;padding:.1em .3em;border-radius:3px}.bad{color:#b3261e}.good{color:#1b7f3b}.dim{color:#889}
"""


def _page(state: dict[str, Any], seen: list[dict[str, Any]]) -> str:
    addresses = state["addresses"]
    phases = ", ".join(f"{count} {phase}" for phase, count in sorted(state["podsByPhase"].items())) or "none"
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta http-equiv=refresh content=3><title>The lab</title>",
        f"<style>{_STYLE}</style></head><body><h1>The lab</h1>",
        f"<p>Time runs {state['speed']:g} times as fast. {state['memory'] / 2**20:.0f} MB in use. Pods: {html.escape(phases)}.</p>",
        "<h2>Addresses</h2>",
        _table(None, [(name, _code(value)) for name, value in addresses.items() if isinstance(value, (str, int)) and name != "token"]),
        f"<p>{_code('KUBECONFIG=' + str(addresses.get('kubeconfig', '')) + ' kubectl get pods -A')}</p>",
        "<h2>Outside</h2>",
        _table(None, [(f"<a href=outside/{name}>{name}</a>", _text(summary)) for name, summary in state["outside"].items()]),
        "<h2>Networks</h2>",
        _table(
            ("genesis", "network id", "layer", "verified", "nodes", "synced"),
            [_network_cells(network) for network in seen],
        ),
        "<h2>Nodes</h2>",
        _table(
            ("name", "ready", "addresses", "capacity"),
            [(_text(n["name"]), _yes(n["ready"]), _pairs(n["addresses"]), _pairs(n["capacity"])) for n in state["nodes"]],
        ),
        "<h2>Pods</h2>",
        _table(
            ("namespace", "name", "state", "ready", "restarts", "node", "address", "image"),
            [_pod_cells(pod) for pod in state["pods"]],
        ),
        "<h2>Faults</h2>",
        _table(
            ("id", "place", "target", "effect", "options", "hits", "left"),
            [_fault_cells(fault) for fault in state["faults"]],
        ),
        "<p class=dim>As JSON: <a href=state>state</a>, <a href=networks>networks</a>, <a href=faults>faults</a>.",
        "For clients: <a href=kubeconfig>kubeconfig</a>.</p>",
        "</body></html>",
    ]
    return "\n".join(parts)


def _network_cells(network: dict[str, Any]) -> tuple[str, ...]:
    nodes = list(network["nodes"].values())
    layer = str(network["currentLayer"]) if network["started"] else f"genesis in {network['secondsUntilGenesis']:.0f} s of lab time"
    verified = max((node["verified_layer"] for node in nodes), default=0)
    synced = sum(node["is_synced"] for node in nodes)
    return tuple(_text(v) for v in (network["genesis"], network["networkId"], layer, verified, len(nodes), synced))


def _pod_cells(pod: dict[str, Any]) -> tuple[str, ...]:
    shown = pod["waiting"] or pod["phase"]
    cells = (pod["namespace"], pod["name"], shown)
    rest = (pod["restarts"], pod["node"] or "", pod["ip"] or "", ", ".join(pod["images"]))
    return (*map(_text, cells), _yes(pod["ready"]), *map(_text, rest))


def _fault_cells(fault: dict[str, Any]) -> tuple[str, ...]:
    named = (fault[name] for name in ("id", "place", "target", "effect"))
    return tuple(_text(value) for value in (*named, fault["options"] or "", fault["hits"], _left(fault)))


def _left(fault: dict[str, Any]) -> str:
    return "until removed" if fault["times"] is None else str(fault["times"] - fault["hits"])


def _table(head: tuple[str, ...] | None, rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return "<p class=dim>none</p>"
    top = "<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in head) + "</tr>" if head else ""
    return f"<table>{top}" + "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows) + "</table>"


def _text(value: Any) -> str:
    return html.escape(str(value))


def _code(value: Any) -> str:
    text = html.escape(str(value))
    return f'<a href="{text}">{text}</a>' if text.startswith("http") else f"<code>{text}</code>"


def _pairs(values: dict[str, Any]) -> str:
    return html.escape(", ".join(f"{name} {value}" for name, value in values.items()))


def _yes(value: bool) -> str:
    return "<span class=good>yes</span>" if value else "<span class=bad>no</span>"
