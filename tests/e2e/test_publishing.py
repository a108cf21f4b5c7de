"""Publishing to Cloud Storage, on the packaged fake-gcs-server: nobody's write is lost, and what is not ours is left alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from networks.errors import Permanent, Transient
from networks.labels import Ownership
from tests.e2e.cluster import Target

TINY: dict[str, Any] = {"miners": 2, "bootnodes": 0, "poets": {"gateways": 1}}


def owner(network: str = "mine", run: str = "run-1") -> Ownership:
    return Ownership(network, run, datetime(2026, 12, 1, tzinfo=UTC))


async def bucket() -> Any:
    from tasks.storage import load_bucket

    return await load_bucket("lab-data")


async def deploy(spec: dict[str, Any], **options: Any) -> Any:
    from flows.deploy_network import deploy_network

    return await deploy_network(spec, **options)


async def about(name: str) -> dict[str, Any] | None:
    """What the storage says of an object."""
    place = await bucket()
    url = f"{place.endpoint}/storage/v1/b/{place.bucket}/o/{name.replace('/', '%2F')}"
    answer = httpx.get(url, trust_env=False)
    return answer.json() if answer.status_code == 200 else None


async def put(name: str, text: str = "{}") -> None:
    """Somebody else's object."""
    place = await bucket()
    url = f"{place.endpoint}/upload/storage/v1/b/{place.bucket}/o"
    httpx.post(url, params={"uploadType": "media", "name": name}, content=text, trust_env=False).raise_for_status()


async def remove(name: str) -> None:
    place = await bucket()
    httpx.delete(f"{place.endpoint}/storage/v1/b/{place.bucket}/o/{name.replace('/', '%2F')}", trust_env=False)


async def test_written_once_changed_once(lab: Target) -> None:
    from tasks.storage import Publication, publish_json

    place = await bucket()
    first = await publish_json(place, "once/config.json", {"a": 1}, owner())
    same = await publish_json(place, "once/config.json", {"a": 1}, owner())
    other = await publish_json(place, "once/config.json", {"a": 2}, owner())
    assert [p.outcome for p in (first, same, other)] == [Publication.CREATED, Publication.UNCHANGED, Publication.CHANGED]
    assert first.generation == same.generation != other.generation


async def test_it_is_marked(lab: Target) -> None:
    """Whose it is, which run made that network, and until when it may be there; also after it was written anew."""
    from tasks.storage import publish_json

    marks = {"managed-by": "cosmodrome", "cosmodrome-network": "mine", "cosmodrome-run": "run-1", "cosmodrome-expires": "20261201T000000Z"}
    for value in (1, 2):
        await publish_json(await bucket(), "marked/config.json", {"a": value}, owner())
        there = await about("marked/config.json")
        assert there is not None
        assert there["metadata"] == marks


async def test_many_writers_at_once_end_with_one_of_their_documents(lab: Target) -> None:
    """Each read-compare-write that loses a race looks again; none writes over what it has not seen."""
    from tasks.storage import publish_json

    place = await bucket()
    results = await asyncio.gather(*(publish_json(place, "race/config.json", {"writer": n}, owner()) for n in range(4)), return_exceptions=True)
    written = [result for result in results if not isinstance(result, BaseException)]
    lost = [result for result in results if isinstance(result, BaseException)]
    assert written
    assert all(isinstance(result, Transient) for result in lost)
    last = max(written, key=lambda result: result.generation)
    assert httpx.get(last.url, trust_env=False).json() == {"writer": results.index(last)}
    assert len({result.generation for result in written}) == len(written)


async def test_what_is_not_ours_is_neither_overwritten_nor_removed(lab: Target) -> None:
    from tasks.storage import publish_json, remove_object

    place = await bucket()
    await put("foreign/config.json")
    with pytest.raises(Permanent, match="not put there by Cosmodrome"):
        await publish_json(place, "foreign/config.json", {"a": 1}, owner())
    with pytest.raises(Permanent, match="not put there by Cosmodrome"):
        await remove_object(place, "foreign/config.json", "mine")
    assert httpx.get(place.url("foreign/config.json"), trust_env=False).text == "{}"

    await publish_json(place, "theirs/config.json", {"a": 1}, owner("theirs"))
    with pytest.raises(Permanent, match="belongs to network theirs"):
        await publish_json(place, "theirs/config.json", {"a": 2}, owner())
    with pytest.raises(Permanent, match=r"another network of this name \(made by run run-1, which may be there until"):
        await publish_json(place, "theirs/config.json", {"a": 2}, owner("theirs", "run-2"))
    assert httpx.get(place.url("theirs/config.json"), trust_env=False).json() == {"a": 1}
    assert await remove_object(place, "theirs/config.json", "theirs", "run-1")
    assert not await remove_object(place, "theirs/config.json", "theirs", "run-1")


