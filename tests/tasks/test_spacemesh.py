"""Talking to nodes and PoETs, reading logs, and judging who was late."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from networks.errors import Permanent, Transient
from networks.spacemesh.model import NodeConfigChoice
from tasks.documents import fetch_node_config
from tasks.kubernetes.nodes import as_worker_node
from tasks.spacemesh.checks import late_miners
from tasks.spacemesh.node import identity_in_log, spacemesh_node
from tasks.spacemesh.poet import Activation, PoetServer, poet_client
from tests.tasks.scripted import Answer, hang_up, says, serving

ID = "12D3KooWEFrCM5dYBL8KwsKyvTg4bFRnk5vCzCXtCbSJFLtn8v4V"
OTHER = "12D3KooWHKvAqCcbGTzRpJPjbSCwY3gUN5vwUBPzqFpGuWbPeB5H"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"INFO\t2022-01-01 Local node identity >> {ID}\n", ID),
        (f'{{"L":"INFO","M":"host","identity":"{ID}"}}\n', ID),
        (f'noise before {{"identity": "{ID}"}}\nand after', ID),
        (f'{{"identity":"{OTHER}"}}\n{{"identity":"{ID}"}}\n', ID),  # restarted with another key: the latest counts
        ('{"identity":"not/an/identity"}\n', None),
        ('{"identity":\n', None),
        ("", None),
    ],
)
def test_identity_in_a_log(text: str, expected: str | None) -> None:
    assert identity_in_log(text) == expected


async def activate(*answers: Answer) -> tuple[Activation, list[str]]:
    async with serving(*answers) as script, poet_client() as client:
        server = PoetServer(script.url.removeprefix("http://"), client)
        return await server.activate(["10.0.0.1:6000"]), script.bodies


async def test_activation() -> None:
    outcome, bodies = await activate(says({}))
    assert outcome is Activation.ACTIVATED
    assert bodies == ['{"gatewayAddresses":["10.0.0.1:6000"]}']


async def test_a_poet_that_knows_no_start_must_still_be_one() -> None:
    not_found = web.Response(status=404, text="Not Found")
    assert (await activate(not_found, says({"openRoundId": "0"})))[0] is Activation.BY_ITSELF
    with pytest.raises(Permanent, match="does not answer /v1/info as a PoET does"):
        await activate(not_found, web.Response(status=200, text="<html>nginx</html>"))


async def test_a_poet_that_runs_already_is_fine() -> None:
    assert (await activate(says({"error": "service already started"}, 500)))[0] is Activation.ALREADY


async def test_a_refusal_says_what_the_poet_says() -> None:
    with pytest.raises(Permanent, match="no gateway answers") as caught:
        await activate(says({"error": "no gateway answers"}, 500))
    assert "10.0.0.1:6000" in caught.value.advice


@pytest.mark.parametrize("answer", [hang_up, web.Response(status=503, text="starting")], ids=["reset", "503"])
async def test_passing_trouble_of_a_poet(answer: Answer) -> None:
    with pytest.raises(Transient):
        await activate(answer)


async def test_a_node_that_is_not_there() -> None:
    async with spacemesh_node("127.0.0.1:9") as node:
        with pytest.raises(Transient, match=r"127\.0\.0\.1:9 did not answer"):
            await node.identity()


NODE = {
    "metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "host-1"}},
    "spec": {},
    "status": {
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "n1"}],
        "allocatable": {"cpu": "3920m", "memory": "12Gi"},
        "conditions": [{"type": "Ready", "status": "True"}],
    },
}


def asks(cpu: str, memory: str, **more: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"resources": {"requests": {"cpu": cpu, "memory": memory}}}], **more}}


def test_a_worker_node_without_external_address_and_with_others_pods() -> None:
    starting = asks("100m", "1Gi", initContainers=[{"resources": {"requests": {"cpu": "2"}}}])
    node = as_worker_node(NODE, [asks("1", "2Gi"), starting, {"spec": {"containers": [{}]}}])
    assert (node.external_ip, node.internal_ip, node.hostname) == ("", "10.0.0.1", "host-1")
    assert (node.cpu, node.memory) == ("920m", str(9 * 2**30))
    assert not node.unschedulable


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"unschedulable": True}},
        {"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}},
        {"status": {**NODE["status"], "conditions": [{"type": "Ready", "status": "Unknown"}]}},
    ],
    ids=["cordoned", "tainted", "lost"],
)
def test_worker_nodes_that_take_no_pods(change: dict[str, Any]) -> None:
    assert as_worker_node({**NODE, **change}, ()).unschedulable


GENESIS = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def late(made: str, pod_made: str, ready: str, restarts: int = 0) -> list[str]:
    deployment = {"metadata": {"creationTimestamp": made}}
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": ready}]
    pod = {"metadata": {"creationTimestamp": pod_made}, "status": {"conditions": conditions, "containerStatuses": [{"restartCount": restarts}]}}
    return late_miners({"m": deployment}, {"m": pod}, GENESIS, {"m"})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("2026-11-22T08:50:00Z", "2026-11-22T08:50:00Z", "2026-11-22T08:59:59Z"), []),
        (("2026-11-22T08:50:00Z", "2026-11-22T08:50:00Z", "2026-11-22T09:00:00Z"), ["m"]),
        (("2026-11-22T09:01:00Z", "2026-11-22T09:01:00Z", "2026-11-22T09:02:00Z"), ["m"]),
        (("2026-11-22T08:50:00Z", "2026-11-22T09:30:00Z", "2026-11-22T09:31:00Z"), []),  # its first pod was in time
        (("2026-11-22T08:50:00Z", "2026-11-22T08:50:00Z", "2026-11-22T09:31:00Z", 1), []),  # restarted in place since
    ],
    ids=["in time", "ready too late", "made too late", "pod made anew", "restarted"],
)
def test_who_was_late_for_genesis(arguments: tuple[Any, ...], expected: list[str]) -> None:
    assert late(*arguments) == expected


def test_miners_that_ran_before_this_run_are_not_judged() -> None:
    deployment = {"metadata": {"creationTimestamp": "2026-11-22T09:10:00Z"}}
    pod = {"metadata": {"creationTimestamp": "2026-11-22T09:10:00Z"}, "status": {}}
    assert late_miners({"m": deployment}, {"m": pod}, GENESIS, set()) == []


async def test_a_node_configuration_from_an_address(tmp_path: Any) -> None:
    async with serving(says({"main": {"layer-duration-sec": 30}})) as script:
        assert await fetch_node_config(NodeConfigChoice(url=f"{script.url}/config.json")) == {"main": {"layer-duration-sec": 30}}
    async with serving(web.Response(status=404)) as script:
        with pytest.raises(Permanent, match="HTTP 404"):
            await fetch_node_config(NodeConfigChoice(url=f"{script.url}/config.json"))
    async with serving(web.Response(status=200, body=b"[" * 400_000)) as script:
        with pytest.raises(Permanent, match="larger than"):
            await fetch_node_config(NodeConfigChoice(url=f"{script.url}/config.json"))


async def test_a_node_configuration_from_a_file(tmp_path: Any) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"main": {}}')
    assert await fetch_node_config(NodeConfigChoice(file=str(path))) == {"main": {}}
    with pytest.raises(Permanent, match="No such file"):
        await fetch_node_config(NodeConfigChoice(file=str(tmp_path / "none.json")))
    path.write_text("not json")
    with pytest.raises(Permanent, match="not JSON"):
        await fetch_node_config(NodeConfigChoice(file=str(path)))
