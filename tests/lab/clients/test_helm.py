"""Unmodified helm 3 and helm 4: the recorded commands again, each against what it printed on the real cluster and what was there afterwards."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest

from tests.lab.clients.recorded import Command, RecordedCluster, commands
from tests.lab.clients.running import HELMS, collections
from tests.lab.clients.series import Series
from tests.lab.clients.texts import lines, plain

COMMANDS = [command for scenario in HELMS.values() for command in commands(scenario)]
UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What one version of helm says and another does not.
VERSIONS = re.compile(r" \(t\)$", re.MULTILINE)


@cache
def _recorded_cluster(scenario: str) -> RecordedCluster:
    return RecordedCluster(scenario)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_helm_prints_and_leaves_what_it_did_on_the_real_cluster(command: Command, running: dict[str, Series]) -> None:
    name = command.argv[0]
    result = running[name].results[command].result(timeout=120)
    assert result.exit == command.exit, result.stderr
    assert lines(VERSIONS.sub("", result.stdout)) == lines(VERSIONS.sub("", command.stdout))
    assert plain(result.stderr) == plain(command.stderr)
    recorded = _recorded_cluster(command.scenario).after(command)
    assert _essence(result.objects, name) == _essence(recorded, name)


def _essence(objects: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """What a client decides: names, labels, and the contents without what the server chooses."""
    return {
        path: _shown(path, thing)
        for path, thing in sorted(objects.items())
        if path.rpartition("/")[0] in collections(name) and not path.endswith("kube-root-ca.crt")
    }


def _shown(path: str, thing: dict[str, Any]) -> dict[str, Any]:
    thing = json.loads(UID.sub("<uid>", json.dumps(thing)))
    labels = {key: "" if key in ("createdAt", "modifiedAt") else value for key, value in thing["metadata"].get("labels", {}).items()}
    if "/secrets/" in path:
        return {"labels": labels, "type": thing["type"], "keys": sorted(thing["data"])}
    spec = {key: value for key, value in thing.get("spec", {}).items() if key not in ("clusterIP", "clusterIPs")}
    return {"labels": labels, "data": thing.get("data"), "spec": spec}
