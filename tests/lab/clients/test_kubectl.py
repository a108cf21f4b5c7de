"""Unmodified kubectl: the recorded commands again, each against what it printed on the real cluster."""

from __future__ import annotations

import json
import re

import pytest

from tests.lab.clients.recorded import Command, commands
from tests.lab.clients.running import KUBECTL, needs_exec
from tests.lab.clients.series import Series
from tests.lab.clients.texts import different_lines, lines, plain

COMMANDS = [command for scenario in KUBECTL for command in commands(scenario) if not needs_exec(command)]
PASSING = (
    [f"{n} old replicas are pending termination" for n in range(1, 4)]
    + [f"{n} of {of} updated replicas are available" for of in (2, 3) for n in range(of)]
    + [f"{n} out of {of} new replicas have been updated" for of in (2, 3) for n in range(of)]
)
COUNTED = re.compile(r"\(x\d+ over <age>\) |\(combined from similar events\): |from \d to \d$")
# What one version of kubectl says otherwise than another, or one and the same by chance.
VERSIONS = re.compile(
    r"(context deadline exceeded|net/http: request canceled)( \(Client\.Timeout or context cancellation while reading body\))?"
    r"|\((Unauthorized|the server has asked for the client to provide credentials)\)"
)
# What a real cluster of one vendor had, and the account that the recording was made with.
THEIRS = re.compile(r"^(probe-\S+ Terminating .*|kube-system apiserver-.*| ?\[/\.well-known(/\*)?\] \[\] \[get\]|UID admin)$\n?", re.MULTILINE)


def _recorded(text: str) -> str:
    return THEIRS.sub("", plain(text)).replace("Username admin", "Username lab-admin")


def _states(step: str) -> set[str]:
    """What may be seen of any rollout."""
    return set() if "1s" in step else {f'Waiting for deployment "web" rollout to finish: {text}...' for text in PASSING}


def _same_output(command: Command, recorded: str, lab: str) -> None:
    step = command.step
    if "create token" in step:
        assert len(lab.split(".")) == 3
    elif "--raw /api" in step:
        old, new = json.loads(recorded), json.loads(lab)
        assert (old["data"], old["metadata"].keys()) == (new["data"], new["metadata"].keys())
    elif "rollout status" in step:  # on the way as many states as there is time to see
        assert different_lines(lab) <= different_lines(recorded) | _states(step)
        assert plain(lab).splitlines()[-1:] == plain(recorded).splitlines()[-1:]
    elif "delete all" in step:  # a Pod whose grace period may be over by now
        assert [line for line in lines(lab) if "quick" not in line] == [line for line in lines(recorded) if "quick" not in line]
    elif "label pods" in step:
        assert different_lines(lab) == different_lines(recorded)
    elif "get pods -w" in step:  # a shell of the lab sleeps in real seconds, its grace period passes quicker: it may be killed
        assert different_lines(lab.replace("Error", "Completed")) >= different_lines(recorded)
    elif "events" in step:  # how often something happened is a matter of time
        assert {COUNTED.sub("", line) for line in different_lines(lab)} >= {COUNTED.sub("", line) for line in different_lines(recorded)}
    elif " get " in step or " describe " in step:
        assert lines(lab) == sorted(_recorded(recorded).splitlines())
    else:
        assert plain(lab) == _recorded(recorded)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_kubectl_prints_what_it_printed_on_the_real_cluster(command: Command, running: dict[str, Series]) -> None:
    result = running["kubectl"].results[command].result(timeout=120)
    assert result.exit == command.exit, result.stderr
    recorded, whole, _ = command.stdout.partition("\n<…")
    if whole:  # the recording stops in the middle of a line
        recorded = recorded.rpartition("\n")[0]
    _same_output(command, recorded, result.stdout if "events" in command.step or not whole else result.stdout[: len(recorded)])
    assert VERSIONS.sub("", plain(result.stderr)) == VERSIONS.sub("", plain(command.stderr))
