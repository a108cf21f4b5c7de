"""The DNS records of a Cloudflare zone: what may stand in them, which may stand together, how they are found. No HTTP."""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from lab.clock import Clock, micro_timestamp

Obj = dict[str, Any]

PROXIED_TYPES = ("A", "AAAA", "CNAME")
TYPES = (*PROXIED_TYPES, "CAA", "MX", "NS", "PTR", "SRV", "TXT", "URI")
_FIELDS = ("name", "type", "content", "ttl", "proxied", "comment", "tags", "settings", "priority", "data")
_LABEL = re.compile(r"^(\*|[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)$")
_TESTS: dict[str, Callable[[str, str], bool]] = {
    "exact": lambda value, wanted: value == wanted,
    "contains": lambda value, wanted: wanted in value,
    "startswith": lambda value, wanted: value.startswith(wanted),
    "endswith": lambda value, wanted: value.endswith(wanted),
}


class RecordError(Exception):
    """A refusal with Cloudflare's number for it."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


class Records:
    """The records of one zone."""

    def __init__(self, zone: str, clock: Clock, quota: int = 1000) -> None:
        self._zone = zone
        self._clock = clock
        self.quota = quota
        self._records: dict[str, Obj] = {}

    def all(self) -> list[Obj]:
        """As they were made."""
        return list(self._records.values())

    def get(self, record_id: str) -> Obj:
        """One, or 81044."""
        if record_id not in self._records:
            raise RecordError(81044, "Record does not exist.", 404)
        return self._records[record_id]

    def create(self, given: Obj) -> Obj:
        """A new record."""
        record = self._checked(given)
        if len(self._records) >= self.quota:
            raise RecordError(81045, "Record quota exceeded.")
        self._check_neighbours(record)
        now = micro_timestamp(self._clock.now())
        made = {"id": secrets.token_hex(16), **record, "created_on": now, "modified_on": now}
        self._records[made["id"]] = made
        return made

    def update(self, record_id: str, given: Obj, whole: bool) -> Obj:
        """Another content for a record: all of it (PUT) or the given fields (PATCH)."""
        old = self.get(record_id)
        record = self._checked(given if whole else {key: old[key] for key in _FIELDS if key in old} | given)
        self._check_neighbours(record, record_id)
        new = {"id": record_id, **record, "created_on": old["created_on"], "modified_on": micro_timestamp(self._clock.now())}
        self._records[record_id] = new
        return new

    def delete(self, record_id: str) -> Obj:
        """Forget one; gives what it was."""
        return self._records.pop(self.get(record_id)["id"])

    def batch(self, wish: Obj) -> dict[str, list[Obj]]:
        """Deletes, patches, puts, posts, in this order; all of them or, with an error, none."""
        before = dict(self._records)
        try:
            return {
                "deletes": [self.delete(_id_of(one)) for one in wish.get("deletes") or ()],
                "patches": [self.update(_id_of(one), one, whole=False) for one in wish.get("patches") or ()],
                "puts": [self.update(_id_of(one), one, whole=True) for one in wish.get("puts") or ()],
                "posts": [self.create(one) for one in wish.get("posts") or ()],
            }
        except RecordError:
            self._records = before
            raise

    def find(self, query: Mapping[str, str]) -> list[Obj]:
        """The records that a list request asks for, in its order."""
        tests = list(filter(None, (_read_test(key, value) for key, value in query.items())))
        together = any if query.get("match") == "any" and tests else all
        found = [record for record in self._records.values() if together(test(record) for test in tests)]
        if order := query.get("order"):
            found.sort(key=lambda record: str(record.get(order, "")))
        if query.get("direction") == "desc":
            found.reverse()
        return found

    def _checked(self, given: Obj) -> Obj:
        kind = given.get("type")
        if not isinstance(kind, str) or kind not in TYPES:
            raise RecordError(9000, "DNS record type is invalid." if kind else "DNS record type is required.")
        name = self._full_name(given.get("name"))
        content = given.get("content")
        if not isinstance(content, str) or not content.strip():
            raise RecordError(9003, "DNS record content is required.")
        proxied, ttl = given.get("proxied", False), given.get("ttl", 1)
        if proxied and kind not in PROXIED_TYPES:
            raise RecordError(9004, "This record type cannot be proxied.")
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or (ttl != 1 and not 60 <= ttl <= 86400):
            raise RecordError(9021, "Invalid TTL. Must be between 60 and 86,400 seconds, or 1 for Automatic.")
        tags, comment = given.get("tags") or [], given.get("comment")
        if not isinstance(tags, list) or not isinstance(comment, str | None) or not isinstance(proxied, bool | None):
            raise RecordError(9207, "Request body is invalid.")
        if tags:
            raise RecordError(9300, f"DNS record has {len(tags)} tags, exceeding the quota of 0.")
        record: Obj = {
            "name": name, "type": kind, "content": _content(kind, content.strip()), "proxiable": kind in PROXIED_TYPES, "proxied": bool(proxied),
            "ttl": 1 if proxied else int(ttl), "settings": given.get("settings") or {}, "meta": {}, "comment": comment or None,
            "tags": [],
        }  # fmt: skip
        return record | {key: given[key] for key in ("priority", "data") if key in given}

    def _full_name(self, name: Any) -> str:
        """Names may be given relative to the zone; the zone's own name is also `@`."""
        if not isinstance(name, str) or not name:
            raise RecordError(9000, "DNS name is invalid.")
        full: str = name.rstrip(".").lower()
        if full == "@":
            return self._zone
        if full != self._zone and not full.endswith("." + self._zone):
            full = f"{full}.{self._zone}"
        if len(full) > 253 or not all(_LABEL.match(label) for label in full.split(".")):
            raise RecordError(9000, "DNS name is invalid.")
        return full

    def _check_neighbours(self, record: Obj, own_id: str = "") -> None:
        """What may not stand together: the same record twice, or a CNAME beside anything that answers for the same name."""
        for other in self._records.values():
            if other["id"] == own_id or other["name"] != record["name"]:
                continue
            if (other["type"], other["content"]) == (record["type"], record["content"]):
                if (other["proxied"], other["ttl"]) == (record["proxied"], record["ttl"]):
                    raise RecordError(81058, "An identical record already exists.")
                raise RecordError(81057, "The record already exists.")
            if record["type"] == "CNAME" and other["type"] in PROXIED_TYPES:
                raise RecordError(81053, "An A, AAAA, or CNAME record with that host already exists.")
            if other["type"] == "CNAME" and record["type"] in PROXIED_TYPES:
                raise RecordError(81054, "A CNAME record with that host already exists.")


