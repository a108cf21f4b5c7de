"""The console command: options, file and form accept and refuse the same things, and the exit code tells the truth."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.states import Completed, Failed, State
from pydantic import BaseModel, Field, model_validator

from flows import cli


class Size(StrEnum):
    small = "small"
    large = "large"


class Resources(BaseModel):
    cpu: str | None = Field(default=None, description="CPUs")
    memory: str | None = Field(default=None, description="Memory")


class Network(BaseModel):
    name: str = Field(description="Its name")
    size: Size = Size.small
    miners: int | None = Field(default=None, ge=1, le=100)
    miner: Resources = Resources()

    @model_validator(mode="after")
    def check(self) -> Network:
        if self.name == "bad":
            raise ValueError("first mistake\nsecond mistake")
        return self


@flow(name="toy")
async def toy(network: Network, cluster: str = "lab", plan_only: bool = False) -> str:
    """Try the command.

    Args:
        network: What is wanted.
        cluster: Name of a cluster block.
    """
    return network.name


def parse(*arguments: str) -> dict[str, Any]:
    return cli.parse_parameters("toy", toy, arguments)[0]


def test_options_are_nested_and_typed() -> None:
    given = parse("--network.name", "x", "--network.miners", "5", "--network.miner.cpu", "2", "--network.size", "large", "--plan-only")
    assert given == {"network": Network(name="x", miners=5, miner=Resources(cpu="2"), size=Size.large), "cluster": "lab", "plan_only": True}


def test_options_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("network:\n  name: from-file\n  miners: 3\n  miner: {memory: 3Gi}\nplan-only: true\n")
    given = parse("-f", str(file), "--network.miners", "7")
    assert given["network"] == Network(name="from-file", miners=7, miner=Resources(memory="3Gi"))
    assert given["plan_only"] is True


def test_environment_variables_choose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "production")
    monkeypatch.setenv("cluster", "production")
    assert parse("--network.name", "x")["cluster"] == "lab"


def test_all_mistakes_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse("--network.miners", "5000", "--network.size", "huge")
    told = capsys.readouterr().err
    assert exit_.value.code == cli.USAGE
    assert "--network.name: Field required" in told
    assert "--network.size: Input should be 'small' or 'large'" in told
    assert "--network.miners: Input should be less than or equal to 100" in told


def test_a_rule_across_fields_gives_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--network.name", "bad")
    assert "  --network: first mistake\n  --network: second mistake\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("- a\n", "expected a mapping"),
        ("a: [", "not readable as YAML"),
        ("networks: {}\n", "--networks: Extra inputs are not permitted"),
        ("network: 7\n", "--network: Input should be"),
    ],
)
def test_bad_files(content: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(content)
    with pytest.raises(SystemExit) as exit_:
        parse("-f", str(file))
    assert exit_.value.code == cli.USAGE
    assert said in capsys.readouterr().err


def test_a_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("-f", "/no/such/file.yaml")
    assert "/no/such/file.yaml: No such file or directory" in capsys.readouterr().err


def test_an_unknown_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse("--network.name", "x", "--nope")
    assert exit_.value.code == cli.USAGE
    assert "--nope" in capsys.readouterr().err


def test_help_tells_options_and_leaves_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse("--help")
    told = capsys.readouterr().out
    assert exit_.value.code == 0
    assert "Try the command." in told
    assert "--network.miner.cpu" in told
    assert "-f FILE" in told


def test_every_flow_has_a_sub_command_and_a_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--help"])
    told = capsys.readouterr().out
    assert exit_.value.code == 0
    for name in cli.FLOWS:
        assert cli.load_flow(name).name == name
        assert name in told


def test_an_unknown_flow(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["deploy-everything"])
    assert exit_.value.code == cli.USAGE
    assert "deploy-network" in capsys.readouterr().err


class Report(BaseModel):
    name: str

    def as_text(self) -> str:
        return f"the report of {self.name}"


def ended(state: State[Any]) -> Any:
    """Something that ends like a flow."""

    def run(**_parameters: Any) -> State[Any]:
        return state

    run.name = "toy"  # type: ignore[attr-defined]
    return run


def test_exit_code_and_output(capsys: pytest.CaptureFixture[str]) -> None:
    done = ended(Completed(data=Report(name="x")))
    assert cli.run_flow(done, {}, "text") == 0
    assert capsys.readouterr().out == "the report of x\n"
    assert cli.run_flow(done, {}, "json") == 0
    assert json.loads(capsys.readouterr().out) == {"name": "x"}
    failed = Failed(message="Flow run encountered an exception: ValueError: no cluster", data=ValueError("no cluster"))
    assert cli.run_flow(ended(failed), {}, "text") == cli.FAILED
    assert capsys.readouterr().err == "toy: Failed: no cluster\n"


def test_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    def run(**_parameters: Any) -> None:
        raise KeyboardInterrupt

    assert cli.run_flow(run, {}, "text") == cli.CANCELLED
    assert "labelled" in capsys.readouterr().err
