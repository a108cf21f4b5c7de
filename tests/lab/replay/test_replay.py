"""The lab answers as the recorded server did: every scenario's requests are sent again, and every difference is either accepted or a failure."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from tests.lab.replay.__main__ import SPEEDS, replay
from tests.lab.replay.accepted import ACCEPTED, PASSING, judge
from tests.lab.replay.compare import Difference
from tests.lab.replay.transcript import load, scenarios

AT_ONCE = 3  # labs, each a process
SLOWER = 3  # how much slower a second try is
LONGEST_FIRST = ("04", "07b", "07a", "05b", "10", "06a", "13", "05a", "08")


class Replays:
    """Runs scenarios side by side, each on a lab of its own, while the tests wait for them one after the other."""

    def __init__(self, wanted: list[str]) -> None:
        self.results: dict[str, Future[list[Difference]]] = {scenario: Future() for scenario in wanted}
        self.order = sorted(wanted, key=lambda one: (LONGEST_FIRST.index(one) if one in LONGEST_FIRST else len(LONGEST_FIRST), one))
        self.thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)
        self.thread.start()

    async def _all(self) -> None:
        room = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._one(scenario, room) for scenario in self.order))

    async def _one(self, scenario: str, room: asyncio.Semaphore) -> None:
        async with room:
            try:
                self.results[scenario].set_result(await self._found(scenario))
            except BaseException as error:
                self.results[scenario].set_exception(error)

    @staticmethod
    async def _found(scenario: str) -> list[Difference]:
        """Where the machine was too busy for the speed, the lab ran ahead of the requests: then once more, slower. What differs again differs."""
        speed = SPEEDS.get(scenario, SPEEDS[""])
        found = await replay(scenario, speed)
        unknown, stale, _ = judge(scenario, found)
        return await replay(scenario, speed / SLOWER) if unknown or stale else found


@pytest.fixture(scope="session")
def replays(request: pytest.FixtureRequest) -> Iterator[Replays]:
    """All scenarios that the chosen tests need, begun at once."""
    wanted: list[Any] = [item.callspec.params.get("scenario") for item in request.session.items if hasattr(item, "callspec")]
    found = Replays(sorted({scenario for scenario in wanted if scenario in scenarios()}))
    yield found
    found.thread.join(timeout=60)


@pytest.mark.parametrize("scenario", scenarios())
def test_lab_answers_as_recorded(scenario: str, replays: Replays) -> None:
    found = replays.results[scenario].result(timeout=240)
    unknown, stale, _ = judge(scenario, found)
    shown = [str(one) for one in unknown] + [f"accepted, but it no longer occurs: {row}" for row in stale]
    assert not shown, f"{len(unknown)} differences, {len(stale)} accepted ones that are gone\n" + "\n".join(shown)


@pytest.mark.parametrize("row", [*ACCEPTED, *PASSING], ids=lambda row: f"{row.scenario}-{min(row.numbers)}-{row.where}")
def test_accepted_differences_name_requests_that_exist_and_a_reason(row: Any) -> None:
    assert row.numbers & {record.n for record in load(row.scenario)}
    assert len(row.reason.split()) > 3
