"""Whatever is sent to the outside systems, they answer as their own, never with a failure of the lab's."""

from __future__ import annotations

import json
import logging
import random
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from lab.clock import Clock
from lab.faults import Faults
from lab.outside.outside import TOKENS, Outside
from lab.outside.service import Service

VALUES = [None, 0, -1, 1.5, "", "x", "ü\0", [], {}, [1], [None], {"a": 1}, True, "9" * 40, [[]], {"id": 5}, [{"id": []}], 10**30]
KEYS = {
    "cloudflare": ["name", "type", "content", "ttl", "proxied", "comment", "tags", "deletes", "posts", "puts", "patches", "id", "settings"],
    "slack": ["channel", "text", "blocks", "attachments", "thread_ts", "ts", "limit", "cursor", "types", "files", "filename", "length", "channel_id"],
    "github": ["tag_name", "target_commitish", "name", "body", "draft", "title", "labels", "assignees", "state", "ref", "sha", "tag", "object"],
    "gke": ["cluster", "name", "initialNodeCount", "nodePools", "config", "resourceLabels", "nodeCount", "nodePool", "autoscaling", "locations"],
    "compute": ["labels", "labelFingerprint"],
}
PLAUSIBLE = {"type": "A", "content": "192.0.2.1", "name": "abc", "channel": "lab", "text": "hello", "tag_name": "v1", "title": "t",
             "ref": "refs/tags/x", "initialNodeCount": 1}  # fmt: skip
PLACES = {"project": "lab", "location": "us-central1-a", "kind": "locations", "owner": "cosmodrome", "repo": "lab"}
METHODS = ["chat.postMessage", "chat.update", "conversations.list", "files.completeUploadExternal", "files.getUploadURLExternal"]
PARAMETERS = ["per_page", "page", "limit", "filter", "maxResults", "pageToken", "name", "state", "cursor", "match", "order"]


class Noise:
    """Requests that make little sense, the same for the same seed."""

    def __init__(self, service: Service, seed: int) -> None:
        self._service, self._random = service, random.Random(seed)
        self._routes = [(route.method, route.resource.canonical) for route in service.app().router.routes() if route.resource]
        self._keys = KEYS[service.place]

    def request(self) -> tuple[str, str, dict[str, Any]]:
        pick = self._random.choice
        method, path = pick(self._routes)
        body = {key: self._value() for key in self._random.sample(self._keys, 2)} | {key: PLAUSIBLE[key] for key in self._keys if key in PLAUSIBLE}
        if self._service.place == "gke" and pick([True, False]):
            body = {"cluster": {**body, "name": f"net-{pick('abc')}"}, "nodePool": body}
        data = pick([json.dumps(body)] * 4 + [json.dumps(self._value()), "{", b"\xed\xb2\x80", "[" * 5000])
        kind = pick(["application/json", "application/json", "application/x-www-form-urlencoded", "text/plain"])
        headers = {"Authorization": f"Bearer {TOKENS.get(self._service.place, TOKENS['google'])}", "Content-Type": kind, "User-Agent": "noise"}
        method = pick(["GET", "POST"]) if method in ("*", "HEAD") else method
        more: dict[str, Any] = {} if method == "GET" else {"data": data}
        params = {pick(PARAMETERS): pick(["x", "-1", "0", "1e400", "nan", "*", "(", "a:b"])}
        return method, re.sub(r"\{(\w+)(:[^{}]*)?\}", lambda match: self._place(match[1]), path), {"headers": headers, "params": params, **more}

    def _place(self, name: str) -> str:
        if name == "zone" and self._service.place == "cloudflare":
            return str(self._service.show()["zones"][0]["id"])
        if name == "method":
            return self._random.choice(METHODS)
        if name == "id":
            return str(self._random.randint(1, 12))
        return PLACES.get(name) or self._random.choice(["x", "net-a", "default-pool", "%00", "..%2f"])

    def _value(self, depth: int = 0) -> Any:
        if depth < 2 and self._random.random() < 0.4:
            return {key: self._value(depth + 1) for key in self._random.sample(self._keys, 2)}
        if depth < 2 and self._random.random() < 0.2:
            return [self._value(depth + 1)]
        return self._random.choice(VALUES)


@pytest.mark.parametrize("place", sorted(KEYS))
async def test_nothing_breaks_them(place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outside = Outside(Clock(1e-6), Faults())  # so slow that nothing that takes time is ever done
    service = outside.services[place]
    noise = Noise(service, seed=7)
    caplog.set_level(logging.ERROR)
    async with TestClient(TestServer(service.app())) as client:
        for _ in range(300):
            method, path, more = noise.request()
            answer = await client.request(method, path, **more)
            await answer.read()
            assert answer.status < 500, (method, path, more)
    assert caplog.records == []
    await outside.fleet.stop()
