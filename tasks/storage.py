"""Documents in Cloud Storage: what is there is read first; what is not ours is never overwritten and never removed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Event
from typing import Any, TypeVar

from blocks.bucket import Bucket
from networks.errors import Permanent, Transient
from networks.labels import Ownership
from networks.spacemesh import publication

T = TypeVar("T")

_CONNECT_AND_READ = (3.0, 8.0)  # seconds, for each request: so long a cancelled run may still have to wait for it
_LIMITS: dict[str, Any] = {"timeout": _CONNECT_AND_READ, "retry": None}
_ATTEMPTS = 4  # lost races with another writer


class Publication(StrEnum):
    """What publishing came to."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Published:
    """A document in a bucket: where it can be read, its generation, and what this run did to it."""

    url: str
    generation: int
    outcome: Publication


@dataclass(frozen=True)
class Stored:
    """An object that is in a bucket, without its content. `marks`: its custom metadata."""

    generation: int
    marks: Mapping[str, str] = field(default_factory=dict)


async def load_bucket(name: str) -> Bucket:
    """The Bucket block of that name. Permanent when there is none."""
    try:
        return await Bucket.aload(name)
    except ValueError as error:
        if "Unable to find" not in str(error):
            raise
        raise Permanent(f"there is no Bucket block named {name!r}", advice="save one in the UI under Blocks, or leave data_bucket empty") from None


async def find_object(bucket: Bucket, name: str) -> Stored | None:
    """The object, if it is there. Permanent when there is no such bucket, or it may not be looked into."""

    def work(place: Any, _cancelled: Event) -> Stored | None:
        # A list of one, not a question for the object: only this tells a bucket that is not there from an object that is not there,
        # and it needs no right but those that publishing needs.
        full = bucket.prefix + name
        found = list(place.client.list_blobs(place, prefix=full, max_results=1, **_LIMITS))
        return next((Stored(int(blob.generation), blob.metadata or {}) for blob in found if blob.name == full), None)

    return await _in_bucket(bucket, f"cannot look for {bucket.prefix}{name} in bucket {bucket.bucket}", work)


async def publish_json(bucket: Bucket, name: str, document: dict[str, Any], owner: Ownership) -> Published:
    """Make the bucket hold this document, marked as the owner's. What is equal already is not written.

    A write goes through only if nobody wrote since it was read. Permanent when the object there is not the owner's.
    """

    def work(place: Any, cancelled: Event) -> Published:
        return _read_compare_write(place, bucket, name, document, owner, cancelled)

    return await _in_bucket(bucket, f"cannot publish {bucket.prefix}{name} to bucket {bucket.bucket}", work)


async def remove_object(bucket: Bucket, name: str, network: str, run: str | None = None) -> bool:
    """Remove the network's object, if nobody wrote to it since it was looked at; gives whether it was there.

    Permanent when it is not the network's.
    """

    def work(place: Any, cancelled: Event) -> bool:
        there = place.get_blob(bucket.prefix + name, **_LIMITS)
        if there is None:
            return False
        if why := publication.not_ours(there.metadata or {}, network, run):
            raise Permanent(f"{bucket.url(name)} is not removed", why=why, advice="remove it yourself if you mean it")
        _check_running(cancelled, f"{name} was not removed")
        there.delete(if_generation_match=int(there.generation), **_LIMITS)
        return True

    return await _in_bucket(bucket, f"cannot remove {bucket.prefix}{name} from bucket {bucket.bucket}", work)


def check_ours(bucket: Bucket, name: str, found: Mapping[str, str], owner: Ownership) -> None:
    """Permanent when an object with these marks may not be overwritten by the owner."""
    if why := publication.not_ours(found, owner.network, owner.run):
        raise Permanent(
            f"{bucket.url(name)} is there already and may not be overwritten",
            why=why,
            advice="name another data_bucket (or give the block a prefix), choose another name for the network, or, when nobody needs the object "
            "any more, remove it: `delete-network` with this data_bucket does when Cosmodrome has put it there",
        )


def _read_compare_write(place: Any, bucket: Bucket, name: str, document: dict[str, Any], owner: Ownership, cancelled: Event) -> Published:
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    marks = publication.marks(owner)
    there = place.get_blob(bucket.prefix + name, **_LIMITS)
    if there is not None:
        check_ours(bucket, name, there.metadata or {}, owner)
        old = there.download_as_bytes(if_generation_match=there.generation, **_LIMITS)
        if _parsed(old) == document and there.metadata == marks:
            return Published(bucket.url(name), int(there.generation), Publication.UNCHANGED)
    _check_running(cancelled, f"{name} was not published")
    blob = place.blob(bucket.prefix + name)
    blob.cache_control = "no-cache"
    blob.metadata = marks
    generation = int(there.generation) if there is not None else 0  # 0: only if there is none
    blob.upload_from_string(text, content_type="application/json", if_generation_match=generation, **_LIMITS)
    return Published(bucket.url(name), int(blob.generation), Publication.CHANGED if generation else Publication.CREATED)


def _check_running(cancelled: Event, what: str) -> None:
    if cancelled.is_set():
        raise Transient(what, why="the run was cancelled")


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


async def _in_bucket(bucket: Bucket, what: str, work: Callable[[Any, Event], T]) -> T:
    """What `work` gives, in a thread of its own; what the client raises comes out as one of our two kinds of errors."""
    cancelled = Event()
    try:
        return await asyncio.to_thread(_attempt, bucket, what, work, cancelled)
    finally:
        cancelled.set()  # a thread cannot be stopped from outside: it looks before every write


def _attempt(bucket: Bucket, what: str, work: Callable[[Any, Event], T], cancelled: Event) -> T:
    from google.api_core.exceptions import GoogleAPICallError, PreconditionFailed  # a second's import, only for those who publish
    from google.auth.exceptions import GoogleAuthError
    from requests.exceptions import RequestException

    try:
        client = bucket.client()
    except (GoogleAuthError, ValueError) as error:
        raise Permanent(what, why=f"no usable credentials: {type(error).__name__}", advice="give the Bucket block a service account's key") from None
    try:
        for _ in range(_ATTEMPTS):
            try:
                return work(client.bucket(bucket.bucket), cancelled)
            except PreconditionFailed:  # somebody else wrote meanwhile: look again
                continue
        raise Transient(what, why=f"another writer was quicker {_ATTEMPTS} times", advice="see who else writes to this object")
    except GoogleAPICallError as error:
        raise _translate(what, error) from None
    except GoogleAuthError as error:
        raise Permanent(what, why=str(error)[:300], advice="give the Bucket block credentials that may write there") from None
    except (RequestException, OSError) as error:
        raise Transient(what, why=f"{type(error).__name__}: {str(error)[:300]}", advice="check that the storage can be reached") from None
    finally:
        client.close()


def _translate(what: str, error: Any) -> Transient | Permanent:
    code = int(error.code or 0)
    why = f"{code}: {str(error.message)[:300]}"
    if code == 429 or code >= 500:
        return Transient(what, why=why, advice="the storage has trouble: try again later")
    if code == 404:
        return Permanent(what, why=why, advice="create the bucket, or correct its name in the Bucket block")
    if code in (401, 403):
        return Permanent(what, why=why, advice="give the block's service account the role Storage Object User on the bucket")
    return Permanent(what, why=why, advice="correct the Bucket block")
