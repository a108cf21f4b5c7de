"""A Filebeat that reads its configuration, keeps in touch with its output and says so. It ships nothing: its node has no log files."""

from __future__ import annotations

import re
from typing import Any

import yaml
from aiohttp import web

from lab.programs.elastic.client import ElasticClient, Unreachable
from lab.programs.elastic.indices import flat_settings
from lab.programs.http_program import Answer, HttpProgram, Route, as_json
from lab.programs.listeners import Listeners
from lab.programs.monitoring import image_version
from lab.programs.program import Container

_FILE = "/usr/share/filebeat/filebeat.yml"
_VARIABLE = re.compile(r"\$\{(\w+)(?::([^}]*))?\}")


class Filebeat(HttpProgram):
    """The image's program; its own HTTP endpoint is on port 5066."""

    port = 5066

    def __init__(self) -> None:
        super().__init__()
        self._settings: dict[str, Any] = {}
        self._version = ""

    def routes(self) -> list[Route]:
        """What it is."""
        return [("GET", "/", self._about)]

    async def started(self, container: Container) -> bool:
        """Read the configuration."""
        self._version = image_version(container.image)
        try:
            self._settings = read_settings(container)
        except (OSError, yaml.YAMLError, ValueError, KeyError) as error:
            container.log(f"Exiting: error loading config file: {error}")
            return False
        if not any(name.startswith("output.") for name in self._settings):
            container.log("Exiting: No outputs are defined. Please define one under the output section.")
            return False
        container.log('{"log.level":"info","message":"filebeat start running."}')
        return True

    async def listen(self, container: Container, listeners: Listeners) -> None:
        """Its own state, when asked to show it."""
        if "http.enabled=true" in container.argv or str(self._settings.get("http.enabled")).lower() == "true":
            await listeners.serve_http(self.port, self.serve)

    async def _about(self, _request: web.BaseRequest) -> Answer:
        return as_json({"beat": "filebeat", "name": "filebeat", "version": self._version})

    async def execute(self, container: Container, argv: list[str], seconds: float) -> tuple[int, bytes]:
        """`filebeat test output` asks the output; anything else is as usual."""
        if "filebeat test output" not in " ".join(argv):
            return await super().execute(container, argv, seconds)
        try:
            status, _ = await self._output(container).call("GET", "/")
        except Unreachable as error:
            return 1, f"elasticsearch: dial up... ERROR {error}\n".encode()
        return int(status != 200), f"elasticsearch: talk to server... {'OK' if status == 200 else f'ERROR {status}'}\n".encode()

    def _output(self, container: Container) -> ElasticClient:
        found = {name.removeprefix("output.elasticsearch."): value for name, value in self._settings.items()}
        hosts = found.get("hosts") or ["localhost:9200"]
        if isinstance(hosts, str):
            hosts = yaml.safe_load(hosts) if hosts.startswith("[") else [hosts]
        scheme = str(found.get("protocol", "http"))
        authorities = found.get("ssl.certificate_authorities") or [""]
        return ElasticClient(
            container, [host if "://" in host else f"{scheme}://{host}" for host in hosts], str(found.get("username", "")),
            str(found.get("password", "")), authority=authorities[0], check=found.get("ssl.verification_mode") != "none",
        )  # fmt: skip


def read_settings(container: Container) -> dict[str, Any]:
    """filebeat.yml with the environment in it, flat."""
    text = _VARIABLE.sub(lambda match: container.env.get(match[1], match[2] or ""), container.path(_FILE).read_text())
    found = yaml.safe_load(text)
    if not isinstance(found, dict):
        raise ValueError("not a mapping")
    return flat_settings(found)
