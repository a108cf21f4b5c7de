"""The node's own configuration: a few keys are known, all others are left as they are."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks.errors import SpecError
from networks.spacemesh import node_config
from tests.networks.spacemesh.examples import JOINING

GOOD: dict[str, Any] = {"main": {"layer-duration-sec": 60, "layers-per-epoch": 6}, "p2p": {"network-id": 7}, "anything": {"else": [1, None]}}
DOCUMENTS = st.dictionaries(
    st.sampled_from("abcd"),
    st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda x: st.dictionaries(st.sampled_from("abcd"), x, max_size=3), max_leaves=6),
    max_size=4,
)


def faults(config: dict[str, Any], *, bootstrap: bool = True) -> list[str]:
    return [str(problem) for problem in node_config.problems(config, bootstrap=bootstrap, miners=10)]


def test_merging_goes_deep_and_leaves_the_inputs_alone() -> None:
    base = {"main": {"a": 1, "b": {"c": [1]}}, "x": 1}
    changes = {"main": {"b": {"d": 2}, "a": None}, "y": {"z": 1}}
    before = copy.deepcopy((base, changes))
    merged = node_config.merge(base, changes)
    assert merged == {"main": {"b": {"c": [1], "d": 2}}, "x": 1, "y": {"z": 1}}
    merged["main"]["b"]["c"].append(2)
    merged["y"]["z"] = 2
    assert (base, changes) == before


@given(DOCUMENTS, DOCUMENTS)
def test_merging_the_same_again_changes_nothing(base: dict[str, Any], changes: dict[str, Any]) -> None:
    once = node_config.merge(base, changes)
    assert node_config.merge(once, changes) == once
    assert node_config.merge(base, {}) == base


def test_reading_what_the_deployment_knows() -> None:
    assert node_config.layers(GOOD) == node_config.Layers(60, 6)
    assert node_config.layers(GOOD).epoch_seconds == 360
    assert node_config.network_id(GOOD) == "7"
    assert node_config.network_id({}) == ""
    assert node_config.genesis_time(GOOD) is None
    assert node_config.genesis_time(JOINING) == datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert node_config.genesis_time({"main": {"genesis-time": "2026-11-20T14:00:00+02:00"}}) == datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert node_config.bootnodes(JOINING) == tuple(JOINING["p2p"]["bootnodes"])
    assert node_config.get(GOOD, "anything.else.deeper") is None


def test_the_same_configuration_is_the_same_text() -> None:
    turned = dict(reversed(GOOD.items()))
    assert node_config.dump(turned) == node_config.dump(GOOD)
    assert node_config.digest(turned) == node_config.digest(GOOD)
    assert json.loads(node_config.dump(GOOD)) == GOOD
    assert node_config.digest({**GOOD, "more": 1}) != node_config.digest(GOOD)


def test_a_good_configuration_has_no_problems() -> None:
    assert faults(GOOD) == []
    assert faults(JOINING, bootstrap=False) == []
    assert faults({**GOOD, "main": {**GOOD["main"], "genesis-active-size": 10}}) == []


@pytest.mark.parametrize("value", [0, -1, 1.5, "60", True, [60], 10**9])
def test_layers_must_be_whole_numbers(value: Any) -> None:
    (fault,) = faults({"main": {"layer-duration-sec": value, "layers-per-epoch": 6}})
    assert fault.startswith("node_config: main.layer-duration-sec is ")
    assert "; give a whole number from 1 to 604800" in fault


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "main.layer-duration-sec is missing; add it: a whole number, like 60"),
        ({"main": []}, "main is not an object; write it as {…}"),
        ({**GOOD, "p2p": "x"}, "p2p is not an object; write it as {…}"),
        (
            {**GOOD, "main": {**GOOD["main"], "genesis-time": "2026-11-20T12:00:00Z"}},
            "main.genesis-time is given, but a network that starts from nothing gets its genesis from genesis_delay_minutes; remove the key from it",
        ),
        (
            {**GOOD, "main": {**GOOD["main"], "genesis-active-size": 11}},
            "main.genesis-active-size is '11', but there are 10 miners; remove the key: it is set to the number of miners",
        ),
        (
            {**GOOD, "p2p": JOINING["p2p"]},
            "p2p.bootnodes is given, but a network that starts from nothing has bootnodes of its own; remove the key, or set bootstrap to false",
        ),
    ],
)
def test_what_a_network_from_nothing_cannot_go_with(config: dict[str, Any], message: str) -> None:
    assert f"node_config: {message}" in faults(config)


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("p2p", {"bootnodes": None}, "p2p.bootnodes is missing"),
        ("p2p", {"bootnodes": []}, "p2p.bootnodes is missing"),
        ("p2p", {"bootnodes": "/ip4/1.2.3.4/tcp/1/p2p/a"}, "p2p.bootnodes is not a list"),
        ("p2p", {"bootnodes": ["1.2.3.4:5000", 7]}, "p2p.bootnodes: '1.2.3.4:5000' is not a p2p address"),
        ("main", {"genesis-time": None}, "main.genesis-time is missing"),
        ("main", {"genesis-time": "tomorrow"}, "main.genesis-time cannot be read"),
        ("main", {"genesis-time": "2026-11-20T12:00:00"}, "main.genesis-time cannot be read: has no time zone"),
        ("main", {"genesis-time": 5}, "main.genesis-time cannot be read: is not a text"),
    ],
)
def test_what_miners_that_join_cannot_go_with(section: str, changes: dict[str, Any], message: str) -> None:
    found = faults(node_config.merge(JOINING, {section: changes}), bootstrap=False)
    assert any(message in fault for fault in found), found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[]", "holds no JSON object"),
        ("null", "holds no JSON object"),
        ('{"a": NaN}', "is not JSON"),
        ('{"a": 1e999}', "is not JSON"),
        ('{"a": ' + "9" * 5000 + "}", "is not JSON"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested more than 32"),
        ("[" * 100_000, "is not JSON"),
        (json.dumps({"a": "x" * 300_000}), "at most 262144"),
    ],
)
def test_files_that_are_no_configuration(text: str, why: str) -> None:
    with pytest.raises(SpecError) as caught:
        node_config.parse(text, source="/tmp/config.json")
    assert why in str(caught.value)
    assert "/tmp/config.json" in str(caught.value)
    assert "give a JSON object like the node's config.json" in str(caught.value)


def test_a_file_is_read_as_it_is() -> None:
    assert node_config.parse(json.dumps(GOOD), source="x") == GOOD
