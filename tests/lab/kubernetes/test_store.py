"""Versions, history, shared parts, encodings."""

from __future__ import annotations

import orjson
import pytest

from lab.kubernetes.kinds import CONFIG_MAP, SECRET
from lab.kubernetes.store import Event, Expired, Obj, Store


def config(name: str, namespace: str = "a", **data: str) -> Obj:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": namespace}, "data": data}


def test_one_counter_for_all_kinds() -> None:
    store = Store()
    first = store.put(CONFIG_MAP, config("x"))
    second = store.put(SECRET, config("x"))
    assert int(second["metadata"]["resourceVersion"]) == int(first["metadata"]["resourceVersion"]) + 1 == store.version
    assert store.versions[CONFIG_MAP] < store.versions[SECRET]


def test_items_are_ordered_like_paths() -> None:
    store = Store()
    for namespace, name in (("a", "z"), ("a-b", "x"), ("b", "a"), ("a", "b")):
        store.put(CONFIG_MAP, config(name, namespace))
    assert [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in store.items(CONFIG_MAP)] == [
        ("a-b", "x"), ("a", "b"), ("a", "z"), ("b", "a"),
    ]  # fmt: skip


def test_the_past_can_be_listed() -> None:
    store = Store()
    store.put(CONFIG_MAP, config("x", v="1"))
    then = store.version
    store.put(CONFIG_MAP, config("x", v="2"))
    store.put(CONFIG_MAP, config("y"))
    store.remove(CONFIG_MAP, "a", "x")
    assert [one["data"] for one in store.items_at(CONFIG_MAP, then)] == [{"v": "1"}]
    assert [one["metadata"]["name"] for one in store.items(CONFIG_MAP)] == ["y"]


def test_history_is_bounded() -> None:
    store = Store(history=8)
    for number in range(40):
        store.put(CONFIG_MAP, config("x", n=str(number)))
    assert [event.version for event in store.since(store.version - 3)] == list(range(store.version - 2, store.version + 1))
    with pytest.raises(Expired):
        store.since(store.version - 20)
    store.compact()
    assert store.since(store.version) == []
    with pytest.raises(Expired):
        store.since(store.version - 1)


def test_states_share_what_is_equal() -> None:
    store = Store()
    old = store.put(CONFIG_MAP, config("x", k="v"))
    new = store.put(CONFIG_MAP, {**config("x", k="v"), "status": {"seen": True}})
    assert new is not old and new["data"] is old["data"]


def test_subscriptions_see_what_they_want_until_closed() -> None:
    store = Store()
    mine = store.subscribe(lambda event: event.object["metadata"]["name"] == "x", kind=CONFIG_MAP)
    store.put(CONFIG_MAP, config("x"))
    store.put(CONFIG_MAP, config("y"))
    store.put(SECRET, config("x"))
    store.remove(CONFIG_MAP, "a", "x")
    mine.close()
    store.put(CONFIG_MAP, config("x"))
    events: list[Event] = [event for _ in range(mine.queue.qsize()) if (event := mine.queue.get_nowait())]
    assert [event.type for event in events] == ["ADDED", "DELETED"]
    assert events[1].object["metadata"]["resourceVersion"] == str(events[1].version)


def test_an_encoding_belongs_to_its_object() -> None:
    store = Store()
    stored = store.put(CONFIG_MAP, config("x", v="stored"))
    impostor = {**stored, "data": {"v": "other"}}  # the same version, but not the same object
    assert orjson.loads(store.encoded(stored))["data"] == {"v": "stored"}
    assert orjson.loads(store.encoded(impostor))["data"] == {"v": "other"}
    assert store.encoded(stored) is store.encoded(stored)
    assert "kind" not in orjson.loads(store.encoded(stored))
