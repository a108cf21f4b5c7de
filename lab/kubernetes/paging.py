"""limit and continue: pages of one snapshot."""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_left
from typing import Any

from lab.kubernetes.errors import ApiError, bad_request

Obj = dict[str, Any]
FROM_NOW = -1  # in a token: not a snapshot any more, but what is there now


def encode_token(version: int, start: str) -> str:
    """A `continue` token: where the next page starts, in which version."""
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_token(token: str) -> tuple[int, str]:
    """Version and start of a token; 400 for garbage."""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        raise bad_request(f"invalid continue token: continue key is not valid: illegal base64 data at input byte {len(token)}") from None
    try:
        value = json.loads(raw)
        return int(value["rv"]), str(value["start"]).lstrip("/")
    except (ValueError, KeyError, TypeError):
        first = raw[:1].decode("latin-1")
        shown = first if first.isprintable() and first.isascii() else f"\\u{ord(first or chr(0)):04x}"
        raise bad_request(
            f"invalid continue token: continue key is not valid: invalid character '{shown}' looking for beginning of value"
        ) from None


def key_of(obj: Obj, wide: bool) -> str:
    """An object's place in the order of a list: by its name, or by namespace and name in a list over all namespaces."""
    meta = obj["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if wide else str(meta["name"])


def start_index(items: list[Obj], start: str, wide: bool) -> int:
    """Where a page begins. `start` is the last key of the page before and a zero byte."""
    return bisect_left([key_of(item, wide) for item in items], start)


def next_start(last: Obj, wide: bool) -> str:
    """What the token of the next page holds."""
    return f"/{key_of(last, wide)}\0"


def gone(version: int, start: str) -> ApiError:
    """410 with a fresh token that goes on from what is there now."""
    error = _Expired(
        410,
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, "
        "or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an "
        "inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up "
        "in the list.",
        "Expired",
    )
    error.fresh = encode_token(FROM_NOW, start)
    return error


class _Expired(ApiError):
    fresh = ""

    @property
    def body(self) -> Obj:
        return {**super().body, "metadata": {"continue": self.fresh}}
