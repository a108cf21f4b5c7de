"""Runs the recorded commands again, one after the other, against a lab; several series side by side, each on a lab of its own."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.lab.clients.recorded import Command, commands
from tests.lab.labs import RunningLab, running_lab

LONGEST = 40  # seconds that one command may take
Objects = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Result:
    """What a command did on the lab."""

    exit: int
    stdout: str
    stderr: str
    objects: Objects = field(default_factory=dict)  # what was there afterwards, by path


@dataclass
class Series:
    """Commands that belong together, and how to run them here."""

    name: str
    scenarios: tuple[str, ...]
    binaries: dict[str, Path]  # first word of a command -> what to run
    changed: Callable[[list[str]], list[str]] = lambda argv: argv
    left_out: Callable[[Command], bool] = lambda command: False
    before: dict[str, list[str]] = field(default_factory=dict)  # step -> a command that nobody recorded, to run before it
    meanwhile: dict[str, list[str]] = field(default_factory=dict)  # step -> a command to run while it runs
    namespace: str = ""  # made at first
    collections: tuple[str, ...] = ()  # paths to look at after each command
    results: dict[Command, Future[Result]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted = [command for scenario in self.scenarios for command in commands(scenario)]
        self.results = {command: Future() for command in wanted if not self.left_out(command)}

    async def run(self) -> None:
        """All of them."""
        try:
            async with running_lab(recorded=True, speed=20) as lab:
                with tempfile.TemporaryDirectory() as folder:
                    surroundings = Surroundings(self, lab, Path(folder))
                    await surroundings.prepare()
                    for command, result in self.results.items():
                        result.set_result(await surroundings.run(command))
        except BaseException as error:
            for result in self.results.values():
                if not result.done():
                    result.set_exception(error)
            raise


class Surroundings:
    """A lab, a home directory, kubeconfigs."""

    def __init__(self, series: Series, lab: RunningLab, home: Path) -> None:
        self.series = series
        self.lab = lab
        self.home = home

    async def prepare(self) -> None:
        """Kubeconfigs for other people, an editor, the namespace."""
        config = yaml.safe_load(Path(self.lab.kubeconfig).read_text())
        good, bad, cluster = {"token": self.lab.token}, {"token": "nonsense"}, dict(config["clusters"][0]["cluster"])
        plain = {"server": self.lab.kubernetes}  # over plain HTTP nobody sends a token
        for name, user, server in (("", good, cluster), ("anonymous", good, plain), ("bad token", bad, cluster)):
            config["users"][0]["user"], config["clusters"][0]["cluster"] = user, server
            (self.home / f"config {name}".strip()).write_text(yaml.safe_dump(config))
        editor = self.home / "editor"
        editor.write_text('#!/bin/sh\nsed -i "s/\\"2\\"/\\"edited\\"/" "$1"\n')
        editor.chmod(0o755)
        if self.series.namespace:
            await self._get("/api/v1/namespaces", {"metadata": {"name": self.series.namespace}})
            while "default" not in await self._get(f"/api/v1/namespaces/{self.series.namespace}/serviceaccounts"):
                await asyncio.sleep(0.02)

    async def run(self, command: Command) -> Result:
        """One command and what goes with it."""
        if command.step in self.series.before:
            await self._execute(self.series.before[command.step], "", None)
        other = self.series.meanwhile.get(command.step)
        task = asyncio.create_task(self._later(other)) if other else None
        account = next((f"config {name}" for name in ("anonymous", "bad token") if f"({name})" in command.step), "config")
        result = await self._execute(list(command.argv), account, command.stdin)
        if task:
            await task
        found: Objects = {}
        for path in self.series.collections:
            found |= {f"{path}/{name}": thing for name, thing in (await self._get(path)).items()}
        return Result(result.exit, result.stdout, result.stderr, found)

    async def _later(self, argv: list[str]) -> None:
        await asyncio.sleep(0.5)
        await self._execute(argv, "", None)

    async def _execute(self, argv: list[str], account: str, stdin: str | None) -> Result:
        words = self.series.changed([str(self.series.binaries.get(argv[0], argv[0])), *argv[1:]])
        folders = [str(path.parent) for path in self.series.binaries.values()]
        environment = {
            "PATH": os.pathsep.join([*folders, os.environ["PATH"]]),
            "HOME": str(self.home),
            "KUBECONFIG": str(self.home / (account or "config")),
            "KUBE_EDITOR": str(self.home / "editor"),
            "TZ": "UTC",
        }
        child = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment, cwd=self.home
        )
        try:
            out, err = await asyncio.wait_for(child.communicate((stdin or "").encode()), LONGEST)
        except TimeoutError:
            child.kill()
            out, err = await child.communicate()
            err += b"\n(killed: it took too long)"
        return Result(child.returncode or 0, out.decode(), err.decode())

    async def _get(self, path: str, made: dict[str, Any] | None = None) -> Objects:
        headers = {"Authorization": f"Bearer {self.lab.token}"}
        async with (
            aiohttp.ClientSession(self.lab.kubernetes, headers=headers) as session,
            session.request("POST" if made else "GET", path, json=made) as response,
        ):
            return {item["metadata"]["name"]: item for item in (await response.json()).get("items", [])} if response.status == 200 else {}


class Runner:
    """Runs series side by side in a thread of its own, while tests wait for single results."""

    def __init__(self, wanted: list[Series]) -> None:
        self.wanted = wanted
        self.thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)
        self.thread.start()

    async def _all(self) -> None:
        await asyncio.gather(*(series.run() for series in self.wanted), return_exceptions=True)
