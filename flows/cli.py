"""The console command `cosmodrome`: every flow is a sub-command, its parameters are options.

The options are made from the flow's own signature and its pydantic models (by pydantic-settings), so the command line, a YAML file and the form in
the UI accept and refuse the same things.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from pydantic import BaseModel, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, CliApp, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

# Sub-command -> where its flow stands. A further flow is a further row.
FLOWS = {
    "deploy-network": "flows.deploy_network:deploy_network",
    "delete-network": "flows.delete_network:delete_network",
    "list-networks": "flows.list_networks:list_networks",
}

COMPLETED, FAILED, USAGE, CANCELLED = 0, 1, 2, 130


class FlowOptions(BaseSettings):
    """Parameters of a flow as options. Environment variables are not looked at: `CLUSTER` in somebody's shell must not choose a cluster."""

    model_config = SettingsConfigDict(
        cli_implicit_flags=True,
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_exit_on_error=False,
        nested_model_default_partial_update=True,
        case_sensitive=True,
        extra="forbid",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the caller gave."""
        return (init_settings,)


def load_flow(name: str) -> Any:
    """The flow object behind a sub-command."""
    module, attribute = FLOWS[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def first_line(text: str | None) -> str:
    """The sentence that says what something is."""
    return (text or "").strip().split("\n", 1)[0]


def options_model(flow: Any) -> type[FlowOptions]:
    """A settings model with one field per parameter of the flow, documented as in its docstring or models."""
    function: Callable[..., Any] = flow.fn
    hints = get_type_hints(function, include_extras=True)
    described = flow.parameters.properties if hasattr(flow, "parameters") else {}
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        info = default if isinstance(default, FieldInfo) else FieldInfo(default=default)
        if not info.description:
            info.description = described.get(name, {}).get("description") or described.get(name, {}).get("title")
        fields[name] = (hints[name], info)
    return create_model(function.__name__, __base__=FlowOptions, __doc__=inspect.getdoc(function), **fields)


def read_file(path: str) -> dict[str, Any]:
    """Parameters from a YAML or JSON file: a mapping from parameter to value. ValueError says what is wrong with it."""
    try:
        loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise ValueError(f"{path}: expected a mapping from parameter to value (network: …, cluster: …), not {type(loaded).__name__}")
    return {str(key).replace("-", "_"): value for key, value in loaded.items()}


def explain(error: ValidationError) -> str:
    """Every mistake in one text, a line each, with the option's name."""
    lines = []
    for fault in error.errors(include_url=False):
        where = "--" + ".".join(str(part).replace("_", "-") for part in fault["loc"]) if fault["loc"] else "parameters"
        lines += [f"  {where}: {line}" for line in fault["msg"].removeprefix("Value error, ").splitlines()]
    return "\n".join(lines)


def parse_parameters(name: str, flow: Any, arguments: Sequence[str]) -> tuple[dict[str, Any], argparse.Namespace]:
    """A flow's parameters from options over a file, and the options that are the command's own. SystemExit(2) on mistakes, all told at once."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("-f", "--file")
    own.add_argument("-o", "--output", choices=("text", "json"), default="text")
    own.add_argument("-q", "--quiet", action="store_true")
    chosen, rest = own.parse_known_args(list(arguments))
    if {"-h", "--help"} & set(rest):
        print_flow_help(name, flow)
        raise SystemExit(COMPLETED)
    try:
        from_file = read_file(chosen.file) if chosen.file else {}
        options = CliApp.run(options_model(flow), cli_args=rest, **from_file)
    except ValidationError as error:
        fail_usage(name, explain(error))
    except (SettingsError, ValueError) as error:
        fail_usage(name, f"  {error}")
    return {field: getattr(options, field) for field in type(options).model_fields}, chosen


def print_flow_help(name: str, flow: Any) -> None:
    """Help of one sub-command: its own options are told along with the flow's."""
    model = options_model(flow)
    own = "-f FILE (parameters from a YAML file; options win over it), -o text|json (how the result is printed), -q (no logs, only the result)"
    model.__doc__ = f"{(model.__doc__ or '').split('Args:')[0].strip()}\n\nAlso: {own}."
    sys.argv[0] = f"cosmodrome {name}"
    try:
        CliApp.run(model, cli_args=["--help"])
    except (SystemExit, SettingsError):
        return


def fail_usage(name: str, text: str) -> None:
    """Say what is wrong with the command line and leave."""
    print(f"cosmodrome {name}: these parameters cannot be used:\n{text}\nSee cosmodrome {name} --help.", file=sys.stderr)
    raise SystemExit(USAGE)


def run_flow(flow: Any, parameters: dict[str, Any], output: str) -> int:
    """Run a flow in this process; 0 only when it completed."""
    try:
        outcome = flow(**parameters, return_state=True)
        state = asyncio.run(outcome) if inspect.iscoroutine(outcome) else outcome
    except KeyboardInterrupt:
        print("Interrupted. What was made is still there and labelled: run the same command to go on, or cosmodrome delete-network.", file=sys.stderr)
        return CANCELLED
    if not state.is_completed():
        print(f"{flow.name}: {state.name}: {asyncio.run(reason(state))}", file=sys.stderr)
        return FAILED
    print_result(asyncio.run(state.aresult()), output)
    return COMPLETED


async def reason(state: Any) -> str:
    """Why a flow did not complete, in the words of its own error where it has one."""
    outcome = await state.aresult(raise_on_failure=False)
    return str(outcome) if isinstance(outcome, Exception) and str(outcome) else str(state.message)


def print_result(result: Any, output: str) -> None:
    """The result for people (`as_text` when it has one) or as JSON."""
    if output == "text" and hasattr(result, "as_text"):
        print(result.as_text())
    elif isinstance(result, BaseModel):
        print(result.model_dump_json(indent=2))
    elif result is not None:
        print(result)


def usage() -> str:
    """The list of sub-commands."""
    rows = "\n".join(f"  {name:<18}{first_line(inspect.getdoc(load_flow(name).fn))}" for name in FLOWS)
    return f"usage: cosmodrome FLOW [options]\n\nFlows:\n{rows}\n\ncosmodrome FLOW --help tells a flow's options."


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console command."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in {"-h", "--help", "help"}:
        print(usage())
        raise SystemExit(COMPLETED if given else USAGE)
    name, rest = given[0], given[1:]
    if name not in FLOWS:
        print(f"cosmodrome: there is no flow {name!r}; there are: {', '.join(FLOWS)}", file=sys.stderr)
        raise SystemExit(USAGE)
    flow = load_flow(name)
    parameters, chosen = parse_parameters(name, flow, rest)
    if chosen.quiet:
        logging.disable(logging.CRITICAL)
    raise SystemExit(run_flow(flow, parameters, chosen.output))


if __name__ == "__main__":
    main()
