"""The storage server behind Google's own client: what our flows and any state lock rely on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.api_core.exceptions import PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as gcs

from lab.storage import Storage


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
