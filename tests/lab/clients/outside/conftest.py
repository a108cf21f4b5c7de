"""One lab for all tests of the outside systems; each test uses names of its own in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.lab.labs import ROOT

Obj = dict[str, Any]


@pytest.fixture(scope="session")
def outside_lab() -> Iterator[Obj]:
    """A lab of one node, fast enough that operations end at once; gives what it printed when it was ready."""
    command = [sys.executable, "-m", "lab", "--nodes", "1", "--speed", "500"]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert child.stdout
        line = child.stdout.readline()
        assert line, f"the lab ended with {child.wait()} before it was ready"
        yield json.loads(line)
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        assert child.stdout
        child.stdout.close()


@pytest.fixture(scope="session")
def lab_control(outside_lab: Obj) -> str:
    """Where `lab_faults` asks."""
    return str(outside_lab["control"])


@pytest.fixture
def set_up(lab_control: str) -> Callable[[str, Obj], Obj]:
    """What people do in a browser: `set_up("slack", {"channels": [...]})`; gives what is in the system now."""

    def ask(system: str, wish: Obj) -> Obj:
        answer = httpx.post(f"{lab_control}/outside/{system}", json=wish, trust_env=False)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    return ask


@pytest.fixture
def show(lab_control: str) -> Callable[[str], Obj]:
    """What is in a system."""
    return lambda system: dict(httpx.get(f"{lab_control}/outside/{system}", trust_env=False).raise_for_status().json())
