"""What settings must be together, beyond what each may be alone. All mistakes are collected; each names its field and what to do."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from networks import names
from networks.errors import Problem
from networks.spacemesh.settings import Settings

FIRST_P2P_PORT = 5000  # miner n listens on 5000 + n of its machine
NODE_PORTS = range(30000, 32768)  # what Kubernetes hands out for NodePort services unless told otherwise
HOSTS = ("kibana", "grafana", "prometheus", "api", "api-json", "explorer-api", "dash-api")


def settings_problems(settings: Settings) -> list[Problem]:
    """Everything that cannot be, whatever the node configuration says."""
    return [*_counts(settings), *_ports(settings), *_names(settings), *_volumes(settings), *_watching(settings), *_accelerators(settings)]


def _counts(settings: Settings) -> Iterable[Problem]:
    miners, poets = settings.miners, settings.poets
    first = 1 if settings.bootstrap else 0
    if miners.bootnodes + first > miners.count:
        who = f"{miners.bootnodes} bootnodes" + (" and the bootstrap node" if first else "")
        yield Problem(
            "miners.bootnodes",
            f"{who} are more than the {miners.count} miners",
            f"ask for at most {max(0, miners.count - first)} bootnodes, or for at least {miners.bootnodes + first} miners",
        )
    if poets.gateways > miners.count:
        yield Problem(
            "poets.gateways",
            f"{poets.gateways} gateways are more than the {miners.count} miners",
            f"ask for at most {miners.count} gateways, or for at least {poets.gateways} miners",
        )
    if poets.count > miners.count:
        yield Problem(
            "poets.count",
            f"{poets.count} PoETs are more than the {miners.count} miners: some would have no miner",
            f"ask for at most {miners.count} PoETs",
        )


def _ports(settings: Settings) -> Iterable[Problem]:
    last = FIRST_P2P_PORT + settings.miners.count
    if last > 65535:
        fits = 65535 - FIRST_P2P_PORT
        yield Problem(
            "miners.count", f"miner {settings.miners.count} would listen on port {last}: ports end at 65535", f"ask for at most {fits} miners"
        )
    elif last >= NODE_PORTS.start:
        fits = NODE_PORTS.start - 1 - FIRST_P2P_PORT
        yield Problem(
            "miners.count",
            f"miner {settings.miners.count} would listen on port {last}, which NodePort services use ({NODE_PORTS.start}-{NODE_PORTS.stop - 1})",
            f"ask for at most {fits} miners",
        )


def _names(settings: Settings) -> Iterable[Problem]:
    fault = names.namespace_fault(settings.namespace)
    if fault:
        field = "name" if settings.namespace == settings.name else "namespace"
        yield Problem(field, f"the namespace {settings.namespace[:80]!r} {fault}", "choose another name")
    for host in HOSTS:
        label = f"{host}-{settings.name}"
        if fault := names.label_fault(label):
            yield Problem("name", f"the host name {label[:80]!r} {fault}", "choose a shorter name")
            break
    for derived in (f"miner-{settings.miners.count}", f"poet-{settings.poets.count - 1}"):
        if fault := names.label_fault(derived):
            yield Problem("miners.count", f"the name {derived!r} {fault}")
    if fault := names.subdomain_fault(f"miner-{settings.miners.count}-coinbase"):
        yield Problem("miners.count", f"the name of the last miner's coinbase secret {fault}")


def _volumes(settings: Settings) -> Iterable[Problem]:
    volumes = settings.volumes
    if volumes.storage_class is None:
        return
    if volumes.kind == "ephemeral":
        yield Problem("volumes.storage_class", "ephemeral volumes have no storage class", "leave it empty, or choose persistent volumes")
    if fault := names.subdomain_fault(volumes.storage_class):
        yield Problem(
            "volumes.storage_class", f"{volumes.storage_class[:80]!r} {fault}", "give the name of a StorageClass of the cluster, or leave it empty"
        )


def _watching(settings: Settings) -> Iterable[Problem]:
    metrics, profiling = settings.metrics, settings.profiling
    if metrics.push_url and not metrics.enabled:
        yield Problem("metrics.push_url", "metrics are off: there would be nothing to push", "set metrics.enabled to true, or leave it empty")
    if profiling.miners and not profiling.server_url:
        yield Problem("profiling.miners", "there is no server to send profiles to", "give profiling.server_url, or leave the list empty")
    if missing := [number for number in profiling.miners if number > settings.miners.count]:
        what = f"miner {missing[0]} is" if len(missing) == 1 else f"miners {', '.join(map(str, missing[:5]))} are"
        yield Problem("profiling.miners", f"{what} not among the {settings.miners.count} miners", f"give numbers from 1 to {settings.miners.count}")


def _accelerators(settings: Settings) -> Iterable[Problem]:
    if settings.miners.gpu_type and not settings.miners.gpus:
        yield Problem("miners.gpu_type", "a type of GPU is given, and no GPU is asked for", "set miners.gpus to 1, or leave the type empty")


def choice_problems(bootstrap: bool, given: set[str]) -> list[Problem]:
    """What is wrong with where the node configuration comes from. `given`: which of inline, file, url are filled in."""
    problems = []
    if len(given) > 1:
        problems.append(Problem("node_config", f"{' and '.join(sorted(given))} are both given", "keep one of inline, file and url"))
    if not bootstrap and not given:
        problems.append(
            Problem(
                "node_config",
                "miners that join another network need that network's configuration",
                "give it inline, as file or as url (a network publishes it as <network>-archive/config.json), or set bootstrap to true",
            )
        )
    return problems


def without_mistakes(data: Any, error: ValidationError) -> dict[str, Any] | None:
    """The input without the fields that are wrong by themselves, so that the rest can still be looked at; None when there is no rest."""
    if not isinstance(data, dict):
        return None
    try:
        rest = copy.deepcopy(data)
    except Exception:  # whatever somebody passed that cannot be copied is not a form
        return None
    for line in error.errors(include_url=False, include_context=False, include_input=False):
        _drop(rest, line["loc"])
    rest.setdefault("name", "a")
    return rest


def _drop(rest: dict[str, Any], loc: tuple[int | str, ...]) -> None:
    """Remove what stands at a place; places name also union members and the like, which are not in the input."""
    here: Any = rest
    for depth, part in enumerate(loc):
        if not isinstance(here, dict) or part not in here:
            return
        if depth == len(loc) - 1 or not isinstance(here[part], dict):
            del here[part]
            return
        here = here[part]


def together(title: str, error: ValidationError | None, problems: Iterable[Problem], data: Any) -> ValidationError:
    """One error with everything: pydantic's own findings first, then ours, in the same form."""
    lines: list[InitErrorDetails] = []
    for line in error.errors(include_url=False) if error else ():
        kind = PydanticCustomError(_literal(line["type"]), "{text}", {"text": line["msg"]})
        # An address may hold a password, which errors would carry on into logs; what is missing is told with everything around it.
        hidden = line["type"] == "missing" or any(str(part).endswith("url") for part in line["loc"][-1:])
        shown = "(not shown)" if hidden else line["input"]
        lines.append(InitErrorDetails(type=kind, loc=line["loc"], input=shown))
    for problem in problems:
        text = f"{problem.what}; {problem.advice}" if problem.advice else problem.what
        loc = tuple(problem.field.split("."))
        lines.append(InitErrorDetails(type=PydanticCustomError("settings", "{text}", {"text": text}), loc=loc, input=_value_at(data, loc)))
    return ValidationError.from_exception_data(title, lines)


def _literal(text: str) -> Any:
    return text


def _value_at(data: Any, loc: tuple[str, ...]) -> Any:
    for part in loc:
        if not isinstance(data, dict) or part not in data:
            return None
        data = data[part]
    return data


def explain(error: ValidationError) -> list[Problem]:
    """A validation error as problems: for the command line, for a log, for a SpecError."""
    return [
        Problem(".".join(str(part) for part in line["loc"]), line["msg"].removeprefix("Value error, "))
        for line in error.errors(include_url=False, include_context=False, include_input=False)
    ]
