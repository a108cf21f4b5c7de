"""postStart and preStop."""

from __future__ import annotations

import asyncio
from typing import Any

from lab.kubelet.probes import ProbeFailed, check
from lab.kubelet.runs import ContainerState, Run

Obj = dict[str, Any]

_LONGEST_START_HOOK = 60.0  # real seconds


async def after_start(state: ContainerState, run: Run) -> str | None:
    """The postStart hook, if there is one; gives what went wrong."""
    return await _hook(state, run, "postStart", _LONGEST_START_HOOK)


async def before_stop(state: ContainerState, run: Run, seconds: float) -> str | None:
    """The preStop hook, within so many real seconds of grace; gives what went wrong."""
    return await _hook(state, run, "preStop", seconds)


async def _hook(state: ContainerState, run: Run, kind: str, seconds: float) -> str | None:
    hook = (state.spec.get("lifecycle") or {}).get(kind)
    if not hook or run.container is None:
        return None
    if "sleep" in hook:
        await asyncio.sleep(min(seconds, run.container.clock.real(hook["sleep"]["seconds"])))
        return None
    try:
        await check(run.container, run, hook, seconds, state.spec)
    except ProbeFailed as error:
        return f"{kind}Hook failed: {error}"
    return None
