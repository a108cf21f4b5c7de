"""The small node, seen from outside: by its log, gRPC, JSON and exit code."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from lab.addresses import real_port
from lab.faults import Fault
from lab.programs.spacemesh.messages import messages
from tests.lab.programs.containers import Machine, Run, machine

IMAGE = "spacemeshos/go-spacemesh-dev:d298a63"
M = messages("bytes")
COINBASE = "02" + "ab" * 32


def config(genesis_in: float = 600.0, bootnodes: list[str] | None = None, **main: Any) -> dict[str, Any]:
    genesis = datetime.now(UTC) + timedelta(seconds=genesis_in)
    values = {"genesis-time": genesis.isoformat(), "layer-duration-sec": 60, "layers-per-epoch": 2, "poet-server": "127.0.0.1:5000", **main}
    document: dict[str, Any] = {"main": {k: v for k, v in values.items() if v is not None}, "p2p": {"network-id": 205}}
    if bootnodes is not None:
        document["p2p"]["bootnodes"] = bootnodes
    return document


def command(number: int = 1, *more: str, coinbase: str = COINBASE) -> list[str]:
    return [
        "/bin/go-spacemesh", f"--listen=/ip4/0.0.0.0/tcp/{5000 + number}", "--json-server=true", "--config=/etc/config/config.json",
        "-d=/root/data/node", f"--smeshing-coinbase={coinbase}", "--smeshing-start=true", "--smeshing-opts-datadir=/root/data/post",
        "--log-encoder=json", "--grpc-port=6000", "--json-port=7000", "--metrics", "--metrics-push=http://push:9091", *more,
    ]  # fmt: skip


def start(
    lab: Machine, name: str, document: dict[str, Any], number: int = 1, *more: str, image: str = IMAGE, disk: str = "", coinbase: str = COINBASE
) -> Run:
    return lab.run(name, image, command(number, *more, coinbase=coinbase), {"/etc/config/config.json": json.dumps(document)}, disk)


async def identity_of(run: Run) -> str:
    return str(await run.until(lambda: next((line["identity"] for line in run.json_lines if "identity" in line), None), "an identity"))


async def call(run: Run, method: str, answer: Any, request: bytes = b"") -> Any:
    async with grpc.aio.insecure_channel(f"{run.ip}:6000") as channel:
        return await channel.unary_unary(f"/spacemesh.v1.{method}", response_deserializer=answer.FromString)(request, timeout=10, wait_for_ready=True)


async def status(run: Run) -> Any:
    return (await call(run, "NodeService/Status", M.StatusResponse)).status


async def until_status(run: Run, wanted: Any) -> Any:
    for _ in range(500):
        found = await status(run)
        if wanted(found):
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"status stays {found}; log {run.lines[-5:]}")


async def test_a_network_of_two_comes_up_and_its_layers_pass(tmp_path: Path) -> None:
    async with machine(tmp_path, speed=600) as lab:
        document = config(genesis_in=600)
        boot = start(lab, "miner-1", document)
        identity = await identity_of(boot)
        assert identity.startswith("12D3KooW")
        document["p2p"]["bootnodes"] = [f"/ip4/{boot.ip}/tcp/5001/p2p/{identity}"]
        other = start(lab, "miner-2", document, 2)
        seen = await until_status(other, lambda s: s.verified_layer.number >= 3)
        assert seen.connected_peers == 1
        assert seen.is_synced
        assert seen.top_layer.number >= seen.verified_layer.number
        assert (await status(boot)).connected_peers == 1
        info = await call(other, "DebugService/NetworkInfo", M.NetworkInfoResponse)
        assert info.id == await identity_of(other)
        version = await call(other, "NodeService/Version", M.VersionResponse)
        assert version.version_string.value == "d298a63"


async def test_balances_grow_with_the_layers(tmp_path: Path) -> None:
    async with machine(tmp_path, speed=2000) as lab:
        document = config(genesis_in=10)
        document["genesis"] = {"accounts": {"0xff083c9a22e05d3459b03f3dbed61c7ad6e0a209": 7}}
        boot = start(lab, "miner-1", document)
        await until_status(boot, lambda s: s.verified_layer.number >= 6)
        accounts = (await call(boot, "DebugService/Accounts", M.AccountsResponse)).account_wrapper
        found = {a.account_id.address.hex(): a.state_current.balance.value for a in accounts}
        assert found["ff083c9a22e05d3459b03f3dbed61c7ad6e0a209"] == 7
        mined = found["ab" * 20]
        # Two epochs of two layers pay nothing; each layer after them pays one reward.
        assert mined >= 3 * 50_000_000_000_000
        assert mined % 50_000_000_000_000 == 0


async def test_json_gateway_and_metrics_say_the_same(tmp_path: Path) -> None:
    async with machine(tmp_path) as lab:
        boot = start(lab, "miner-1", config())
        await boot.until_line("app started")
        async with httpx.AsyncClient() as http:
            answer = await http.post(f"http://{boot.ip}:7000/v1/node/status", json={})
            assert answer.json()["status"]["connectedPeers"] == "0"
            assert (await http.post(f"http://{boot.ip}:7000/v1/nosuch")).json() == {"code": 5, "message": "Not Found", "details": []}
            assert "spacemesh_p2p_connected_peers 0" in (await http.get(f"http://{boot.ip}:{real_port(1010)}/metrics")).text


async def test_bech32_coinbases_give_accounts_with_text_addresses(tmp_path: Path) -> None:
    strings = messages("string")
    async with machine(tmp_path) as lab:
        coinbase = "stest1qqqqqqrs60l66w5uksxzmaznwq6xnhqfv56c28qlkm4a5"
        boot = start(lab, "miner-1", config(), coinbase=coinbase)
        await boot.until_line("app started")
        accounts = (await call(boot, "DebugService/Accounts", strings.AccountsResponse)).account_wrapper
        assert [a.account_id.address for a in accounts] == [coinbase]


async def test_identity_is_kept_with_the_disk(tmp_path: Path) -> None:
    async with machine(tmp_path) as lab:
        first = start(lab, "miner-1", config(), disk="a")
        identity = await identity_of(first)
        await first.kill()
        assert await identity_of(start(lab, "miner-1b", config(), disk="a")) == identity
        assert await identity_of(start(lab, "miner-1c", config(), disk="b")) != identity


async def test_old_releases_print_their_identity_in_words_and_cannot_be_asked(tmp_path: Path) -> None:
    async with machine(tmp_path) as lab:
        old = start(lab, "miner-1", config(), image="spacemeshos/go-spacemesh:v0.1.30")
        assert "Local node identity >> 12D3KooW" in json.loads(await old.until_line("Local node identity"))["M"]
        await old.until_line("app started")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call(old, "DebugService/NetworkInfo", M.NetworkInfoResponse)
        assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert error.value.details() == "unknown method NetworkInfo for service spacemesh.v1.DebugService"


async def test_only_the_services_in_the_configuration_are_served(tmp_path: Path) -> None:
    async with machine(tmp_path) as lab:
        run = start(lab, "miner-1", {**config(), "api": {"grpc": "gateway,node"}})
        await run.until_line("app started")
        assert (await status(run)).connected_peers == 0
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call(run, "DebugService/NetworkInfo", M.NetworkInfoResponse)
        assert error.value.details() == "unknown service spacemesh.v1.DebugService"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"genesis-time": None}, "genesis-time is not set"),
        ({"genesis-time": "tomorrow"}, "cannot parse genesis time"),
        ({"layer-duration-sec": None}, "layer-duration-sec"),
        ({"layers-per-epoch": 0}, "layers-per-epoch"),
        ({"poet-server": None}, "poet"),
    ],
)
async def test_refuses_a_configuration_without_what_it_needs(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    async with machine(tmp_path) as lab:
        run = start(lab, "miner-1", config(**change))
        assert await run.task == 1
        assert reason in run.lines[-1]
        assert json.loads(run.lines[-1])["L"] == "FATAL"


async def test_refuses_bad_command_lines_and_files(tmp_path: Path) -> None:
    async with machine(tmp_path) as lab:
        run = start(lab, "miner-1", config(), 1, "--nonsense=1")
        assert await run.task == 1
        assert run.lines[0] == "Error: unknown flag: --nonsense"
        run = start(lab, "miner-2", config(), 1, "--grpc-port=x")
        assert await run.task == 1
        assert run.lines[0] == 'Error: invalid argument "x" for "--grpc-port" flag: strconv.ParseInt: parsing "x": invalid syntax'
        run = lab.run("miner-3", IMAGE, command())
        assert await run.task == 1
        assert "no such file or directory" in run.lines[-1]
        run = start(lab, "miner-4", config(), coinbase="xyz")
        assert await run.task == 1
        assert "failed to parse coinbase" in run.lines[-1]
        run = start(lab, "miner-5", config(bootnodes=["10.0.0.1:5001"]))
        assert await run.task == 1
        assert "failed to parse multiaddr" in run.lines[-1]


async def test_without_an_answering_bootnode_it_runs_but_is_not_connected(tmp_path: Path) -> None:
    async with machine(tmp_path) as lab:
        nobody = lab.block.take_pod()
        run = start(lab, "miner-2", config(genesis_in=-600, bootnodes=[f"/ip4/{nobody}/tcp/5001/p2p/12D3KooWabc"]), 2)
        assert "connection refused" in await run.until_line("failed to connect to bootnode")
        seen = await status(run)
        assert (seen.connected_peers, seen.is_synced, seen.verified_layer.number) == (0, False, 0)
        assert seen.top_layer.number > 0


async def test_a_bootstrap_node_that_comes_after_genesis_is_not_synced(tmp_path: Path) -> None:
    async with machine(tmp_path) as lab:
        run = start(lab, "miner-1", config(genesis_in=-3600))
        await run.until_line("release tick")
        assert not (await status(run)).is_synced


async def test_a_wrong_identity_or_network_is_refused(tmp_path: Path) -> None:
    async with machine(tmp_path) as lab:
        document = config()
        boot = start(lab, "miner-1", document)
        identity = await identity_of(boot)
        await boot.until_line("app started")
        document["p2p"]["bootnodes"] = [f"/ip4/{boot.ip}/tcp/5001/p2p/12D3KooWSomebodyE1se"]
        other = start(lab, "miner-2", document, 2)
        assert f"remote key matches {identity}" in await other.until_line("peer id mismatch")
        document["p2p"] = {"network-id": 206, "bootnodes": [f"/ip4/{boot.ip}/tcp/5001/p2p/{identity}"]}
        stranger = start(lab, "miner-3", document, 3)
        assert "network mismatch" in await stranger.until_line("failed to connect to bootnode")
        assert (await status(other)).connected_peers == (await status(stranger)).connected_peers == 0


async def test_faults(tmp_path: Path) -> None:
    async with machine(tmp_path, speed=600) as lab:
        lab.faults.add(Fault("program", "^net/crash$", "crash", {"code": 7, "line": "out of gas"}))
        run = start(lab, "crash", config())
        assert await run.task == 7
        assert "out of gas" in run.lines[-1]
        lab.faults.add(Fault("program", "^net/liar$", "wrong-identity"))
        document = config()
        liar = start(lab, "liar", document)
        document["p2p"]["bootnodes"] = [f"/ip4/{liar.ip}/tcp/5001/p2p/{await identity_of(liar)}"]
        await start(lab, "other", document, 2).until_line("peer id mismatch")
        lab.faults.add(Fault("program", "^net/stuck$", "stuck-sync"))
        stuck = start(lab, "stuck", config(genesis_in=60))
        seen = await until_status(stuck, lambda s: s.top_layer.number >= 3)
        assert (seen.is_synced, seen.verified_layer.number) == (False, 0)
        lab.faults.add(Fault("program", "^net/shut$", "not-ready"))
        shut = start(lab, "shut", config())
        await shut.until_line("waiting for POST")
        with pytest.raises(httpx.ConnectError):
            await httpx.AsyncClient().get(f"http://{shut.ip}:7000/")


async def test_leaves_its_ports_when_it_ends(tmp_path: Path) -> None:
    async with machine(tmp_path) as lab:
        run = start(lab, "miner-1", config())
        await run.until_line("app started")
        assert (await status(run)).connected_peers == 0
        assert await run.stop() == 0
        with pytest.raises(httpx.ConnectError):
            await httpx.AsyncClient().get(f"http://{run.ip}:7000/")


async def test_one_that_hangs_takes_calls_and_answers_none(tmp_path: Path) -> None:
    async with machine(tmp_path) as lab:
        run = start(lab, "miner-1", config())
        await run.until_line("app started")
        run.container.hanging.set()
        with pytest.raises(httpx.ReadTimeout):
            await httpx.AsyncClient(timeout=0.2).post(f"http://{run.ip}:7000/v1/node/status")
        async with grpc.aio.insecure_channel(f"{run.ip}:6000") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await channel.unary_unary("/spacemesh.v1.NodeService/Status")(b"", timeout=0.3)
            assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
