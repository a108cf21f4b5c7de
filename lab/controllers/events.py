"""Events as the real components record them: repeats counted, many alike combined, floods cut off; and their end after an hour."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from lab.clock import micro_timestamp
from lab.controllers.controller import key_of
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import EVENT
from lab.kubernetes.registry import SYSTEM, Context, Registry
from lab.kubernetes.store import Event as Write

Obj = dict[str, Any]
Type = Literal["Normal", "Warning"]

log = logging.getLogger("lab.controllers")

_COMBINE_FROM = 10  # different messages about one object, reason and source before they are combined
_COMBINE_WITHIN = 600.0  # lab seconds
_BURST = 25  # events about one object from one source before a flood is cut off
_REFILL = 300.0  # lab seconds until one more is let through
_LIFE = 3600.0  # lab seconds
_REMEMBERED = 4096  # what a real recorder's cache holds

_nanoseconds = [0]  # the last one used


def _event_name(name: str) -> str:
    """`<object>.<16 hex>`: the time in nanoseconds, made unique."""
    _nanoseconds[0] = max(time.time_ns(), _nanoseconds[0] + 1)
    return f"{name[:236]}.{_nanoseconds[0]:x}"


def reference(obj: Obj, field_path: str | None = None) -> Obj:
    """What an event says of the object that it is about."""
    meta = obj["metadata"]
    found = {
        "kind": obj["kind"], "namespace": meta.get("namespace"), "name": meta["name"], "uid": meta.get("uid"), "apiVersion": obj["apiVersion"],
        "resourceVersion": meta.get("resourceVersion"), "fieldPath": field_path,
    }  # fmt: skip
    return {key: value for key, value in found.items() if value}


@dataclass
class _Alike:
    """Events that differ in their message only."""

    messages: set[str] = field(default_factory=set)
    last: float = 0.0


@dataclass
class _Flood:
    """A bucket of events that may still be written about an object."""

    left: float = _BURST
    last: float = 0.0


class Recorder:
    """Writes events for one component: `Recorder(registry, "kubelet", host="node1").event(pod, "Normal", "Pulled", "...")`."""

    def __init__(self, registry: Registry, component: str, host: str = "") -> None:
        self._registry = registry
        self._component = component
        self._host = host
        self._context = Context(SYSTEM.user, SYSTEM.groups, manager="kubelet" if component == "kubelet" else "kube-controller-manager")
        self._seen: dict[tuple[Any, ...], str] = {}  # what an event says -> namespace/name of the event that counts it
        self._alike: dict[tuple[Any, ...], _Alike] = {}
        self._floods: dict[tuple[Any, ...], _Flood] = {}

    def event(self, obj: Obj, kind: Type, reason: str, message: str, field_path: str | None = None) -> None:
        """Record that something happened to an object. Never fails: events are best effort."""
        about = reference(obj, field_path)
        same_object = tuple(about.get(key) for key in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath"))
        alike = (*same_object, kind, reason)
        combined = self._is_combined(alike, message)
        if combined:
            message = f"(combined from similar events): {message}"
        key = alike if combined else (*alike, message)
        if self._is_flooded(same_object):
            return
        try:
            if not self._count(key, message):
                self._create(key, about, kind, reason, message, combined)
        except ApiError as error:
            log.debug("event %s about %s not written: %s", reason, about["name"], error)

    def _is_combined(self, alike: tuple[Any, ...], message: str) -> bool:
        now = self._registry.clock.monotonic()
        record = self._alike.get(alike)
        if record is None or now - record.last > _COMBINE_WITHIN:
            record = self._alike[alike] = _Alike()
            _forget_oldest(self._alike)
        record.last = now
        record.messages.add(message)
        if len(record.messages) < _COMBINE_FROM:
            return False
        record.messages.pop()
        return True

    def _is_flooded(self, same_object: tuple[Any, ...]) -> bool:
        now = self._registry.clock.monotonic()
        bucket = self._floods.get(same_object)
        if bucket is None:
            bucket = self._floods[same_object] = _Flood(last=now)
            _forget_oldest(self._floods)
        bucket.left = min(_BURST, bucket.left + (now - bucket.last) / _REFILL)
        bucket.last = now
        if bucket.left < 1:
            return True
        bucket.left -= 1
        return False

    def _count(self, key: tuple[Any, ...], message: str) -> bool:
        """Raise the count of the event that said so before; False when there is none any more."""
        known = self._seen.get(key)
        if known is None:
            return False
        namespace, name = known.split("/", 1)
        if self._registry.find(EVENT, namespace, name) is None:
            return False

        def again(event: Obj) -> None:
            event["count"] = event.get("count", 1) + 1
            event["lastTimestamp"] = self._registry.now()
            event["message"] = message

        self._registry.modify(EVENT, namespace, name, again, ctx=self._context)
        return True

    def _create(self, key: tuple[Any, ...], about: Obj, kind: Type, reason: str, message: str, combined: bool) -> None:
        now = self._registry.now()
        namespace, name = about.get("namespace", "default"), _event_name(about["name"])
        source = {"component": self._component, **({"host": self._host} if self._host else {})}
        event = {
            "kind": "Event", "apiVersion": "v1", "metadata": {"name": name, "namespace": namespace}, "involvedObject": about, "reason": reason,
            "message": message, "source": source, "firstTimestamp": now, "lastTimestamp": now, "count": 1, "type": kind, "eventTime": None,
            "reportingComponent": "" if combined else self._component, "reportingInstance": "" if combined else self._host,
        }  # fmt: skip
        self._registry.create(EVENT, event, namespace, self._context)
        self._seen[key] = f"{namespace}/{name}"
        _forget_oldest(self._seen)


class SeriesRecorder:
    """Writes events in the newer form, as the scheduler does: an eventTime, no count; the first repeat makes it a series."""

    def __init__(self, registry: Registry, component: str, instance: str) -> None:
        self._registry = registry
        self._component = component
        self._instance = instance
        self._context = Context(SYSTEM.user, SYSTEM.groups, manager="kube-scheduler")
        self._seen: dict[tuple[Any, ...], str] = {}

    def event(self, obj: Obj, kind: Type, reason: str, action: str, message: str) -> None:
        """Record that something happened to an object. Never fails: events are best effort."""
        about = reference(obj)
        key = (*about.values(), kind, reason, action)
        try:
            if key in self._seen:
                self._repeat(about, self._seen[key])
            else:
                self._create(key, about, kind, reason, action, message)
        except ApiError as error:
            log.debug("event %s about %s not written: %s", reason, about["name"], error)

    def _repeat(self, about: Obj, name: str) -> None:
        namespace = about.get("namespace", "default")
        event = self._registry.find(EVENT, namespace, name)
        if event is None or "series" in event:  # a real recorder refreshes a known series every half hour only
            return
        series = {"count": 2, "lastObservedTime": micro_timestamp(self._registry.clock.now())}
        self._registry.modify(EVENT, namespace, name, lambda some: some.update(series=series), ctx=self._context)

    def _create(self, key: tuple[Any, ...], about: Obj, kind: Type, reason: str, action: str, message: str) -> None:
        namespace, name = about.get("namespace", "default"), _event_name(about["name"])
        event = {
            "kind": "Event", "apiVersion": "v1", "metadata": {"name": name, "namespace": namespace}, "involvedObject": about, "reason": reason,
            "message": message, "source": {}, "firstTimestamp": None, "lastTimestamp": None, "type": kind,
            "eventTime": micro_timestamp(self._registry.clock.now()), "action": action, "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }  # fmt: skip
        self._registry.create(EVENT, event, namespace, self._context)
        self._seen[key] = name
        _forget_oldest(self._seen)


def _forget_oldest(cache: dict[Any, Any]) -> None:
    if len(cache) > _REMEMBERED:
        del cache[next(iter(cache))]


class EventExpiry:
    """Events live for an hour after their last write."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._clock = registry.clock
        self._due: deque[tuple[float, tuple[str, str], str]] = deque()  # when, which, in which version: ordered, as all live equally long

    async def run(self) -> None:
        """Work until cancelled."""
        for obj in self._registry.store.items(EVENT):
            self._plan(obj)
        stop = self._registry.store.listen(EVENT, self._hear)
        try:
            while True:
                now = self._clock.monotonic()
                while self._due and self._due[0][0] <= now:
                    self._end(*self._due.popleft()[1:])
                # Nothing that is written from now on ends before this sleep does.
                await self._clock.sleep(self._due[0][0] - now if self._due else _LIFE)
        finally:
            stop()

    def _hear(self, write: Write) -> None:
        if write.type != "DELETED":
            self._plan(write.object)

    def _plan(self, obj: Obj) -> None:
        self._due.append((self._clock.monotonic() + _LIFE, key_of(obj), obj["metadata"]["resourceVersion"]))

    def _end(self, key: tuple[str, str], version: str) -> None:
        event = self._registry.find(EVENT, *key)
        if event is not None and event["metadata"]["resourceVersion"] == version:
            self._registry.store.remove(EVENT, *key)
