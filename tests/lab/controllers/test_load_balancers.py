"""Services of type LoadBalancer: addresses given, asked for, and taken back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from lab.controllers.load_balancers import FINALIZER, LoadBalancerController
from lab.kubernetes.kinds import EVENT, SERVICE
from tests.lab.controllers.world import Cluster, cluster

Obj = dict[str, Any]
ADDRESSES = ("127.9.15.1", "127.9.15.2")


@asynccontextmanager
async def cloud() -> AsyncIterator[Cluster]:
    """A cluster in a cloud that has two addresses."""
    async with cluster(speed=1000) as lab:
        task = asyncio.create_task(LoadBalancerController(lab.registry, ADDRESSES).run())
        try:
            yield lab
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def balanced(lab: Cluster, name: str, **spec: Any) -> None:
    body = {"metadata": {"name": name}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], **spec}}
    lab.registry.create(SERVICE, body, "demo")


def address(lab: Cluster, name: str) -> str | None:
    ingress = lab.registry.get(SERVICE, "demo", name)["status"]["loadBalancer"].get("ingress")
    return ingress[0]["ip"] if ingress else None


def reasons(lab: Cluster, name: str) -> list[str]:
    return [event["reason"] for event in lab.registry.list(EVENT, "demo") if event["involvedObject"]["name"] == name]


async def test_a_service_gets_an_address_and_keeps_it() -> None:
    async with cloud() as lab:
        balanced(lab, "web")
        await lab.until(lambda: address(lab, "web") == ADDRESSES[0])
        assert lab.registry.get(SERVICE, "demo", "web")["metadata"]["finalizers"] == [FINALIZER]
        assert reasons(lab, "web") == ["EnsuringLoadBalancer", "EnsuredLoadBalancer"]
        balanced(lab, "other")
        await lab.until(lambda: address(lab, "other") == ADDRESSES[1])


async def test_an_address_can_be_asked_for_once() -> None:
    async with cloud() as lab:
        balanced(lab, "web", loadBalancerIP=ADDRESSES[1])
        await lab.until(lambda: address(lab, "web") == ADDRESSES[1])
        balanced(lab, "late", loadBalancerIP=ADDRESSES[1])
        await lab.until(lambda: "SyncLoadBalancerFailed" in reasons(lab, "late"))
        lab.registry.delete(SERVICE, "demo", "web")
        await lab.until(lambda: address(lab, "late") == ADDRESSES[1])
        assert lab.registry.find(SERVICE, "demo", "web") is None


async def test_other_classes_are_left_alone_and_other_types_give_it_back() -> None:
    async with cloud() as lab:
        balanced(lab, "theirs", loadBalancerClass="example.com/other")
        balanced(lab, "web")
        await lab.until(lambda: address(lab, "web") is not None)
        assert "finalizers" not in lab.registry.get(SERVICE, "demo", "theirs")["metadata"]
        lab.registry.modify(SERVICE, "demo", "web", lambda one: one["spec"].update(type="ClusterIP"))
        await lab.until(lambda: not lab.registry.get(SERVICE, "demo", "web")["metadata"].get("finalizers"))
        assert address(lab, "web") is None


async def test_outside_a_cloud_a_service_waits() -> None:
    async with cluster(speed=1000) as lab:
        balanced(lab, "web")
        await lab.settle()
        assert (address(lab, "web"), reasons(lab, "web")) == (None, [])