def _content(kind: str, content: str) -> str:
    versions = {
        "A": (4, 9005, "Content for A record must be a valid IPv4 address."),
        "AAAA": (6, 9006, "Content for AAAA record must be a valid IPv6 address."),
    }  # fmt: skip
    if kind in versions:
        version, code, message = versions[kind]
        try:
            address = ipaddress.ip_address(content)
        except ValueError:
            raise RecordError(code, message) from None
        if address.version != version:
            raise RecordError(code, message)
        return address.compressed
    if kind == "CNAME":
        content = content.rstrip(".").lower()
        if not all(_LABEL.match(label) for label in content.split(".")):
            raise RecordError(9007, "Content for CNAME record is invalid.")
    return content


def _id_of(one: Any) -> str:
    return str(one.get("id", "")) if isinstance(one, dict) else ""


def _read_test(key: str, wanted: str) -> Callable[[Obj], bool] | None:
    """`type`, `proxied`, `search`, and `name`, `content`, `comment` with their operators (`name`, `name.endswith`); None for other parameters."""
    field, _, operator = key.partition(".")
    if key == "type":
        return lambda record: record["type"] == wanted.upper()
    if key == "proxied":
        return lambda record: record["proxied"] == (wanted.lower() == "true")
    if key == "search":
        return lambda record: any(wanted.lower() in str(record[name] or "").lower() for name in ("name", "content", "comment"))
    if field == "comment" and operator in ("present", "absent"):
        return lambda record: bool(record["comment"]) == (operator == "present")
    test = _TESTS.get(operator or "exact")
    if field not in ("name", "content", "comment") or test is None:
        return None
    matches = test
    return lambda record: matches(str(record[field] or "").lower(), wanted.lower())
