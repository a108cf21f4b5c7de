"""Logs: what clients may ask for, and what they are told when they may not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lab.kubelet.logbuffer import LogBuffer
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import POD
from tests.lab.kubelet.conftest import Bench, running, state


async def test_choices(bench: Bench) -> None:
    bench.pod(command=["sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done; sleep 60"])
    await bench.until(running)
    while (await bench.log()).count("\n") < 5:
        await asyncio.sleep(0.01)
    assert await bench.log(tailLines="2") == "line 4\nline 5\n"
    assert await bench.log(tailLines="0") == ""
    assert await bench.log(limitBytes="8") == "line 1\nl"
    assert await bench.log(sinceTime="2001-01-01T00:00:00Z", tailLines="1") == "line 5\n"
    stamp, _, text = (await bench.log(timestamps="true", tailLines="1")).partition(" ")
    assert text == "line 5\n"
    assert stamp.endswith("Z")
    assert stamp[10] == "T"


async def test_follow_ends_with_the_container(bench: Bench) -> None:
    bench.pod(command=["sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.05; done"], restartPolicy="Never")
    await bench.until(running)
    assert await asyncio.wait_for(bench.log(follow="true"), 10) == "line 1\nline 2\nline 3\n"


async def test_previous(bench: Bench) -> None:
    bench.pod(command=["sh", "-c", "echo run $(cat /e/runs 2>/dev/null); echo x >> /e/runs; sleep 0.3; exit 1"],
              volumes=[{"name": "e", "emptyDir": {}}], volumeMounts=[{"name": "e", "mountPath": "/e"}])  # fmt: skip
    await bench.until(lambda pod: state(pod)["restartCount"] == 1 and "running" in state(pod)["state"])
    assert await bench.log(previous="true") == "run\n"
    await bench.until(lambda pod: state(pod)["restartCount"] == 1 and "terminated" in state(pod)["state"])
    gone = state(bench.get() or {})["lastState"]["terminated"]["containerID"]
    assert await bench.log(previous="true") == f"unable to retrieve container logs for {gone}"


REFUSED = [
    ({}, 400, "a container name must be specified for pod p, choose one of: [a b]"),
    ({"container": "zz"}, 400, "container zz is not valid for pod p"),
    ({"container": "a", "previous": "true"}, 400, 'previous terminated container "a" in pod "p" not found'),
    ({"container": "b"}, 400, 'container "b" in pod "p" is waiting to start: ErrImageNeverPull'),
    ({"container": "a", "tailLines": "x"}, 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
    ({"container": "a", "tailLines": "-1"}, 422, 'PodLogOptions "p" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0'),
    ({"container": "a", "sinceSeconds": "0"}, 422, 'PodLogOptions "p" is invalid: sinceSeconds: Invalid value: 0: must be greater than 0'),
]


async def test_refusals(bench: Bench) -> None:
    image = "localhost/busybox:local"
    never = {"name": "b", "image": "localhost/not-here:1", "imagePullPolicy": "Never"}
    bench.pod(containers=[{"name": "a", "image": image, "command": ["sleep", "60"]}, never])
    await bench.until(lambda pod: state(pod, "b")["state"].get("waiting", {}).get("reason") == "ErrImageNeverPull")
    for query, code, message in REFUSED:
        with pytest.raises(ApiError) as refused:
            await bench.log(**query)
        assert (refused.value.code, refused.value.message) == (code, message)


async def test_no_node_no_content(bench: Bench) -> None:
    spec: Any = {"containers": [{"name": "m", "image": "localhost/busybox:local"}]}
    bench.registry.create(POD, {"metadata": {"name": "p"}, "spec": spec}, "default")
    with pytest.raises(ApiError) as refused:
        await bench.log()
    assert refused.value.code == 204


async def test_only_the_newest_lines_are_kept() -> None:
    log = LogBuffer(kept_bytes=1000)
    for number in range(100):
        log.append(f"line {number}".encode())
    lines = b"".join([chunk async for chunk in log.read()]).splitlines()
    assert lines[-1] == b"line 99"
    assert 3 < len(lines) < 12


async def test_followers_do_not_miss_lines() -> None:
    log = LogBuffer()
    log.append(b"before")

    async def follow() -> bytes:
        return b"".join([chunk async for chunk in log.read(follow=True)])

    task = asyncio.create_task(follow())
    for number in range(3):
        await asyncio.sleep(0)
        log.append(f"line {number}".encode())
    log.append(b"end", newline=False)
    log.close()
    assert await task == b"before\nline 0\nline 1\nline 2\nend"
