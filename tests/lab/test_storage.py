"""The storage server behind Google's own client: what our flows and any state lock rely on."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
import requests
from aiohttp import web
from google.api_core.exceptions import NotFound, PreconditionFailed, TooManyRequests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as gcs
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from lab.faults import Fault, Faults
from lab.storage import Storage, StorageProxy


@pytest.fixture
async def bucket() -> AsyncIterator[gcs.Bucket]:
    server = Storage()
    await server.start()
    try:
        client = gcs.Client(project="lab", credentials=AnonymousCredentials(), client_options={"api_endpoint": server.url})
        yield await asyncio.to_thread(client.create_bucket, "networks")
    finally:
        await server.stop()
        assert server.pid is None


async def test_generation_preconditions_are_enforced(bucket: gcs.Bucket) -> None:
    def write() -> None:
        first = bucket.blob("net-archive/config.json")
        first.upload_from_string("1", if_generation_match=0)
        with pytest.raises(PreconditionFailed):
            bucket.blob("net-archive/config.json").upload_from_string("2", if_generation_match=0)
        generation = first.generation
        first.upload_from_string("2", if_generation_match=generation)
        with pytest.raises(PreconditionFailed):
            bucket.blob("net-archive/config.json").upload_from_string("3", if_generation_match=generation)
        assert bucket.blob("net-archive/config.json").download_as_text() == "2"

    await asyncio.to_thread(write)


async def test_resumable_uploads_go_on_at_its_own_address(bucket: gcs.Bucket) -> None:
    def write() -> None:
        blob = bucket.blob("big", chunk_size=256 * 1024)  # a chunk size makes the client ask for a resumable upload
        blob.upload_from_string(b"x" * 600_000)
        assert len(bucket.blob("big").download_as_bytes()) == 600_000

    await asyncio.to_thread(write)


async def serve(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def troubled() -> AsyncIterator[tuple[gcs.Client, Faults]]:
    """The storage server behind its proxy."""
    faults, server = Faults(), Storage()
    proxy = StorageProxy(faults)
    async for url in serve(proxy.app()):
        await server.start(url)
        proxy.target = server.url
        try:
            yield gcs.Client(project="lab", credentials=AnonymousCredentials(), client_options={"api_endpoint": url}), faults
        finally:
            await server.stop()


async def test_behind_the_proxy_all_is_as_before(troubled: tuple[gcs.Client, Faults]) -> None:
    client, faults = troubled

    def use() -> None:
        bucket = client.create_bucket("networks")
        blob = bucket.blob("net/a b/ü%2F.bin", chunk_size=256 * 1024)
        data = bytes(range(256)) * 3000
        blob.upload_from_string(data)
        assert bucket.blob(blob.name).download_as_bytes() == data
        assert bucket.blob(blob.name).download_as_bytes(start=5, end=9) == data[5:10]
        assert [one.name for one in client.list_blobs(bucket, prefix="net/a b/")] == [blob.name]
        zipped = bucket.blob("text")
        zipped.content_encoding = "gzip"
        zipped.upload_from_string(gzip.compress(b"hello"), content_type="text/plain")
        assert bucket.blob("text").download_as_bytes() == b"hello"
        blob.delete()
        with pytest.raises(NotFound):
            bucket.blob(blob.name).download_as_bytes()

    await asyncio.to_thread(use)
    assert faults.all() == []


async def test_trouble_on_the_way_to_storage(troubled: tuple[gcs.Client, Faults]) -> None:
    client, faults = troubled
    bucket = await asyncio.to_thread(client.create_bucket, "networks")
    faults.add(Fault("storage", "^POST /upload/", "status", {"code": 429}, times=1))
    with pytest.raises(TooManyRequests):
        await asyncio.to_thread(bucket.blob("a").upload_from_string, "1", retry=None)
    faults.add(Fault("storage", "^POST /upload/", "status", {"code": 503}, times=2))  # the client tries again when that is safe
    await asyncio.to_thread(bucket.blob("a").upload_from_string, "1" * 1000, if_generation_match=0, retry=DEFAULT_RETRY.with_delay(initial=0.01))
    faults.add(Fault("storage", "^GET .*alt=media", "cut-off", times=1))
    with pytest.raises((requests.exceptions.RequestException, DataCorruption)):
        await asyncio.to_thread(bucket.blob("a").download_as_bytes, retry=None)
    assert await asyncio.to_thread(bucket.blob("a").download_as_bytes) == b"1" * 1000
    assert faults.all() == []
