"""The small PoET, seen from outside."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from lab.faults import Fault
from tests.lab.programs.containers import Machine, Run, machine
from tests.lab.programs.test_go_spacemesh import config
from tests.lab.programs.test_go_spacemesh import start as start_node

IMAGE = "spacemeshos/poet:develop"
CONFIG = 'duration="1200s"\nn="21"\n'
FLAGS = ["--restlisten=0.0.0.0:5000", "--initialduration=800s", "--jsonlog", "--configfile=/etc/config/poet.conf"]


async def start(lab: Machine, *more: str, text: str | None = CONFIG, image: str = IMAGE, name: str = "poet-1") -> Run:
    files = {} if text is None else {"/etc/config/poet.conf": text}
    run = lab.run(name, image, ["/bin/poet", *FLAGS, *more], files)
    await run.until(lambda: run.task.done() or any("start" in line for line in run.lines))
    return run


async def activate(run: Run, gateways: list[str]) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.post(f"http://{run.ip}:5000/v1/start", json={"gatewayAddresses": gateways})


async def get(run: Run, path: str) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.get(f"http://{run.ip}:5000{path}")


async def test_is_activated_once_by_gateways_that_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.programs.poet.CONNECT_FLOOR", 0.5)
    async with machine(tmp_path) as lab:
        poet = await start(lab)
        before = await get(poet, "/v1/info")
        assert (before.status_code, before.json()["message"]) == (500, "service not started")
        nobody = lab.block.take_pod()
        refused = await activate(poet, [f"{nobody}:6000"])
        assert refused.status_code == 500
        assert f"failed to connect to gateway grpc server {nobody}:6000" in refused.json()["message"]
        assert (await activate(poet, [])).status_code == 500
        node = start_node(lab, "miner-1", config())
        await node.until_line("app started")
        assert (await activate(poet, [f"{node.ip}:6000", f"{nobody}:6000"])).status_code == 200
        again = await activate(poet, [f"{node.ip}:6000"])
        assert (again.status_code, again.json()["message"]) == (500, "already started")
        assert (await get(poet, "/v1/info")).json()["servicePubKey"]


async def test_new_releases_start_by_themselves(tmp_path: Path) -> None:
    async with machine(tmp_path) as lab:
        poet = await start(lab, image="spacemeshos/poet:v0.10.2", text=None)
        assert (await activate(poet, ["127.0.0.1:1"])).status_code == 404
        assert (await get(poet, "/v1/info")).json()["openRoundId"]
        assert "challenge" in (await get(poet, "/v1/pow_params")).json()["powParams"]


@pytest.mark.parametrize(
    ("text", "more", "reason"),
    [
        (None, [], 'invalid duration ""'),
        ('duration="soon"\n', [], 'invalid duration "soon"'),
        ('duration="10s"\nx=1\n', [], "/etc/config/poet.conf:2: unknown option: x"),
        ('duration="10s"\nn=many\n', [], "strconv.ParseInt"),
        (CONFIG, ["--what"], "unknown flag `what'"),
        (CONFIG, ["--n=0"], "n must be positive"),
    ],
)
async def test_refuses_what_it_cannot_use(tmp_path: Path, text: str | None, more: list[str], reason: str) -> None:
    async with machine(tmp_path) as lab:
        poet = await start(lab, *more, text=text)
        assert await poet.task == 1
        assert reason in poet.lines[-1]


async def test_faults(tmp_path: Path) -> None:
    async with machine(tmp_path) as lab:
        lab.faults.add(Fault("program", "net/poet-1", "refuse-activation", {"status": 503}, times=1))
        poet = await start(lab)
        assert (await activate(poet, [])).status_code == 503
        assert (await activate(poet, [])).status_code == 500
        lab.faults.add(Fault("program", "net/poet-2", "crash", {"code": 9}))
        assert await (await start(lab, name="poet-2")).task == 9
