"""Surroundings of the end-to-end tests: a Prefect server, and the lab or the cluster of --kubeconfig."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.cluster import Target
from tests.lab.labs import running_lab

SPEED = 100  # of the lab: a stage of a deployment takes some lab seconds


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def target(request: pytest.FixtureRequest, prefect_server: str) -> AsyncIterator[Target]:
    """The cluster, known to Prefect as block `lab`; with the lab also its storage, as block `lab-data`."""
    from blocks import Cluster
    from tasks.lab import register_lab

    if file := request.config.getoption("--kubeconfig"):
        text = await asyncio.to_thread(Path(file).read_text)
        context = request.config.getoption("--context")
        await Cluster(kubeconfig=text, context=context, description="--kubeconfig").save("lab", overwrite=True)
        yield Target(text, context, options=_options(request.config))
        return
    async with running_lab(speed=SPEED) as lab:
        await register_lab(lab.ready)
        yield Target(await asyncio.to_thread(Path(lab.kubeconfig).read_text), lab=lab, options=_options(request.config))


def _options(config: pytest.Config) -> dict[str, Any]:
    images = {kind: image for kind in ("node", "poet") if (image := config.getoption(f"--{'miner' if kind == 'node' else kind}-image"))}
    volumes: dict[str, Any] = {"kind": "ephemeral"} if config.getoption("--ephemeral") else {}
    if name := config.getoption("--storage-class"):
        volumes["storage_class"] = name
    return {**({"images": images} if images else {}), **({"volumes": volumes} if volumes else {})}


@pytest.fixture
def lab(target: Target) -> Target:
    """The lab, for tests that ask for trouble: no other cluster can be asked for that."""
    if target.lab is None:
        pytest.skip("needs the lab")
    return target


@pytest_asyncio.fixture(loop_scope="session")
async def network(target: Target, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A name for a network; whatever the test made of it is deleted afterwards."""
    from flows.delete_network import delete_network

    name = "t-" + request.node.name.split("[")[0].removeprefix("test_").replace("_", "-")[:30].strip("-")
    yield name
    target.no_faults()
    await delete_network(name, gone_within_minutes=3)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these run in one loop and are marked."""
    for item in items:
        if "tests/e2e/" in str(item.path):
            item.add_marker(pytest.mark.e2e)
            if inspect.iscoroutinefunction(getattr(item, "function", None)):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"))
