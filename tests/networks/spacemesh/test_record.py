"""A network's record: what was decided once."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from networks.errors import Permanent
from networks.spacemesh.record import RECORD_NAME, read_record
from tests.networks.spacemesh.examples import LATER, NOW, plan


def config_map(text: str | None) -> dict[str, Any]:
    return {"metadata": {"namespace": "try", "name": RECORD_NAME}, "data": {} if text is None else {"record.json": text}}


def test_a_record_survives_being_stored() -> None:
    made = plan(preset="devnet", node_config={"overrides": {"a": {"b": [1, None, "ü"]}}})
    obj = made.record_object()
    assert obj["metadata"]["name"] == "network-record"
    assert obj["metadata"]["namespace"] == "try"
    assert read_record(obj) == made.record


def test_what_a_record_keeps() -> None:
    kept = json.loads(plan().record_object()["data"]["record.json"])
    assert kept["version"] == 1
    assert kept["run_id"] == "run-1"
    assert kept["created"] == NOW.isoformat().replace("+00:00", "Z")
    assert kept["genesis"] == "2026-11-22T06:06:15Z"
    assert kept["settings"]["miners"]["count"] == 10
    assert kept["pins"][1] == {"node": "node-2", "address": "203.0.113.2"}
    assert kept["poet_hosts"] == ["203.0.113.1"]
    assert kept["completed"] is None


def test_a_record_is_completed_once_and_nothing_else_changes() -> None:
    record = plan().record
    done = record.completed_at(LATER + timedelta(microseconds=5))
    assert done.completed == LATER
    assert done.model_copy(update={"completed": None}) == record
    assert read_record(config_map(done.to_config_map_data()["record.json"])) == done


@pytest.mark.parametrize(
    ("text", "why"),
    [(None, "has no record.json"), ("", "cannot be read"), ("{}", "run_id: Field required"), ('{"version": 2}', "version: Input should be 1")],
)
def test_a_record_that_cannot_be_read_is_never_decided_again(text: str | None, why: str) -> None:
    with pytest.raises(Permanent) as caught:
        read_record(config_map(text))
    assert "ConfigMap try/network-record" in str(caught.value)
    assert why in str(caught.value)
    assert "or delete the network" in str(caught.value)


def test_a_config_map_without_data_is_no_record() -> None:
    with pytest.raises(Permanent):
        read_record({"metadata": {}, "data": None})
