"""Stopped in the middle: at once, and what was made is there to be found."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.e2e.cluster import Target

ROOT = Path(__file__).parents[2]


async def until_started(target: Target, namespace: str) -> None:
    """Until a miner's pod waits for its image."""
    async with asyncio.timeout(60):
        while not (target.has_namespace(namespace) and len(target.objects(namespace, "Pod")["Pod"]) >= 2):
            await asyncio.sleep(0.2)


async def test_cancelled_from_outside(lab: Target, network: str) -> None:
    """SIGTERM, as a worker or a person sends it: gone within ten seconds."""
    from prefect.settings import PREFECT_API_URL

    from flows.list_networks import list_networks

    lab.fault("program", f"{network}/miner-1", "slow-start", seconds=100000)
    command = [sys.executable, "-m", "flows.cli", "deploy-network", "--network.name", network]
    command += ["--network.miners.count", "3", "--network.miners.bootnodes", "1", "--network.poets.gateways", "2"]
    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stderr=asyncio.subprocess.DEVNULL)
    try:
        await until_started(lab, network)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) != 0
    finally:
        if process.returncode is None:
            process.kill()
    listed = next(one for one in (await list_networks()).networks if one.network == network)
    assert [row.name for row in listed.miners] == ["miner-1"]
    for kind, objects in lab.objects(network, "Deployment", "Service", "Secret", "PersistentVolumeClaim").items():
        assert objects, kind
        assert all(obj["metadata"]["labels"]["cosmodrome.dev/network"] == network for obj in objects)


async def test_cancelled_task(lab: Target, network: str) -> None:
    """asyncio's own cancelling stops the work before anything else happens."""
    from flows.deploy_network import deploy_network

    lab.fault("program", f"{network}/miner-1", "slow-start", seconds=100000)
    running = asyncio.create_task(deploy_network(lab.spec(network, miners=2, bootnodes=0, poets={"gateways": 1})))
    await until_started(lab, network)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=10)
    assert done
    written = len(lab.objects(network, "Deployment")["Deployment"])
    await asyncio.sleep(0.5)
    assert len(lab.objects(network, "Deployment")["Deployment"]) == written == 2
