"""The spec: everything that can be wrong with it is found at once, and says what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from networks.spacemesh.model import SpacemeshNetwork, resolve
from networks.spacemesh.presets import PRESETS
from networks.spacemesh.rules import explain
from networks.spacemesh.settings import MetricsSettings, Preset, ProfilingSettings
from tests.networks.spacemesh.examples import JOINING, network


def mistakes(**fields: Any) -> dict[str, str]:
    """Field to message, for a spec that is refused."""
    with pytest.raises(ValidationError) as caught:
        network(**fields)
    return {problem.field: problem.what for problem in explain(caught.value)}


def test_a_name_is_enough() -> None:
    assert resolve(network()).preset is Preset.MININET


def test_empty_settings_are_as_the_preset_says() -> None:
    settings = resolve(network(preset="testnet"))
    assert settings.miners == PRESETS[Preset.TESTNET].miners
    assert settings.poets == PRESETS[Preset.TESTNET].poets
    assert settings.namespace == "try"
    assert settings.expires_after_hours == 720


def test_overrides_win_over_the_preset_and_nothing_else_changes() -> None:
    settings = resolve(network(preset="devnet", miners={"count": 50, "cpu": "250m"}, poets={"disk": "1Ti"}, namespace="here", expires_after_hours=2))
    assert settings.miners == PRESETS[Preset.DEVNET].miners.model_copy(update={"count": 50, "cpu": "250m"})
    assert settings.poets == PRESETS[Preset.DEVNET].poets.model_copy(update={"disk": "1Ti"})
    assert (settings.namespace, settings.expires_after_hours) == ("here", 2)


@pytest.mark.parametrize(
    ("field", "value", "seen"),
    [
        ("bootstrap", False, lambda s: s.bootstrap is False),
        ("genesis_delay_minutes", 25, lambda s: s.genesis_delay_minutes == 25),
        ("node_address", "internal", lambda s: s.node_address == "internal"),
        ("images", {"node": "me/node:1", "poet": "me/poet:2"}, lambda s: (s.images.node, s.images.poet) == ("me/node:1", "me/poet:2")),
        ("volumes", {"kind": "persistent", "storage_class": "ssd"}, lambda s: s.volumes.storage_class == "ssd"),
        ("miners", {"max_at_once": 7}, lambda s: s.miners.max_at_once == 7),
        ("miners", {"json_api": False}, lambda s: s.miners.json_api is False),
        ("miners", {"go_debug": True}, lambda s: s.miners.go_debug),
        ("miners", {"pprof": True}, lambda s: s.miners.pprof),
        ("miners", {"gpus": 2, "gpu_type": "nvidia-l4"}, lambda s: (s.miners.gpus, s.miners.gpu_type) == (2, "nvidia-l4")),
        ("metrics", {"enabled": True}, lambda s: s.metrics.enabled),
        ("metrics", {"enabled": True, "push_url": "http://push:9091/x"}, lambda s: s.metrics.push_url == "http://push:9091/x"),
        ("profiling", {"server_url": "http://scope:4040"}, lambda s: s.profiling == ProfilingSettings(server_url="http://scope:4040", miners=(10,))),
        ("profiling", {"server_url": "http://s", "miners": [3, 1, 3]}, lambda s: s.profiling.miners == (1, 3)),
        ("miners", {"memory": "3Gi", "disk": "5Gi"}, lambda s: (s.miners.memory, s.miners.disk) == ("3Gi", "5Gi")),
        ("miners", {"bootnodes": 0}, lambda s: s.miners.bootnodes == 0),
        ("poets", {"count": 2, "gateways": 1}, lambda s: (s.poets.count, s.poets.gateways) == (2, 1)),
        ("poets", {"cpu": "2", "memory": "1Gi"}, lambda s: (s.poets.cpu, s.poets.memory) == ("2", "1Gi")),
        ("poets", {"init_phase_shift_seconds": 9}, lambda s: s.poets.init_phase_shift_seconds == 9),
    ],
)
def test_every_setting_arrives(field: str, value: Any, seen: Any) -> None:
    more = {"node_config": {"inline": JOINING}} if field == "bootstrap" else {}
    assert seen(resolve(network(**{field: value}, **more)))


def test_metrics_are_as_the_preset_says_and_may_be_switched() -> None:
    assert [resolve(network(preset=preset)).metrics.enabled for preset in Preset] == [False, True, True]
    assert resolve(network(preset="devnet", metrics={"enabled": False})).metrics == MetricsSettings(enabled=False)
    assert resolve(network(preset="devnet", metrics={"push_url": "https://push"})).metrics == MetricsSettings(enabled=True, push_url="https://push")


def test_who_is_profiled_unless_somebody_says() -> None:
    server = {"server_url": "http://scope:4040"}
    assert resolve(network(preset="devnet", profiling=server)).profiling.miners == (10, 20)
    assert resolve(network(miners={"count": 9}, profiling=server)).profiling.miners == ()
    assert resolve(network(preset="devnet")).profiling == ProfilingSettings()


def test_all_mistakes_are_reported_together() -> None:
    """Fields that are wrong alone, and what the others mean together."""
    found = mistakes(
        name="Try!",
        miners={"count": 3, "bootnodes": 7, "cpu": "lots"},
        poets={"gateways": 9, "count": 4, "memory": "2"},
        images={"node": "NODE"},
        volumes={"kind": "ephemeral", "storage_class": "ssd"},
        namespace="kube-system",
        preset="hugenet",
    )
    assert set(found) == {"name", "miners.cpu", "poets.memory", "images.node", "preset", "miners.bootnodes", "poets.gateways", "poets.count",
                          "volumes.storage_class", "namespace"}  # fmt: skip


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a-", "1a", "a" * 41, "a_b", "a.b", "ä", "a\nb", "a\x00", "../a", "a;b", "{{a}}"])
def test_names_that_kubernetes_or_dns_would_refuse(name: str) -> None:
    assert "name" in mistakes(name=name)


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-x"])
def test_a_network_named_like_a_namespace_of_kubernetes_is_refused(name: str) -> None:
    assert mistakes(name=name)["name"] == f"the namespace '{name}' belongs to Kubernetes: a network gets a namespace of its own; choose another name"


def test_but_not_when_it_lives_somewhere_else() -> None:
    assert resolve(network(name="default", namespace="somewhere")).namespace == "somewhere"


@pytest.mark.parametrize("namespace", ["default", "kube-system", "A", "a.b", "a" * 64, ""])
def test_namespaces_that_cannot_be(namespace: str) -> None:
    if namespace:
        assert "namespace" in mistakes(namespace=namespace)
    else:
        assert resolve(network(namespace="")).namespace == "try"


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        (
            {"miners": {"count": 6}},
            "miners.bootnodes",
            "6 bootnodes and the bootstrap node are more than the 6 miners; ask for at most 5 bootnodes, or for at least 7 miners",
        ),
        (
            {"bootstrap": False, "miners": {"count": 5}, "node_config": {"inline": JOINING}},
            "miners.bootnodes",
            "6 bootnodes are more than the 5 miners; ask for at most 5 bootnodes, or for at least 6 miners",
        ),
        (
            {"poets": {"gateways": 11}},
            "poets.gateways",
            "11 gateways are more than the 10 miners; ask for at most 10 gateways, or for at least 11 miners",
        ),
        ({"poets": {"count": 11}}, "poets.count", "11 PoETs are more than the 10 miners: some would have no miner; ask for at most 10 PoETs"),
        (
            {"volumes": {"kind": "ephemeral", "storage_class": "ssd"}},
            "volumes.storage_class",
            "ephemeral volumes have no storage class; leave it empty, or choose persistent volumes",
        ),
        (
            {"volumes": {"storage_class": "Fast Disks"}},
            "volumes.storage_class",
            "'Fast Disks' may hold only a-z, 0-9, '-' and '.', with a letter or digit at both ends of every part; "
            "give the name of a StorageClass of the cluster, or leave it empty",
        ),
        (
            {"metrics": {"push_url": "http://push:9091"}},
            "metrics.push_url",
            "metrics are off: there would be nothing to push; set metrics.enabled to true, or leave it empty",
        ),
        (
            {"profiling": {"miners": [1]}},
            "profiling.miners",
            "there is no server to send profiles to; give profiling.server_url, or leave the list empty",
        ),
        (
            {"profiling": {"server_url": "http://s", "miners": [1, 30]}},
            "profiling.miners",
            "miner 30 is not among the 10 miners; give numbers from 1 to 10",
        ),
        (
            {"profiling": {"server_url": "http://s", "miners": [11, 12]}},
            "profiling.miners",
            "miners 11, 12 are not among the 10 miners; give numbers from 1 to 10",
        ),
        (
            {"miners": {"gpu_type": "nvidia-l4"}},
            "miners.gpu_type",
            "a type of GPU is given, and no GPU is asked for; set miners.gpus to 1, or leave the type empty",
        ),
        ({"node_config": {"file": "a", "url": "http://a/b"}}, "node_config", "file and url are both given; keep one of inline, file and url"),
        (
            {"bootstrap": False},
            "node_config",
            "miners that join another network need that network's configuration; give it inline, as file or as url "
            "(a network publishes it as <network>-archive/config.json), or set bootstrap to true",
        ),
        (
            {"node_config": {"inline": {"main": {"layers-per-epoch": 2}}}},
            "node_config.inline",
            "main.layer-duration-sec is missing; add it: a whole number, like 60",
        ),
        (
            {"node_config": {"overrides": {"main": {"layers-per-epoch": None}}}},
            "node_config",
            "main.layers-per-epoch is missing; add it: a whole number, like 6",
        ),
    ],
)
def test_what_settings_must_be_together(fields: dict[str, Any], field: str, message: str) -> None:
    assert mistakes(**fields) == {field: message}


@pytest.mark.parametrize(
    ("fields", "field", "word"),
    [
        ({"miners": {"count": 0}}, "miners.count", "greater than or equal to 1"),
        ({"miners": {"count": 5001}}, "miners.count", "less than or equal to 5000"),
        ({"miners": {"count": True}}, "miners.count", "number, not yes or no"),
        ({"miners": {"count": "9" * 5000}}, "miners.count", "at most 20 digits"),
        ({"miners": {"count": 1e300}}, "miners.count", ""),
        ({"miners": {"count": 2.5}}, "miners.count", ""),
        ({"miners": {"count": [1]}}, "miners.count", ""),
        ({"miners": {"cpu": "0"}}, "miners.cpu", "must be more than 0"),
        ({"miners": {"cpu": "1000"}}, "miners.cpu", "'1000' is more than 256: did you mean 1000m?"),
        ({"miners": {"memory": "2"}}, "miners.memory", "'2' is less than 16Mi: did you forget the unit? 2Gi"),
        ({"miners": {"memory": "0"}}, "miners.memory", "must be more than 0"),
        ({"miners": {"disk": "10GB"}}, "miners.disk", "is not a quantity"),
        ({"miners": {"disk": "100Pi"}}, "miners.disk", "is more than 64Ti"),
        ({"miners": {"disk": True}}, "miners.disk", "not yes or no"),
        ({"miners": {"ram": "2Gi"}}, "miners.ram", "Extra inputs are not permitted"),
        ({"poets": {"init_phase_shift_seconds": -1}}, "poets.init_phase_shift_seconds", "greater than or equal to 0"),
        ({"genesis_delay_minutes": 0}, "genesis_delay_minutes", "greater than or equal to 1"),
        ({"expires_after_hours": 0}, "expires_after_hours", "greater than or equal to 1"),
        ({"images": {"node": "has space:1"}}, "images.node", "write repository:tag in lower case"),
        ({"images": {"node": "x:tag\n--evil"}}, "images.node", "is not an image"),
        ({"images": {"poet": ""}}, "images.poet", "is not an image"),
        ({"node_config": {"url": "ftp://a/b"}}, "node_config.url", "is not an http or https address"),
        ({"node_config": {"url": "http://"}}, "node_config.url", "is not an http or https address"),
        ({"node_config": {"url": "http://a:x/"}}, "node_config.url", "is not an http or https address"),
        ({"node_config": {"url": "https://me:secret@host/c.json"}}, "node_config.url", "user name or password"),
        ({"node_config": {"file": "a\x00b"}}, "node_config.file", "control characters"),
        ({"node_config": {"file": ""}}, "node_config.file", "is empty"),
        ({"node_config": {"inline": "{}"}}, "node_config.inline", "valid dictionary"),
        ({"node_config": {"inline": {"main": {1: 2}}}}, "node_config.inline", "every key must be a text"),
        ({"node_config": {"inline": {"main": float("nan")}}}, "node_config.inline", "is not JSON"),
        ({"node_config": {"inline": {"main": {1, 2}}}}, "node_config.inline", "is not JSON"),
        ({"node_config": {"inline": {"a": "\ud800"}}}, "node_config.inline", "is not JSON"),
        ({"node_config": {"inline": {"a": "x" * 300_000}}}, "node_config.inline", "at most 262144 are allowed"),
        ({"metrics": {"push_url": "pushgateway:9091"}}, "metrics.push_url", "is not an http or https address"),
        ({"metrics": {"enabled": True, "push_url": "http://me:secret@push"}}, "metrics.push_url", "user name or password"),
        ({"metrics": {"enabled": "perhaps"}}, "metrics.enabled", "valid boolean"),
        ({"profiling": {"server_url": "http://token@scope"}}, "profiling.server_url", "user name or password"),
        ({"profiling": {"server_url": "http://s", "miners": [0]}}, "profiling.miners.0", "greater than or equal to 1"),
        ({"profiling": {"server_url": "http://s", "miners": []}}, "profiling.miners", "at least 1 item"),
        ({"profiling": {"server_url": "http://s", "miners": [True]}}, "profiling.miners.0", "number, not yes or no"),
        ({"miners": {"gpus": -1}}, "miners.gpus", "greater than or equal to 0"),
        ({"miners": {"gpus": 17}}, "miners.gpus", "less than or equal to 16"),
        ({"miners": {"gpus": 1, "gpu_type": "Tesla T4"}}, "miners.gpu_type", "is not a type of GPU"),
        ({"miners": 5}, "miners", "valid dictionary"),
        ({"password": "x"}, "password", "Extra inputs are not permitted"),
    ],
)
def test_what_a_field_cannot_be(fields: dict[str, Any], field: str, word: str) -> None:
    assert word in mistakes(**fields)[field]


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "try", "node_config": {"url": "https://me:secret@host/c.json"}},
        {"name": "try", "metrics": {"enabled": True, "push_url": "https://me:secret@host"}},
        {"name": "try", "profiling": {"server_url": "https://me:secret@host"}},
        {"metrics": {"push_url": "https://me:secret@host"}},
    ],
)
def test_a_password_in_an_address_is_not_repeated_in_the_message(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        SpacemeshNetwork.model_validate(spec)
    assert "secret" not in str(caught.value)


def test_nesting_without_end_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    assert "nested more than" in mistakes(node_config={"inline": deep})["node_config.inline"]


def test_numbers_from_yaml_are_fine_as_amounts() -> None:
    assert resolve(network(miners={"cpu": 2})).miners.cpu == "2"
    assert resolve(network(miners={"cpu": 0.5})).miners.cpu == "0.5"


@pytest.mark.parametrize("image", ["poet", "spacemeshos/poet:develop", "localhost:5000/a/b_c:V1.2-3", "reg.example.org/a/b@sha256:" + "0" * 64])
def test_images(image: str) -> None:
    assert resolve(network(images={"poet": image})).images.poet == image


def title_of(shown: dict[str, Any], schema: dict[str, Any]) -> str:
    return str(shown.get("title") or schema["$defs"][shown["$ref"].split("/")[-1]]["title"])


def test_the_form_offers_every_field_with_title_and_help() -> None:
    schema = SpacemeshNetwork.model_json_schema()
    groups = {"": schema, **{name: group for name, group in schema["$defs"].items() if "properties" in group}}
    assert len(groups) == 8
    for name, group in groups.items():
        for field, shown in group["properties"].items():
            help_text = shown.get("description") or schema["$defs"][shown["$ref"].split("/")[-1]]["description"]
            assert len(help_text) > 10, (name, field)
            assert not set("<>") & set(help_text + title_of(shown, schema)), f"{name}.{field}: the form would take <…> for a tag and show nothing"
            assert title_of(shown, schema), (name, field)
            assert "anyOf" not in shown, f"{name}.{field} would be a choice between a value and null"
            number = shown.get("items", shown)
            if number.get("type") == "integer":
                assert "minimum" in number, f"{name}.{field} has no lower bound"
                assert "maximum" in number, f"{name}.{field} has no upper bound"


def test_help_tells_what_an_empty_setting_becomes() -> None:
    shown = SpacemeshNetwork.model_json_schema()["$defs"]["MinerOptions"]["properties"]["count"]
    assert shown["description"].endswith("Empty: as the preset says (mininet 10, devnet 25, testnet 100).")


def test_there_is_no_place_for_a_secret_in_the_form() -> None:
    text = json.dumps(SpacemeshNetwork.model_json_schema()).lower()
    assert not [word for word in ("token", "private", "credential", "writeonly") if word in text]


def test_a_spec_survives_being_stored() -> None:
    spec = network(preset="devnet", miners={"count": 30}, node_config={"overrides": {"main": {"hdist": 3}}})
    assert SpacemeshNetwork.model_validate_json(spec.model_dump_json()) == spec
    assert SpacemeshNetwork.model_validate(spec.model_dump(mode="json")) == spec


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted(SpacemeshNetwork.model_fields)


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=5) | ANYTHING)
def test_any_input_is_a_network_or_a_validation_error(data: Any) -> None:
    try:
        spec = SpacemeshNetwork.model_validate(data)
    except ValidationError as error:
        assert explain(error)
    else:
        assert resolve(spec).namespace
