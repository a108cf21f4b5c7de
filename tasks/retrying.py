"""When something is worth trying again, how long to wait before, and how tasks do it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun

from networks.errors import Transient
from tasks.waiting import WALL, Clock

T = TypeVar("T")


async def retry_transient(
    attempt: Callable[[], Awaitable[T]],
    *,
    patience: float,
    first_delay: float = 0.25,
    longest_delay: float = 8.0,
    but_not: tuple[type[Transient], ...] = (),
    clock: Clock = WALL,
    jitter: Callable[[], float] = random.random,
    tell: Callable[[Transient, float, float], None] | None = None,
) -> T:
    """What `attempt` gives, tried again after Transient errors (but not these) until `patience` seconds have gone; then the last error is raised.

    Delays double and are spread, so that many clients do not come back at once. A server's own Retry-After counts more than ours.

    `tell` is called before each further attempt: with the error, for how many seconds there has been trouble, and how many are left.
    """
    began = clock.monotonic()
    delay = first_delay
    while True:
        try:
            return await attempt()
        except but_not:
            raise
        except Transient as error:
            pause = max(delay * (0.5 + jitter()), error.retry_after or 0)
            passed = clock.monotonic() - began
            if passed + pause > patience:
                error.tried_for = passed
                raise
            if tell:
                tell(error, passed, patience - passed)
        await clock.sleep(pause)
        delay = min(delay * 2, longest_delay)


def worth_retrying(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Prefect's `retry_condition_fn`: only Transient errors; a wrong image or a refusal comes out at once.

    What was tried again and again by `retry_transient` is not tried for as long a second time.
    """
    return isinstance(state.data, Transient) and not state.data.tried_for
