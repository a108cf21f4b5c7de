"""The parts that controllers are made of."""

from __future__ import annotations

import asyncio
from typing import Any

from lab.clock import Clock
from lab.controllers.controller import Index, WorkQueue
from lab.controllers.events import EventExpiry, Recorder
from lab.kubernetes.kinds import CONFIG_MAP, EVENT, NAMESPACE
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]


def registry(speed: float = 1) -> Registry:
    made = Registry(Clock(speed))
    made.create(NAMESPACE, {"metadata": {"name": "demo"}})
    return made


def config_map(made: Registry, name: str = "a", **labels: str) -> Obj:
    return made.create(CONFIG_MAP, {"metadata": {"name": name, "labels": labels}}, "demo")


async def test_a_queue_holds_a_name_once_and_keeps_the_order() -> None:
    queue: WorkQueue[str] = WorkQueue(Clock(1000))
    for name in "abab":
        queue.add(name)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    queue.add("a")
    assert await queue.get() == "a"


async def test_a_name_that_rests_comes_when_the_time_is_over() -> None:
    clock = Clock(1000)
    queue: WorkQueue[str] = WorkQueue(clock)
    began = clock.monotonic()
    queue.rest("large", 0.02)
    queue.add("large")
    queue.add("small")
    assert [await queue.get(), await queue.get()] == ["small", "large"]
    assert clock.monotonic() - began >= 20


async def test_the_earliest_wish_for_later_stands_and_waits_its_time() -> None:
    clock = Clock(1000)
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add_after("late", 30)
    queue.add_after("a", 20)
    queue.add_after("a", 10)
    began = clock.monotonic()
    assert await queue.get() == "a"
    assert clock.monotonic() - began >= 10
    assert await queue.get() == "late"
    assert clock.monotonic() - began >= 30


async def test_retries_come_slower_and_slower_until_it_goes_well() -> None:
    clock = Clock(1000)
    queue: WorkQueue[str] = WorkQueue(clock, first_delay=2, longest_delay=8)
    waits = []
    for _ in range(4):
        began = clock.monotonic()
        queue.retry("a")
        await queue.get()
        waits.append(clock.monotonic() - began)
    assert all(wait >= least for wait, least in zip(waits, (2, 4, 8, 8), strict=True))
    queue.forget("a")
    queue.retry("a")
    queue.add_after("b", 2.5)
    assert [await queue.get(), await queue.get()] == ["a", "b"]


def test_an_index_follows_every_write() -> None:
    made = registry()
    config_map(made, "old", colour="red")
    index = Index(made.store, CONFIG_MAP, lambda obj: (obj["metadata"].get("labels", {}).get("colour"),))
    config_map(made, "new", colour="red")
    assert [one["metadata"]["name"] for one in index.get("red")] == ["old", "new"]
    made.modify(CONFIG_MAP, "demo", "old", lambda one: one["metadata"].update(labels={"colour": "blue"}))
    made.delete(CONFIG_MAP, "demo", "new")
    assert index.get("red") == []
    assert index.get("blue")[0]["metadata"]["resourceVersion"] == made.get(CONFIG_MAP, "demo", "old")["metadata"]["resourceVersion"]
    index.close()
    config_map(made, "later", colour="red")
    assert index.get("red") == []


def test_a_repeated_event_is_counted_and_its_name_is_the_object_and_a_time() -> None:
    made = registry()
    obj = config_map(made)
    recorder = Recorder(made, "kubelet", "node1")
    for _ in range(3):
        recorder.event(obj, "Warning", "BackOff", "Back-off restarting failed container", "spec.containers{main}")
    recorder.event(obj, "Normal", "Pulled", "something else")
    first, second = made.list(EVENT, "demo")
    assert [first["count"], second["count"]] == [3, 1]
    name, _, number = first["metadata"]["name"].partition(".")
    assert (name, len(number)) == ("a", 16)
    assert int(number, 16)
    assert first["source"] == {"component": "kubelet", "host": "node1"}
    assert first["involvedObject"]["fieldPath"] == "spec.containers{main}"
    assert (first["reportingComponent"], first["reportingInstance"], first["eventTime"]) == ("kubelet", "node1", None)


def test_a_flood_of_events_about_one_object_is_cut_off() -> None:
    made = registry()
    obj = config_map(made)
    recorder = Recorder(made, "kubelet", "node1")
    for _ in range(60):
        recorder.event(obj, "Warning", "BackOff", "again")
    (event,) = made.list(EVENT, "demo")
    assert event["count"] == 25


async def test_events_end_after_an_hour_without_news() -> None:
    made = registry(speed=20_000)
    obj = config_map(made)
    recorder = Recorder(made, "kubelet")
    expiry = asyncio.create_task(EventExpiry(made).run())
    recorder.event(obj, "Normal", "Old", "before")
    async with asyncio.timeout(10):
        await asyncio.sleep(0)
        recorder.event(obj, "Normal", "New", "first")
        began = made.clock.monotonic()
        while made.list(EVENT, "demo"):
            await asyncio.sleep(0.001)
    assert made.clock.monotonic() - began >= 3600
    expiry.cancel()
