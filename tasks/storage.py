"""Publishing documents to Cloud Storage: what is there is read first, and never overwritten unseen."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from enum import StrEnum
from threading import Event
from typing import Any

from blocks.bucket import Bucket
from networks.errors import Permanent, Transient

_CONNECT_AND_READ = (3.0, 8.0)  # seconds, for each request: so long a cancelled run may still have to wait for it
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


async def load_bucket(name: str) -> Bucket:
    """The Bucket block of that name. Permanent when there is none."""
    try:
        return await Bucket.aload(name)
    except ValueError as error:
        if "Unable to find" not in str(error):
            raise
        raise Permanent(f"there is no Bucket block named {name!r}", advice="save one in the UI under Blocks, or leave data_bucket empty") from None


async def publish_json(bucket: Bucket, name: str, document: dict[str, Any]) -> Published:
    """Make the bucket hold this document. A write goes through only if nobody wrote since it was read; what is equal already is not written."""
    cancelled = Event()
    try:
        return await asyncio.to_thread(_publish, bucket, name, document, cancelled)
    finally:
        cancelled.set()  # a thread cannot be stopped from outside: it looks before every request


def _publish(bucket: Bucket, name: str, document: dict[str, Any], cancelled: Event) -> Published:
    from google.api_core.exceptions import GoogleAPICallError, PreconditionFailed  # a second's import, only for those who publish
    from google.auth.exceptions import GoogleAuthError
    from requests.exceptions import RequestException

    what = f"cannot publish {bucket.prefix}{name} to bucket {bucket.bucket}"
    try:
        client = bucket.client()
    except (GoogleAuthError, ValueError) as error:
        raise Permanent(what, why=f"no usable credentials: {type(error).__name__}", advice="give the Bucket block a service account's key") from None
    try:
        for _ in range(_ATTEMPTS):
            try:
                return _read_compare_write(client.bucket(bucket.bucket), bucket, name, document, cancelled)
            except PreconditionFailed:  # somebody else wrote meanwhile: look again
                continue
        raise Transient(what, why=f"another writer was quicker {_ATTEMPTS} times", advice="see who else publishes this document")
    except GoogleAPICallError as error:
        raise _translate(what, error) from None
    except GoogleAuthError as error:
        raise Permanent(what, why=str(error)[:300], advice="give the Bucket block credentials that may write there") from None
    except (RequestException, OSError) as error:
        raise Transient(what, why=f"{type(error).__name__}: {str(error)[:300]}", advice="check that the storage can be reached") from None
    finally:
        client.close()


def _read_compare_write(place: Any, bucket: Bucket, name: str, document: dict[str, Any], cancelled: Event) -> Published:
    limits: dict[str, Any] = {"timeout": _CONNECT_AND_READ, "retry": None}
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    there = place.get_blob(bucket.prefix + name, **limits)
    if there is not None:
        old = there.download_as_bytes(if_generation_match=there.generation, **limits)
        if _parsed(old) == document:
            return Published(bucket.url(name), int(there.generation), Publication.UNCHANGED)
    if cancelled.is_set():
        raise Transient(f"{name} was not published", why="the run was cancelled")
    blob = place.blob(bucket.prefix + name)
    blob.cache_control = "no-cache"
    generation = int(there.generation) if there is not None else 0  # 0: only if there is none
    blob.upload_from_string(text, content_type="application/json", if_generation_match=generation, **limits)
    return Published(bucket.url(name), int(blob.generation), Publication.CHANGED if generation else Publication.CREATED)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


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
