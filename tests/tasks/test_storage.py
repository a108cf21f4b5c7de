"""What is asked of Cloud Storage, by a server that follows a script: every write names the generation that was looked at."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from blocks.bucket import Bucket
from networks.errors import Permanent, Transient
from tasks.storage import find_object, remove_object
from tests.tasks.scripted import Script, says, serving

OURS = {"managed-by": "cosmodrome", "cosmodrome-network": "a", "cosmodrome-run": "run-1"}


def there(generation: int = 7, **marks: str) -> web.Response:
    return says({"name": "a.json", "bucket": "b", "generation": str(generation), "metadata": {**OURS, **marks}})


def refused(code: int) -> web.Response:
    return says({"error": {"code": code, "message": "no"}}, code)


class Storage:
    """Follows a script, and counts nothing else: the client asks for the bucket, for its own purposes, in a thread of its own, whenever it likes."""

    def __init__(self, *answers: web.Response) -> None:
        self.script = Script(*answers)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        return refused(404) if request.path == "/storage/v1/b/b" else await self.script.handle(request)


async def remove(*answers: web.Response) -> tuple[bool, list[tuple[str, str]]]:
    storage = Storage(*answers)
    async with serving(storage) as server:
        gone = await remove_object(Bucket(bucket="b", endpoint=server.url), "a.json", "a", "run-1")
    return gone, storage.script.asked


async def test_only_the_generation_that_was_looked_at_is_removed() -> None:
    gone, asked = await remove(there(7), says({}, 204))
    assert gone
    method, path = asked[1]
    assert method == "DELETE"
    assert parse_qs(urlsplit(path).query)["ifGenerationMatch"] == ["7"]


async def test_what_was_written_meanwhile_is_looked_at_again() -> None:
    with pytest.raises(Permanent, match="belongs to network other"):
        await remove(there(7), refused(412), there(8, **{"cosmodrome-network": "other"}))
    gone, asked = await remove(there(7), refused(412), there(8), says({}, 204))
    assert gone
    assert parse_qs(urlsplit(asked[3][1]).query)["ifGenerationMatch"] == ["8"]


async def test_what_is_gone_is_gone() -> None:
    gone, asked = await remove(refused(404))
    assert not gone
    assert [method for method, _ in asked] == ["GET"]


@pytest.mark.parametrize(("code", "kind"), [(403, Permanent), (404, Permanent), (429, Transient), (503, Transient)])
async def test_looking_needs_no_more_than_one_list(code: int, kind: type[Exception]) -> None:
    storage = Storage(refused(code))
    async with serving(storage) as server:
        with pytest.raises(kind, match=str(code)):
            await find_object(Bucket(bucket="b", endpoint=server.url), "a.json")
    assert [path.split("?")[0] for _, path in storage.script.asked] == ["/storage/v1/b/b/o"]
