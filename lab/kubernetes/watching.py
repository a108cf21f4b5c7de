"""Watches over HTTP: initial events, changes as the selectors see them, bookmarks, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from aiohttp import web

from lab.kubernetes.call import Call
from lab.kubernetes.errors import ApiError, expired
from lab.kubernetes.kinds import Kind
from lab.kubernetes.listing import check_list_options, encode_object, parse_version, partial, selection
from lab.kubernetes.negotiation import Form
from lab.kubernetes.registry import Registry
from lab.kubernetes.selectors import Test
from lab.kubernetes.store import Event, Expired, Subscription
from lab.kubernetes.tables import Columns, encode_table
from lab.kubernetes.versions import to_served

Obj = dict[str, Any]
Type = Literal["ADDED", "MODIFIED", "DELETED"]

INITIAL_END = "k8s.io/initial-events-end"
_LONGEST = 3600.0  # the server ends watches with no timeoutSeconds after half an hour to an hour
_HEARTBEAT = 60.0  # a bookmark about every minute
_BEFORE_END = 2.0  # and one so long before the end
_LOOK_FOR_CLIENT = 5.0  # how often an idle watch looks whether its client is still there
# Fields that even an empty object of these kinds shows.
_POD_TEMPLATE: Obj = {"metadata": {}, "spec": {"containers": None}}
_BOOKMARK_EXTRA: dict[str, Obj] = {
    "Pod": {"spec": {"containers": None}, "status": {}},
    "Node": {"spec": {}, "status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}, "nodeInfo": {}}},
    "Namespace": {"spec": {}, "status": {}},
    "Service": {"spec": {}, "status": {"loadBalancer": {}}},
    "PersistentVolumeClaim": {"spec": {"resources": {}}, "status": {}},
    "PersistentVolume": {"spec": {}, "status": {}},
    "Deployment": {"spec": {"replicas": 0, "selector": None, "template": _POD_TEMPLATE, "strategy": {}}, "status": {}},
    "ReplicaSet": {"spec": {"selector": None, "template": _POD_TEMPLATE}, "status": {"replicas": 0}},
    "StatefulSet": {"spec": {"selector": None, "template": _POD_TEMPLATE, "serviceName": "", "updateStrategy": {}}, "status": {"replicas": 0}},
    "Job": {"spec": {"template": _POD_TEMPLATE}, "status": {}},
    "Ingress": {"spec": {}, "status": {"loadBalancer": {}}},
    "CustomResourceDefinition": {
        "spec": {"group": "", "names": {"plural": "", "kind": ""}, "scope": "", "versions": None},
        "status": {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": None},
    },
    "Event": {
        "involvedObject": {}, "source": {}, "firstTimestamp": None, "lastTimestamp": None, "eventTime": None,
        "reportingComponent": "", "reportingInstance": "",
    },
}  # fmt: skip


@dataclass
class Watch:
    """One watch: which objects, in which form, and how far it got."""

    registry: Registry
    kind: Kind
    stored: Kind
    form: Form
    namespace: str | None
    name: str
    test: Test | None
    columns: Columns
    bookmarks: bool

    @property
    def served(self) -> bool:
        """Whether its kind is still there."""
        return not self.kind.custom or self.registry.kinds.by_path(self.kind.group, self.kind.version, self.kind.plural) is self.kind

    def concerns(self, obj: Obj) -> bool:
        meta = obj["metadata"]
        if self.namespace is not None and meta.get("namespace", "") != self.namespace:
            return False
        if self.name and meta["name"] != self.name:
            return False
        return self.test is None or self.test(obj)

    def may_concern(self, event: Event) -> bool:
        """Quick: whether an event has to be looked at."""
        meta = event.object["metadata"]
        return (self.namespace is None or meta.get("namespace", "") == self.namespace) and (not self.name or meta["name"] == self.name)

    def line(self, event: Event) -> bytes | None:
        """What this watch shows of an event: with selectors an object may come and go by a change. None: nothing."""
        if self.test is None:
            return self.encode(event.type, event.object) if self.concerns(event.object) else None
        now = event.type != "DELETED" and self.concerns(event.object)
        before = event.old is not None and self.concerns(event.old)
        if now:
            return self.encode("MODIFIED" if before else "ADDED", event.object)
        if not before or event.old is None:
            return None
        if event.type == "DELETED":
            return self.encode("DELETED", event.object)
        left = {**event.old, "metadata": {**event.old["metadata"], "resourceVersion": str(event.version)}}
        return self._wrap("DELETED", self._changed(left))

    def encode(self, kind_of_event: Type, obj: Obj) -> bytes:
        if self.form.shape == "Table":
            meta = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            return self._wrap(kind_of_event, encode_table(self.registry, self.kind, [obj], meta, self.form, self.columns))
        if self.form.shape:
            return self._wrap(kind_of_event, orjson.dumps(partial(obj, self.form.version)))
        return self._wrap(kind_of_event, encode_object(self.registry, self.kind, obj))

    def _changed(self, obj: Obj) -> bytes:
        """An object that no store has: its version stands for something else, so nothing of it may be cached."""
        if self.form.shape == "Table":
            return encode_table(self.registry, self.kind, [obj], {"resourceVersion": obj["metadata"]["resourceVersion"]}, self.form, self.columns)
        if self.form.shape:
            return orjson.dumps(partial(obj, self.form.version))
        return orjson.dumps(to_served(self.kind, obj))

    @staticmethod
    def _wrap(kind_of_event: str, data: bytes) -> bytes:
        return b'{"type":"%s","object":%s}\n' % (kind_of_event.encode(), data.rstrip(b"\n"))

    def bookmark(self, version: int, initial: bool = False) -> bytes:
        """An event that only says how far the watch got."""
        meta: Obj = {"resourceVersion": str(version)}
        if initial:
            meta["annotations"] = {INITIAL_END: "true"}
        obj: Obj = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": meta}
        if self.form.shape == "Table":
            table: Obj = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": None, "rows": []}
            return self._wrap("BOOKMARK", orjson.dumps(table))
        if self.form.shape:
            obj = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{self.form.version}", "metadata": meta}
        elif not self.kind.custom and not self.kind.stored_as:
            obj.update(_BOOKMARK_EXTRA.get(self.kind.kind, {}))
        return self._wrap("BOOKMARK", orjson.dumps(obj))


def _error_line(error: ApiError) -> bytes:
    return Watch._wrap("ERROR", orjson.dumps(error.body))


async def watch(registry: Registry, kind: Kind, call: Call, form: Form) -> web.StreamResponse:
    """Answer a watch until its time is over or the client has gone."""
    timeout, _ = call.number("timeoutSeconds"), call.number("limit")
    check_list_options(call, watch=True)
    test = selection(kind, call)
    text = call.query.get("resourceVersion", "")
    try:
        version = parse_version(text) if text else 0
    except ValueError as error:
        raise ApiError(500, str(error)) from None
    stored = registry.kinds.stored(kind)
    seen = Watch(
        registry, kind, stored, form, call.target.namespace if call.target.in_namespace else None, call.target.name, test,
        Columns(), bool(call.flag("allowWatchBookmarks")),
    )  # fmt: skip
    headers = {"Cache-Control": "no-cache, private", "Content-Type": "application/json"}
    response = web.StreamResponse(headers=headers)
    response.enable_chunked_encoding()
    # Subscribed before the state is read, so that nothing falls between; what the state has already is left out by its version.
    subscription = registry.store.subscribe(seen.may_concern, stored, f"{call.method} {call.request.raw_path}")
    try:
        await response.prepare(call.request)
        with contextlib.suppress(ConnectionResetError, ConnectionError):
            start = await _begin(seen, response, version, call.flag("sendInitialEvents"))
            if start is not None:
                await _follow(seen, call.request, response, subscription, start, float(timeout) if timeout else _LONGEST)
            await response.write_eof()
    finally:
        subscription.close()
    return response


async def _begin(seen: Watch, response: web.StreamResponse, version: int, initial: bool | None) -> int | None:
    """Send what is there (or what was missed); gives the version from which changes follow, None when the watch is over."""
    store = seen.registry.store
    if (version == 0 and initial is not False) or initial:
        now = store.version
        lines = [seen.encode("ADDED", item) for item in store.items(seen.stored, seen.namespace) if seen.concerns(item)]
        if seen.bookmarks:  # not only for those who asked for initial events
            lines.append(seen.bookmark(now, initial=True))
    else:
        now = store.version if version == 0 else version
        try:
            events = store.since(min(now, store.version))
        except Expired:
            await response.write(_error_line(expired(f"too old resource version: {version} ({store.oldest})")))
            return None
        lines = [line for event in events if event.kind is seen.stored and (line := seen.line(event))]
        now = max(now, store.versions.get(seen.stored, 0))
    if lines:
        await response.write(b"".join(lines))
    return now


async def _follow(
    seen: Watch, request: web.Request, response: web.StreamResponse, subscription: Subscription, start: int, seconds: float
) -> None:
    """Send changes and bookmarks until the time is over."""
    begun, queue = time.monotonic(), subscription.queue
    end = begun + seconds
    mark = min(end - _BEFORE_END, begun + _HEARTBEAT) if seen.bookmarks and seconds > _BEFORE_END else float("inf")
    marked = start
    while (now := time.monotonic()) < end and request.transport is not None and seen.served:
        if now >= mark:
            reached = seen.registry.store.versions.get(seen.stored, 0)
            if reached > marked:
                await response.write(seen.bookmark(reached))
                marked = reached
            mark = min(end - _BEFORE_END, now + _HEARTBEAT) if mark < end - _BEFORE_END else float("inf")
        event = await _next(queue, min(end, mark, now + _LOOK_FOR_CLIENT) - now)
        lines = []
        while event is not None:
            if event.version > start and (line := seen.line(event)):
                lines.append(line)
            event = None if queue.empty() else queue.get_nowait()
        if lines:
            await response.write(b"".join(lines))
        if subscription.expired:
            await response.write(_error_line(expired(f"too old resource version: {start} ({seen.registry.store.version})")))
            return


async def _next(queue: asyncio.Queue[Event | None], seconds: float) -> Event | None:
    if not queue.empty():
        return queue.get_nowait()
    try:
        async with asyncio.timeout(max(seconds, 0.001)):
            return await queue.get()
    except TimeoutError:
        return None
