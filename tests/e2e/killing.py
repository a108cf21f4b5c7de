"""A flow run in a process that kills itself: with SIGKILL, after the n-th of its tasks, or after the n-th write to the cluster.

The processes are forked from one that has imported everything, so that each costs no start.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from multiprocessing.context import ForkServerProcess
from typing import Any

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["flows.deploy_network", "kubernetes.aio.client.api_client", "google.cloud.storage"])


def start(spec: dict[str, Any], options: dict[str, Any], after_task: int | None = None, after_write: int | None = None) -> ForkServerProcess:
    """Begin a deployment in another process, which will kill itself."""
    from prefect.settings import PREFECT_API_URL

    process = _FORKS.Process(target=_deploy_and_die, args=(spec, options, PREFECT_API_URL.value(), after_task, after_write))
    process.start()
    return process


async def killed(process: ForkServerProcess) -> None:
    """Wait until it has killed itself."""
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode == -signal.SIGKILL, f"the run ended by itself: exit code {process.exitcode}"


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _deploy_and_die(spec: dict[str, Any], options: dict[str, Any], url: str, after_task: int | None, after_write: int | None) -> None:
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.deploy_network import deploy_network

    if after_task is not None:
        _count_tasks(after_task)
    if after_write is not None:
        _count_writes(after_write)
    with temporary_settings({PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        asyncio.run(deploy_network(spec, **options))


def stages() -> list[Any]:
    """The tasks of deploy-network."""
    from prefect import Task

    import flows.deploy_network as module

    return [value for value in vars(module).values() if isinstance(value, Task)]


def _count_tasks(last: int) -> None:
    done = 0

    def hook(task: Any, task_run: Any, state: Any) -> None:
        nonlocal done
        done += 1
        if done == last:
            _die()

    for task in stages():
        task.on_completion_hooks.append(hook)


def _count_writes(last: int) -> None:
    from tasks.kubernetes.connection import Connection

    done = 0
    real = Connection._open

    async def counting(self: Connection, request: Any, *limits: Any) -> Any:
        nonlocal done
        answer = await real(self, request, *limits)
        done += request.method != "GET"
        if done == last:
            _die()
        return answer

    Connection._open = counting  # type: ignore[method-assign]
