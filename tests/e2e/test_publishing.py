"""Publishing to Cloud Storage, on the packaged fake-gcs-server: what is there is read first, and nobody's write is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from networks.errors import Permanent, Transient
from tests.e2e.cluster import Target


async def bucket() -> Any:
    from tasks.storage import load_bucket

    return await load_bucket("lab-data")


async def test_written_once_changed_once(lab: Target) -> None:
    from tasks.storage import Publication, publish_json

    place = await bucket()
    first = await publish_json(place, "once/config.json", {"a": 1})
    same = await publish_json(place, "once/config.json", {"a": 1})
    other = await publish_json(place, "once/config.json", {"a": 2})
    assert [p.outcome for p in (first, same, other)] == [Publication.CREATED, Publication.UNCHANGED, Publication.CHANGED]
    assert first.generation == same.generation != other.generation


async def test_many_writers_at_once_end_with_one_of_their_documents(lab: Target) -> None:
    """Each read-compare-write that loses a race looks again; none writes over what it has not seen."""
    import httpx

    from tasks.storage import publish_json

    place = await bucket()
    results = await asyncio.gather(*(publish_json(place, "race/config.json", {"writer": n}) for n in range(4)), return_exceptions=True)
    written = [result for result in results if not isinstance(result, BaseException)]
    lost = [result for result in results if isinstance(result, BaseException)]
    assert written
    assert all(isinstance(result, Transient) for result in lost)
    last = max(written, key=lambda result: result.generation)
    assert httpx.get(last.url, trust_env=False).json() == {"writer": results.index(last)}
    assert len({result.generation for result in written}) == len(written)


async def test_no_such_bucket(lab: Target) -> None:
    from tasks.storage import publish_json

    place = (await bucket()).model_copy(update={"bucket": "no-such-bucket"})
    with pytest.raises(Permanent, match="404"):
        await publish_json(place, "x.json", {})


async def test_storage_that_does_not_answer(lab: Target) -> None:
    from tasks.storage import publish_json

    place = (await bucket()).model_copy(update={"endpoint": "http://127.0.0.1:9"})
    with pytest.raises(Transient, match="cannot publish"):
        await publish_json(place, "x.json", {})
