"""The lab's options: what is refused, and how."""

from __future__ import annotations

import pytest

from lab.config import ConfigError, LabConfig, read_options


def test_profiles_fill_in_what_is_not_given() -> None:
    assert read_options([]) == LabConfig()
    recorded = read_options(["--profile", "recorded"])
    assert (recorded.nodes, recorded.storage_class, recorded.external_addresses) == (("node1",), None, False)
    assert read_options(["--profile", "recorded", "--nodes", "2", "--speed", "5"]).nodes == ("node-1", "node-2")
    assert read_options(["--node-names", "a, b"]).nodes == ("a", "b")


@pytest.mark.parametrize(
    ("arguments", "complaints"),
    [
        (["--speed", "0", "--port", "70000", "--node-cpu", "many"], ["--speed", "--port", "--node-cpu"]),
        (["--speed", "nan"], ["--speed"]),
        (["--nodes", "-1"], ["--nodes"]),
        (["--nodes", "2", "--node-names", "a"], ["not both"]),
        (["--node-names", "A,b,b"], ["'A'", "must differ"]),
        (["--node-memory=-1Gi"], ["--node-memory"]),
        (["--program", "poet=/no/such/file", "--speed", "0"], ["--program poet: /no/such/file is not a file", "--speed"]),
    ],
)
def test_every_mistake_is_named(arguments: list[str], complaints: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        read_options(arguments)
    for complaint in complaints:
        assert complaint in str(error.value)
