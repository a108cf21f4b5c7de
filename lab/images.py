"""The lab's registry of images: what a name stands for, what it runs, and whether it can be pulled.

Error texts are containerd's (2.1), as a kubelet puts them into events and statuses.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from lab.programs.program import Program

DEFAULT_REGISTRY = "docker.io"
_DOMAIN = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]+)?$|^\[[0-9A-Fa-f:]+\](:[0-9]+)?$")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"^{_COMPONENT}(?:/{_COMPONENT})*$")
_TAG = re.compile(r"^\w[\w.-]{0,127}$")
_DIGEST = re.compile(r"^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$")


class InvalidImageName(Exception):
    """The name cannot be parsed. The text is what stands behind `Failed to apply default image tag "…": `."""


@dataclass(frozen=True)
class Reference:
    """A parsed image name: `registry/repository[:tag][@digest]`."""

    registry: str
    repository: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, image: str) -> Reference:
        """Read a name as containers' runtimes do: no registry means Docker Hub, neither tag nor digest means `latest`."""
        rest, _, digest = image.partition("@")
        first, slash, remainder = rest.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost" or first.lower() != first):
            registry = first
        else:
            registry, remainder = DEFAULT_REGISTRY, rest if slash else f"library/{rest}"
        repository, _, tag = remainder.partition(":")
        problem = "invalid reference format"
        if repository.lower() != repository:
            raise InvalidImageName(f'couldn\'t parse image name "{image}": {problem}: repository name ({repository}) must be lowercase')
        fits = _DOMAIN.match(registry) and _PATH.match(repository)
        if not fits or (":" in remainder and not _TAG.match(tag)) or ("@" in image and not _DIGEST.match(digest)):
            raise InvalidImageName(f'couldn\'t parse image name "{image}": {problem}')
        return cls(registry, repository, tag or ("" if digest else "latest"), digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def familiar(self) -> str:
        """`busybox`, `spacemeshos/poet`, `localhost/busybox`: the name people write, without tag and digest."""
        if self.registry == DEFAULT_REGISTRY:
            return self.repository.removeprefix("library/")
        return f"{self.registry}/{self.repository}"


@dataclass(frozen=True)
class Row:
    """One row of the table: which images, and what they run."""

    pattern: str  # regular expression, matched from the start against `familiar:tag`
    program: str  # `module:Class` below lab.programs
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    preloaded: bool = False  # on every node from the start: never pulled
    binary: Path | None = None  # what runs instead of the program


_SHELL = "shell:ShellProgram"
# The first row that matches counts.
TABLE: tuple[Row, ...] = (
    Row(r"localhost/busybox:local$", _SHELL, command=("sh",), preloaded=True),
    Row(r"localhost/python:3\.11-local$", _SHELL, command=("python3",), preloaded=True),
    Row(r"localhost/pause:local$", "pause:PauseProgram", entrypoint=("/pause",), preloaded=True),
    Row(r"(.+/)?spacemeshos/go-spacemesh[^/]*:", "go_spacemesh:GoSpacemesh", entrypoint=("/bin/go-spacemesh",)),
    Row(r"(.+/)?spacemeshos/poet[^/]*:", "poet:Poet", entrypoint=("/bin/poet",)),
    Row(r"(.+/)?(busybox|alpine):", _SHELL, command=("sh",)),
    Row(r"(.+/)?(debian|ubuntu):", _SHELL, command=("bash",)),
    Row(r"(.+/)?python:", _SHELL, command=("python3",)),
    Row(r"(.+/)?nginx:", "web:Nginx", entrypoint=("/docker-entrypoint.sh",), command=("nginx", "-g", "daemon off;")),
    Row(r"(.+/)?elasticsearch/elasticsearch:", "elastic.elasticsearch:Elasticsearch", entrypoint=("/usr/local/bin/docker-entrypoint.sh",)),
    Row(r"(.+/)?kibana/kibana:", "elastic.kibana:Kibana", entrypoint=("/usr/local/bin/kibana-docker",)),
    Row(r"(.+/)?beats/filebeat:", "elastic.filebeat:Filebeat", entrypoint=("/usr/local/bin/docker-entrypoint",)),
    Row(r"(.+/)?ingress-nginx/controller:", "ingress.controller:IngressNginx", entrypoint=("/usr/bin/dumb-init", "--")),
    Row(r"(.+/)?ingress-nginx/kube-webhook-certgen:", "certgen:WebhookCertgen", entrypoint=("/kube-webhook-certgen",)),
    Row(r"(.+/)?prometheus-operator/prometheus-operator:", "operator:PrometheusOperator", entrypoint=("/bin/operator",)),
    Row(r"(.+/)?prometheus-operator/prometheus-config-reloader:", "exporters:ConfigReloader", entrypoint=("/bin/prometheus-config-reloader",)),
    Row(r"(.+/)?kube-state-metrics/kube-state-metrics:", "exporters:KubeStateMetrics", entrypoint=("/kube-state-metrics",)),
    Row(r"(.+/)?prometheus/node-exporter:", "exporters:NodeExporter", entrypoint=("/bin/node_exporter",)),
    Row(r"(.+/)?grafana/alloy:", "exporters:Alloy", entrypoint=("/bin/alloy",)),
    Row(r"(.+/)?chaos-mesh/chaos-mesh:", "chaos_mesh:ChaosController", entrypoint=("/usr/local/bin/chaos-controller-manager",)),
    Row(r"(.+/)?chaos-mesh/chaos-dashboard:", "chaos_mesh:ChaosDashboard", entrypoint=("/usr/local/bin/chaos-dashboard",)),
    Row(r"(.+/)?chaos-mesh/chaos-daemon:", "chaos_mesh:ChaosDaemon", entrypoint=("/usr/local/bin/chaos-daemon",)),
    Row(r"(.+/)?prometheus/prometheus:", "monitoring:Prometheus", entrypoint=("/bin/prometheus",)),
    Row(r"(.+/)?prometheus/alertmanager:", "monitoring:Alertmanager", entrypoint=("/bin/alertmanager",)),
    Row(r"(.+/)?grafana/grafana:", "monitoring:Grafana", entrypoint=("/run.sh",)),
    Row(r"(.+/)?(grafana|pyroscope)/pyroscope:", "monitoring:Pyroscope", entrypoint=("/usr/bin/pyroscope",)),
    Row(r"(.+/)?spacemeshos/explorer-apiserver:", "web_services:ExplorerApi", entrypoint=("/bin/api",)),
    Row(r"(.+/)?spacemeshos/explorer-collector:", "web_services:Collector", entrypoint=("/bin/collector",)),
    Row(r"(.+/)?spacemeshos/dash-backend:", "web_services:DashApi", entrypoint=("/bin/dash-backend",)),
    Row(r"(.+/)?pause:", "pause:PauseProgram", entrypoint=("/pause",)),
    Row(r".", "pause:PauseProgram"),
)


@dataclass(frozen=True)
class ImageEntry:
    """What the lab knows of one image."""

    reference: Reference
    row: Row
    pull_error: str | None  # what follows `Failed to pull image "…": `; None when it can be pulled
    pull_seconds: float = 0.3  # lab seconds a first pull takes

    @property
    def preloaded(self) -> bool:
        """Whether nodes have it without pulling."""
        return self.row.preloaded

    @property
    def image_id(self) -> str:
        """The same for the same name: `sha256:…`."""
        return f"sha256:{hashlib.sha256(str(self.reference).encode()).hexdigest()}"

    @property
    def size(self) -> int:
        """Bytes, made up but steady."""
        return 1_000_000 + int(self.image_id[7:13], 16)

    def argv(self, command: list[str] | None, args: list[str] | None) -> list[str]:
        """What runs, by the rule of containers: a pod's command replaces entrypoint and command of the image, its args only the command."""
        if command:
            return [*command, *(args or [])]
        return [*self.row.entrypoint, *(args or self.row.command)]

    def program(self) -> Program:
        """A fresh program for one container start."""
        if self.row.binary is not None:
            from lab.programs.binary import BinaryProgram, EnvironmentProgram, virtual_environment

            if environment := virtual_environment(self.row.binary):
                return EnvironmentProgram(*environment)
            places = (*self.row.entrypoint[:1], self.reference.repository, str(self.row.binary))
            return BinaryProgram(self.row.binary, frozenset(place.rpartition("/")[2] for place in places))
        return _factory(self.row.program)()


@lru_cache
def _factory(name: str) -> Callable[[], Program]:
    module, _, attribute = name.partition(":")
    # Imported when first needed: a lab that runs shells only needs no gRPC.
    factory: Callable[[], Program] = getattr(importlib.import_module(f"lab.programs.{module}"), attribute)
    return factory


_binaries: dict[str, Path] = {}


def use_binaries(binaries: Mapping[str, Path]) -> None:
    """From now on run these files for these images: names as people write them, with or without a tag."""
    _binaries.clear()
    _binaries.update(binaries)
    lookup.cache_clear()


@lru_cache(maxsize=1024)
def lookup(image: str) -> ImageEntry:
    """The entry for an image name; InvalidImageName when the name is none. There is one for every valid name: unknown images just stay up."""
    reference = Reference.parse(image)
    subject = f"{reference.familiar}:{reference.tag}"
    row = next(row for row in TABLE if re.match(row.pattern, subject))
    names = (subject, reference.familiar, f"{reference.registry}/{reference.repository}")
    binary = next((_binaries[name] for name in names if name in _binaries), None)
    if binary is not None:
        row = _with_binary(row, binary)
    return ImageEntry(reference, row, None if row.preloaded else _pull_error(reference))


def _with_binary(row: Row, binary: Path) -> Row:
    from lab.programs.binary import virtual_environment

    if virtual_environment(binary):
        return replace(row, binary=binary, entrypoint=(), command=(str(binary),))  # as images of Python have it: pods say what runs
    command = row.command[1:] if row.command and row.command[0] == binary.name else ()
    return replace(row, binary=binary, entrypoint=row.entrypoint[:1] or (str(binary),), command=command)


def _pull_error(reference: Reference) -> str | None:
    """Why an image cannot be pulled: registries that are not there, and names made to fail."""
    host, _, port = reference.registry.partition(":")
    url = f"https://{reference.registry}/v2/{reference.repository}/manifests/{reference.digest or reference.tag}"
    start = f'failed to pull and unpack image "{reference}": failed to resolve image: '
    if host in ("localhost", "127.0.0.1"):
        return f'{start}failed to do request: Head "{url}": dial tcp 127.0.0.1:{port or 443}: connect: connection refused'
    if host.endswith(".invalid"):
        return f'{start}failed to do request: Head "{url}": dial tcp: lookup {host}: no such host'
    if re.search(r"does-not-exist|nosuch|no-such", reference.repository):
        denied = "server message: insufficient_scope: authorization failed"
        return f"{start}pull access denied, repository does not exist or may require authorization: {denied}"
    if re.search(r"does-not-exist|nosuch|no-such", reference.tag):
        return f"rpc error: code = NotFound desc = {start}{reference}: not found"
    return None
