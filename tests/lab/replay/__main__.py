"""`python -m tests.lab.replay 02 [04 …] [--only 12,14] [--speed 20] [--url http://…]`: what differs between lab and recording."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter

from tests.lab.labs import running_lab
from tests.lab.replay.accepted import judge
from tests.lab.replay.compare import Difference
from tests.lab.replay.engine import Replay
from tests.lab.replay.transcript import left_out, load, scenarios
from tests.lab.replay.transport import Transport

# How many times as fast as it was recorded: slower where real processes sleep in real seconds.
SPEEDS = {"": 20.0, "13": 3.0, "05b": 6.0, "08": 10.0, "10": 4.0}


async def replay(scenario: str, speed: float, url: str | None = None, token: str = "lab-admin", only: set[int] | None = None) -> list[Difference]:
    """Runs one scenario on a lab of its own (or on the one at `url`)."""
    if url:
        transport = Transport(url, token, speed)
        try:
            return await Replay(scenario, transport, only).run()
        finally:
            await transport.close()
    async with running_lab(recorded=True, speed=speed) as lab:
        return await replay(scenario, speed, lab.kubernetes, lab.token, only)


def main() -> int:
    """The command line."""
    options = argparse.ArgumentParser(prog="python -m tests.lab.replay", description=__doc__)
    options.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(scenarios())}; all if none is named")
    options.add_argument("--only", help="requests to show, as 12 or 12,14,20-30; earlier ones are sent too")
    options.add_argument("--speed", type=float, help="how many times as fast as it was recorded")
    options.add_argument("--url", help="a lab that runs already, with the recorded profile and nothing in it")
    options.add_argument("--token", default="lab-admin")
    options.add_argument("--short", action="store_true", help="only where, not what")
    options.add_argument("--all", action="store_true", help="accepted differences too")
    given = options.parse_args()
    bad = 0
    for scenario in given.scenarios or scenarios():
        began = time.monotonic()
        speed = given.speed or SPEEDS.get(scenario, SPEEDS[""])
        found = asyncio.run(replay(scenario, speed, given.url, given.token, _numbers(given.only)))
        unknown, stale, counts = judge(scenario, found)
        for one in found if given.all else unknown:
            print(f"{one.scenario} n={one.n} [{one.step}] {one.where}" if given.short else one)
        for row in stale if not given.only else []:
            print(f"accepted, but no longer there: {row}")
        requests = Counter(one.n for one in unknown)
        accepted = sum(count for _, count in counts)
        print(
            f"== {scenario}: {len(load(scenario))} requests ({left_out(scenario)} left out), {len(unknown)} differences in {len(requests)} requests, "
            f"{accepted} accepted, {time.monotonic() - began:.1f} s"
        )
        bad += len(unknown) + len(stale)
    return 1 if bad else 0


def _numbers(text: str | None) -> set[int] | None:
    if not text:
        return None
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


if __name__ == "__main__":
    sys.exit(main())
