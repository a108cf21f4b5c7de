"""The judge itself: it finds nothing in a server that answers what was recorded, and every change in one that does not."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.lab.replay.accepted import accept, judge
from tests.lab.replay.compare import Difference
from tests.lab.replay.echo import Echo, EchoTransport
from tests.lab.replay.engine import Replay

SPEED = 200


@asynccontextmanager
async def served(echo: Echo) -> AsyncIterator[EchoTransport]:
    runner = web.AppRunner(echo.app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    transport = EchoTransport(f"http://127.0.0.1:{runner.addresses[0][1]}", "token", SPEED)
    try:
        yield transport
    finally:
        await transport.close()
        await runner.cleanup()


async def differences(scenario: str, changes: dict[int, Callable[[Any], Any]] | None = None) -> list[Difference]:
    async with served(Echo(scenario, SPEED, changes)) as transport:
        return await Replay(scenario, transport, patience=0.3).run()


def changed(path: str, value: Any) -> Callable[[Any], Any]:
    """Sets one member of an answer (`a.b.0.c`), or takes it out when the value is None."""

    def change(answer: Any) -> Any:
        answer = copy.deepcopy(answer)
        thing = answer
        *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in way:
            thing = thing[part]
        if value is None:
            del thing[last]
        else:
            thing[last] = value
        return answer

    return change


@pytest.mark.parametrize("of", ["02", "03", "08", "09"])
async def test_the_recorded_answers_themselves_have_no_differences(of: str) -> None:
    assert [str(one) for one in await differences(of)] == []


@pytest.mark.parametrize(
    ("of", "n", "path", "value", "where"),
    [
        ("02", 16, "data.a", "other", "body.data.a"),
        ("02", 16, "data.a", None, "body.data.a"),
        ("02", 16, "more", {}, "body.more"),
        ("02", 1, "metadata.managedFields", None, "body.metadata.managedFields"),
        ("02", 1, "metadata.creationTimestamp", "yesterday", "body.metadata.creationTimestamp"),
        ("02", 16, "metadata.resourceVersion", "77", "body.metadata.resourceVersion"),
        ("02", 16, "metadata.uid", "11111111-2222-3333-4444-555555555555", "body.metadata.uid"),
        ("02", 28, "details.kind", "ConfigMap", "body.details.kind"),
        ("09", 6, "3.object.metadata.name", "somebody-else", "watch[ConfigMap own/grand].metadata.name"),
        ("08", 1, "5.type", "MODIFIED", "watch[Namespace /nsd][types]"),
    ],
)
async def test_a_changed_answer_is_a_difference(of: str, n: int, path: str, value: Any, where: str) -> None:
    found = await differences(of, {n: changed(path, value)})
    assert (n, where) in [(one.n, one.where) for one in found]


async def test_a_state_that_is_left_out_or_made_up_is_a_difference() -> None:
    def no_failure(events: list[Any]) -> list[Any]:
        return [event for event in copy.deepcopy(events) if event["object"].get("status", {}).get("phase") != "Running"]

    found = await differences("05a", {3: no_failure})
    assert any(one.n == 3 and one.where.endswith("status.phase") for one in found)


def test_accepted_differences_must_occur_and_others_must_not(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [accept("02", 5, r"body\.a", "for a test of it"), accept("02", 6, r"body\.b", "for a test of it")]
    monkeypatch.setattr("tests.lab.replay.accepted.ACCEPTED", rows)
    known, other = (Difference("02", n, "", where, 1, 2) for n, where in ((5, "body.a"), (5, "body.ab")))
    unknown, stale, counts = judge("02", [known, other])
    assert (unknown, stale, counts) == ([other], [rows[1]], [(rows[0], 1), (rows[1], 0)])
