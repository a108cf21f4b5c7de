"""A whole lab as people start it: a process that comes up, says where everything is, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from lab.config import LabConfig
from lab.world import World, WorldError

ROOT = Path(__file__).parents[2]
SECONDS = 60.0


@asynccontextmanager
async def lab_process(tmp_path: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m lab` with its temporary files below tmp_path."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lab", *arguments,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def ready(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout
    line = await asyncio.wait_for(process.stdout.readline(), SECONDS)
    assert line, (await process.stderr.read()).decode() if process.stderr else ""
    return dict(json.loads(line))


async def end(process: asyncio.subprocess.Process) -> tuple[int, str]:
    _, errors = await asyncio.wait_for(process.communicate(), SECONDS)
    return process.returncode or 0, errors.decode()


def children(process: asyncio.subprocess.Process) -> list[psutil.Process]:
    return list(psutil.Process(process.pid).children(recursive=True))


def sleeping_pod() -> dict[str, Any]:
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", "echo up; sleep 1000"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sleeper"}, "spec": spec}


async def start_pod(addresses: dict[str, Any]) -> None:
    """A pod that runs a real process, running."""
    async with httpx.AsyncClient(base_url=addresses["kubernetes"], headers={"Authorization": f"Bearer {addresses['token']}"}) as http:
        pods = "/api/v1/namespaces/default/pods"
        for _ in range(200):  # the account of the namespace comes a moment after it
            answer = await http.post(pods, json=sleeping_pod())
            if answer.status_code == 201:
                break
            await asyncio.sleep(0.05)
        assert answer.status_code == 201, answer.text
        for _ in range(400):
            found = (await http.get(f"{pods}/sleeper")).json()
            if found["status"]["phase"] == "Running":
                return
            await asyncio.sleep(0.05)
        raise AssertionError(found)


@pytest.mark.parametrize("how", ["TERM", "INT", "shutdown"])
async def test_leaves_no_process_and_no_file(tmp_path: Path, how: str) -> None:
    async with lab_process(tmp_path, "--speed", "20", "--nodes", "1") as process:
        addresses = await ready(process)
        assert Path(addresses["kubeconfig"]).exists()
        await start_pod(addresses)
        inside = children(process)
        assert len(inside) >= 2  # the storage server and the pod's shell
        if how == "shutdown":
            async with httpx.AsyncClient() as http:
                await http.post(f"{addresses['control']}/shutdown")
        else:
            process.send_signal(getattr(signal, f"SIG{how}"))
        assert await end(process) == (0, "")
        assert [child for child in inside if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
        assert list(tmp_path.iterdir()) == []


async def test_a_killed_lab_takes_its_processes_with_it(tmp_path: Path) -> None:
    async with lab_process(tmp_path, "--speed", "20", "--nodes", "1") as process:
        await start_pod(await ready(process))
        inside = children(process)
        process.kill()
        await end(process)
        _, alive = await asyncio.to_thread(psutil.wait_procs, inside, 10)
        assert alive == []


@pytest.mark.parametrize("seconds", [0.3, 0.8, 1.2])
async def test_told_to_stop_while_it_starts(tmp_path: Path, seconds: float) -> None:
    async with lab_process(tmp_path) as process:
        await asyncio.sleep(seconds)
        process.send_signal(signal.SIGTERM)
        code, _ = await end(process)
        assert code in (0, -signal.SIGTERM)  # before Python has come as far as the lab, the signal just ends it
        assert list(tmp_path.iterdir()) == []


async def test_a_taken_port_is_an_error_that_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with lab_process(tmp_path, "--port", str(port)) as process:
            code, errors = await end(process)
    assert code == 1
    assert errors == f"python -m lab: the Kubernetes API cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert list(tmp_path.iterdir()) == []


async def test_options_that_cannot_be_used(tmp_path: Path) -> None:
    async with lab_process(tmp_path, "--speed", "0", "--node-cpu", "x") as process:
        code, errors = await end(process)
    assert code == 2
    assert "--speed must be above 0" in errors
    assert "--node-cpu must be a Kubernetes quantity" in errors


async def test_ready_file_and_state_directory(tmp_path: Path) -> None:
    state, ready_file = tmp_path / "state", tmp_path / "ready.json"
    async with lab_process(tmp_path, "--state-dir", str(state), "--ready-file", str(ready_file), "--no-storage", "--node-names", "a,b") as process:
        addresses = await ready(process)
        assert json.loads(ready_file.read_text()) == addresses
        assert addresses["kubeconfig"] == str(state / "kubeconfig")
        assert "storage" not in addresses
        async with httpx.AsyncClient() as http:
            seen = (await http.get(f"{addresses['control']}/state")).json()
        assert [(node["name"], "ExternalIP" in node["addresses"]) for node in seen["nodes"]] == [("a", True), ("b", True)]
        process.send_signal(signal.SIGTERM)
        assert await end(process) == (0, "")
        assert list(tmp_path.iterdir()) == []


async def test_two_labs_side_by_side(tmp_path: Path) -> None:
    async with lab_process(tmp_path, "--no-storage") as first, lab_process(tmp_path, "--no-storage") as second:
        one, two = await ready(first), await ready(second)
        assert one["kubernetes"] != two["kubernetes"]
        async with httpx.AsyncClient() as http:
            nodes = [(await http.get(f"{lab['control']}/state")).json()["nodes"][0]["addresses"]["InternalIP"] for lab in (one, two)]
        assert nodes[0] != nodes[1]


async def test_ends_soon_though_clients_watch(tmp_path: Path) -> None:
    async with lab_process(tmp_path, "--no-storage") as process:
        addresses = await ready(process)
        headers = {"Authorization": f"Bearer {addresses['token']}"}
        async with (
            httpx.AsyncClient(base_url=addresses["kubernetes"], headers=headers) as http,
            http.stream("GET", "/api/v1/nodes?watch=true") as watch,
        ):
            lines = watch.aiter_lines()
            assert json.loads(await anext(lines))["type"] == "ADDED"
            process.send_signal(signal.SIGTERM)
            assert await end(process) == (0, "")


async def test_a_part_that_fails_ends_the_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("out of ideas")

    monkeypatch.setattr("lab.cluster.run_controllers", broken)
    world = World(LabConfig(storage=False, outside=False, state_dir=tmp_path / "state"))
    try:
        await world.start()
        with pytest.raises(WorldError, match="controllers ended: RuntimeError\\('out of ideas'\\)"):
            await world.run()
    finally:
        await world.stop()
    assert list(tmp_path.iterdir()) == []
