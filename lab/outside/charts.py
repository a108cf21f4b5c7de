"""Chart repositories, and a registry (OCI) with the same charts: the lab's stand-ins for those that networks are deployed with.

`<url>/<repository>/index.yaml` is what `helm repo add` takes; `oci://<host>:<port>/<repository>/<chart>` is the registry (helm needs `--plain-http`).
The charts' sources are below lab/charts: `<repository>/<chart>-<version>`. A source is packed the same way every time, so digests stay.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from lab.outside.service import Service

Obj = dict[str, Any]

SOURCES = Path(__file__).parents[1] / "charts"
CREATED = "2024-01-01T00:00:00Z"  # of every chart: nobody asks, but the field has to be there

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.cncf.helm.config.v1+json"
_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


@dataclass(frozen=True)
class Chart:
    """One version of a chart, packed."""

    repository: str
    about: Obj  # Chart.yaml
    archive: bytes

    @property
    def name(self) -> str:
        """As in its Chart.yaml."""
        return str(self.about["name"])

    @property
    def version(self) -> str:
        """As in its Chart.yaml."""
        return str(self.about["version"])

    @property
    def file(self) -> str:
        """The archive's name."""
        return f"{self.name}-{self.version}.tgz"

    @property
    def digest(self) -> str:
        """SHA-256 of the archive."""
        return hashlib.sha256(self.archive).hexdigest()


def pack(source: Path, name: str) -> bytes:
    """A chart's folder as helm packs it: the same bytes whenever and wherever."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        # Helm wants Chart.yaml first.
        for file in sorted((one for one in source.rglob("*") if one.is_file()), key=lambda one: (one.name != "Chart.yaml", one.as_posix())):
            entry = tarfile.TarInfo(f"{name}/{file.relative_to(source).as_posix()}")
            content = file.read_bytes()
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


@lru_cache
def charts(sources: Path = SOURCES) -> tuple[Chart, ...]:
    """Every chart below a folder, packed once."""
    found = []
    for file in sorted(sources.glob("*/*/Chart.yaml")):
        about = yaml.safe_load(file.read_text())
        found.append(Chart(file.parents[1].name, about, pack(file.parent, str(about["name"]))))
    return tuple(found)


class Charts(Service):
    """All repositories, each below its own path."""

    place = "charts"

    def refuse(self, code: int, options: Obj) -> web.StreamResponse:
        """Plain text, as file servers answer."""
        del options
        return web.Response(status=code, text=f"{code}\n")

    def show(self) -> Obj:
        """Repositories with their charts and versions."""
        found: Obj = {}
        for chart in charts():
            found.setdefault(chart.repository, {}).setdefault(chart.name, []).append(chart.version)
        return {"repositories": found}

    def routes(self) -> list[web.AbstractRouteDef]:
        """Repositories, and the registry below /v2/."""
        return [
            web.get("/v2/", self._is_registry),
            web.get("/v2/{repository}/{chart}/tags/list", self._tags),
            web.get("/v2/{repository}/{chart}/manifests/{reference}", self._manifest),
            web.get("/v2/{repository}/{chart}/blobs/{digest}", self._blob),
            web.get("/{repository}/index.yaml", self._index),
            web.get("/{repository}/{file}", self._archive),
        ]

    async def _index(self, request: web.Request) -> web.Response:
        entries: dict[str, list[Obj]] = {}
        for chart in _of(request):
            entry = {**chart.about, "created": CREATED, "digest": chart.digest, "urls": [chart.file]}
            entries.setdefault(chart.name, []).append(entry)
        if not entries:
            raise web.HTTPNotFound
        text = yaml.safe_dump({"apiVersion": "v1", "entries": entries, "generated": CREATED}, sort_keys=True)
        return web.Response(text=text, content_type="text/yaml")

    async def _archive(self, request: web.Request) -> web.Response:
        for chart in _of(request):
            if chart.file == request.match_info["file"]:
                return web.Response(body=chart.archive, content_type="application/x-gzip")
        raise web.HTTPNotFound

    # The registry, as far as pulling needs it

    async def _is_registry(self, _request: web.Request) -> web.Response:
        return web.json_response({}, headers={"Docker-Distribution-Api-Version": "registry/2.0"})

    async def _tags(self, request: web.Request) -> web.Response:
        versions = [chart.version for chart in _of(request)]
        if not versions:
            return _unknown("NAME_UNKNOWN", "repository name not known to registry")
        return web.json_response({"name": "{repository}/{chart}".format(**request.match_info), "tags": versions})

    async def _manifest(self, request: web.Request) -> web.Response:
        wanted = request.match_info["reference"]
        for chart in _of(request):
            body = _image(chart)[0]
            digest = _digest(body)
            if wanted in (chart.version.replace("+", "_"), digest):
                return web.Response(body=body, headers={"Content-Type": _MANIFEST, "Docker-Content-Digest": digest})
        return _unknown("MANIFEST_UNKNOWN", "manifest unknown")

    async def _blob(self, request: web.Request) -> web.Response:
        for chart in _of(request):
            for body in (_image(chart)[1], chart.archive):
                if request.match_info["digest"] == _digest(body):
                    headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": _digest(body)}
                    return web.Response(body=body, headers=headers)
        return _unknown("BLOB_UNKNOWN", "blob unknown to registry")


def _of(request: web.Request) -> list[Chart]:
    """The charts that a request's path is about."""
    wanted = request.match_info
    return [chart for chart in charts() if chart.repository == wanted["repository"] and wanted.get("chart", chart.name) == chart.name]


def _image(chart: Chart) -> tuple[bytes, bytes]:
    """The chart's manifest in the registry, and its configuration."""
    config = json.dumps(chart.about, sort_keys=True).encode()
    described = [{"mediaType": kind, "digest": _digest(body), "size": len(body)} for kind, body in ((_CONFIG, config), (_CONTENT, chart.archive))]
    notes = {"org.opencontainers.image.title": chart.name, "org.opencontainers.image.version": chart.version}
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": described[0], "layers": described[1:], "annotations": notes}
    return json.dumps(manifest).encode(), config


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _unknown(code: str, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=404)