@pytest.mark.parametrize("function", ["publish", "find"])
async def test_no_such_bucket(lab: Target, function: str) -> None:
    from tasks.storage import find_object, publish_json

    place = (await bucket()).model_copy(update={"bucket": "no-such-bucket"})
    with pytest.raises(Permanent, match="404"):
        await (publish_json(place, "x.json", {}, owner()) if function == "publish" else find_object(place, "x.json"))


async def test_storage_that_does_not_answer(lab: Target) -> None:
    from tasks.storage import publish_json

    place = (await bucket()).model_copy(update={"endpoint": "http://127.0.0.1:9"})
    with pytest.raises(Transient, match="cannot publish"):
        await publish_json(place, "x.json", {}, owner())


async def test_found_by_its_name_alone(lab: Target) -> None:
    """Not by what begins like it."""
    from tasks.storage import find_object

    await put("longer/config.json.old")
    assert await find_object(await bucket(), "longer/config.json") is None


async def test_what_would_be_overwritten_is_told_before_anything_is_built(lab: Target, network: str) -> None:
    from blocks import Bucket

    name = f"{network}-archive/config.json"
    await put(name)
    with pytest.raises(Permanent, match="may not be overwritten"):
        await deploy(lab.spec(network, **TINY), data_bucket="lab-data")
    await remove(name)
    place = await bucket()
    await Bucket(bucket="no-such-bucket", endpoint=place.endpoint).save("nowhere", overwrite=True)
    with pytest.raises(Permanent, match="Create the bucket"):
        await deploy(lab.spec(network, **TINY), data_bucket="nowhere", plan_only=True)
    with pytest.raises(Permanent, match="no Bucket block named 'never-saved'"):
        await deploy(lab.spec(network, **TINY), data_bucket="never-saved")
    assert not lab.has_namespace(network)


async def test_goes_with_its_network(lab: Target, network: str) -> None:
    """The record knows the bucket; a plan says so; and what a network left that is gone already is removed when its bucket is named."""
    from flows.delete_network import delete_network

    name = f"{network}-archive/config.json"
    made = await deploy(lab.spec(network, **TINY), data_bucket="lab-data")
    there = await about(name)
    assert there is not None
    labels = lab.get(f"/api/v1/namespaces/{network}")["metadata"]["labels"]
    told = {there["metadata"][f"cosmodrome-{key}"] for key in ("run", "expires")}
    assert told == {labels["cosmodrome.dev/run"], labels["cosmodrome.dev/expires"]}

    planned = await delete_network(network, plan_only=True)
    assert planned.published == [made.published]
    assert f"would delete {made.published}" in planned.as_text()
    assert await about(name)

    gone = await delete_network(network)
    assert gone.namespace_gone
    assert gone.published == [made.published]
    assert await about(name) is None
    assert (await delete_network(network, data_bucket="lab-data")).published == []

    from tasks.storage import publish_json

    await publish_json(await bucket(), name, {}, owner(network))
    assert (await delete_network(network, data_bucket="lab-data")).published == [made.published]
    assert await about(name) is None


async def test_trouble_with_a_bucket_does_not_keep_a_network(lab: Target, network: str) -> None:
    """What stays is told, with why: another network's object in place of ours, a bucket block that is gone."""
    from blocks import Bucket
    from flows.delete_network import delete_network
    from tasks.storage import publish_json

    name = f"{network}-archive/config.json"
    place = await bucket()
    await Bucket(bucket=place.bucket, endpoint=place.endpoint).save("soon-gone", overwrite=True)
    await deploy(lab.spec(network, **TINY), data_bucket="lab-data")
    again = await deploy(lab.spec(network, **TINY), data_bucket="soon-gone")
    assert again.changes.changed == 1  # its record names a bucket more
    await Bucket.adelete("soon-gone")
    await remove(name)
    await publish_json(place, name, {}, owner(network, "another-run"))
    report = await delete_network(network)
    assert report.namespace_gone
    assert report.published == []
    assert "another network of this name" in report.remains[0]
    assert "no Bucket block named 'soon-gone'" in report.remains[1]
    assert await about(name)
    await remove(name)
