"""`python -m lab`: a lab in this process, up until SIGTERM, SIGINT or POST /shutdown on its control site."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

from aiohttp.http_exceptions import HttpProcessingError

from lab.config import ConfigError, LabConfig, read_options
from lab.world import World, WorldError, ready_line


def main() -> int:
    """Gives the exit code: 0 when it was asked to stop, 1 when it could not start or go on, 2 for options that cannot be used."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("aiohttp.server").addFilter(is_ours)
    try:
        config = read_options()
    except ConfigError as error:
        print(f"python -m lab: {error}", file=sys.stderr)
        return 2
    return asyncio.run(serve(config))


def is_ours(record: logging.LogRecord) -> bool:
    """Whether an error of the HTTP server is a fault of the lab. What is no HTTP was answered with 400, and is its sender's."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def serve(config: LabConfig) -> int:
    """Run one lab from start to stop."""
    world = World(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, world.stopping.set)
    try:
        await _live(world)
    except WorldError as error:
        print(f"python -m lab: {error}", file=sys.stderr)
        return 1
    finally:
        await world.stop()
    return 0


async def _live(world: World) -> None:
    starting = asyncio.create_task(world.start())
    told = asyncio.create_task(world.stopping.wait())
    await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if not starting.done():
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError, WorldError):
            await starting
        return
    await starting
    line = ready_line(world)
    if world.config.ready_file:
        _write_whole(world.config.ready_file, line + "\n")
    print(line, flush=True)
    await world.run()


def _write_whole(file: Path, text: str) -> None:
    """Readers see all of it or nothing."""
    try:
        draft = file.with_name(file.name + ".tmp")
        draft.write_text(text)
        draft.replace(file)
    except OSError as error:
        raise WorldError(f"cannot write the ready file {file}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
