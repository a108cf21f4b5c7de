"""Real processes on a machine that does not let us make file systems of their own."""

from __future__ import annotations

from typing import Any

import pytest

from lab.kubernetes.kinds import POD
from tests.lab.kubelet.conftest import Bench, running, state
from tests.lab.kubelet.test_containers import finished


@pytest.fixture(autouse=True)
def no_namespaces(monkeypatch: Any) -> None:
    monkeypatch.setattr("lab.programs.rooms.namespaces_work", lambda: False)


async def test_mount_paths_are_replaced(bench: Bench) -> None:
    volumes = {"volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": "/data"}]}
    env = [{"name": "WHERE", "value": "/data/x"}, {"name": "OTHER", "value": "/database"}]
    bench.pod(command=["sh", "-c", "echo kept > /data/x; cat $WHERE; echo $OTHER; exit 4"], env=env, restartPolicy="Never", **volumes)
    pod = await bench.until(finished)
    assert await bench.log() == "kept\n/database\n"
    assert state(pod)["state"]["terminated"]["exitCode"] == 4


async def test_ends_with_the_pod(bench: Bench) -> None:
    bench.pod(command=["sh", "-c", "sleep 3600 & sleep 3600"])
    await bench.until(running)
    bench.registry.delete(POD, "default", "p")
    await bench.until_gone()
    assert state(bench.history[-1])["state"]["terminated"]["exitCode"] in (143, 137)


async def test_probes_run_beside_it(bench: Bench) -> None:
    bench.pod(command=["sleep", "3600"], readinessProbe={"exec": {"command": ["true"]}, "periodSeconds": 1})
    await bench.until(running)
