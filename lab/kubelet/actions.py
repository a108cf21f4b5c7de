"""Which containers of a pod shall start now. Pure."""

from __future__ import annotations

from lab.kubelet.runs import ContainerState


def to_start(states: list[ContainerState], policy: str) -> list[ContainerState]:
    """Containers whose turn it is, in order: init containers one after the other, sidecars among them, then all others at once."""
    ephemeral = [state for state in states if state.ephemeral and state.current is None]
    main = [state for state in states if not state.init and not state.ephemeral]
    if any(state.current for state in main):
        ended_sidecars = [state for state in states if state.sidecar and not state.running]
        return ended_sidecars + _wanted(main, policy) + ephemeral
    for state in states:
        if not state.init:
            continue
        if state.sidecar:
            if not state.running:
                return [state]
            if not state.started:
                return []
            continue
        if state.current is None:
            return [state]
        if state.running:
            return []
        if state.current.exit_code != 0:
            return [state] if policy != "Never" else []
    return _wanted(main, policy) + ephemeral


def _wanted(states: list[ContainerState], policy: str) -> list[ContainerState]:
    return [state for state in states if state.current is None or (state.exited and state.restarts_after_exit(policy))]
