"""Asking many nodes: what does not answer in time stays unknown."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from tasks.spacemesh import asking, reach
from tasks.spacemesh.asking import Node, Told, ask_nodes
from tests.tasks.scripted import refuses, scripted_cluster

ID = "12D3KooWEFrCM5dYBL8KwsKyvTg4bFRnk5vCzCXtCbSJFLtn8v4V"


def node(grpc: str, name: str = "miner-1") -> Node:
    return Node("n", name, f"{name}-x", grpc, "10.0.0.1", 5001)


async def silence(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)
    writer.close()


async def test_nodes_that_never_answer_take_no_longer_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_ALL_SECONDS", 0.3)
    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with scripted_cluster(refuses(500, "InternalError", "never asked")) as (k8s, script):
        told, warnings = await asyncio.wait_for(ask_nodes(k8s, [node(address), node(address, "miner-2")]), 10)
    server.close()
    assert all(answer == Told() for answer in told.values())
    assert warnings == ()
    assert script.asked == []


async def test_without_any_way_to_a_node_its_log_tells_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> bool:
        return False

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/log"):
            return web.Response(text=f'{{"identity":"{ID}"}}')
        return refuses(403, "Forbidden", "no")

    monkeypatch.setattr(reach, "accepts", nothing)
    async with scripted_cluster(answer) as (k8s, _):
        asked = node("10.0.0.1:30001")
        told, warnings = await ask_nodes(k8s, [asked])
    assert told[asked] == Told(f"/ip4/10.0.0.1/tcp/5001/p2p/{ID}")
    assert len(warnings) == 1


async def test_nobody_to_ask() -> None:
    async with scripted_cluster(refuses(500, "InternalError", "never asked")) as (k8s, _):
        assert await ask_nodes(k8s, []) == ({}, ())
