"""What is wrong with pods, told so that a person can act: reason, advice, last log lines, events, as an artifact."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from networks.errors import Permanent, Transient
from tasks.kubernetes.connection import Connection
from tasks.kubernetes.kinds import EVENT, Obj
from tasks.kubernetes.rollout import RolloutFailed, Trouble
from tasks.reporting import logger, show_text

_TOLD = 5  # pods: more would say the same
_LOG_LINES = 20
_EVENTS = 15
_COLLECT_SECONDS = 15.0  # an API server in trouble must not keep the reason from being told


async def tell_trouble(k8s: Connection, namespace: str, network: str, error: RolloutFailed) -> None:
    """A markdown artifact about pods that will not become ready. Never hides the error that it is about."""
    text = await trouble_markdown(k8s, namespace, error)
    await show_text(f"{network}-trouble", text, f"Why {network} did not come up")
    logger().error(text)


async def trouble_markdown(k8s: Connection, namespace: str, error: RolloutFailed) -> str:
    """The text: a section for each of the first few broken pods."""
    lines = [f"# {error.what}", ""]
    if not error.troubles:
        lines += [error.why, "", f"**What to do:** {error.advice}", ""]
    sections = await asyncio.gather(*(_section(k8s, namespace, trouble) for trouble in error.troubles[:_TOLD]))
    lines += [line for section in sections for line in section]
    if len(error.troubles) > _TOLD:
        lines += ["", "And so are: " + ", ".join(t.deployment for t in error.troubles[_TOLD:])]
    return "\n".join(lines)


async def _section(k8s: Connection, namespace: str, trouble: Trouble) -> list[str]:
    lines = [f"## {trouble.deployment}", "", trouble.diagnosis.summary, "", f"**What to do:** {trouble.diagnosis.advice}", ""]
    if trouble.pod is None:
        return lines
    log, events = await asyncio.gather(
        _or_why_not(last_lines(k8s, namespace, trouble.pod, trouble.diagnosis.container)), _or_why_not(_event_lines(k8s, namespace, trouble.pod))
    )
    lines += [f"### Last log lines of pod {trouble.pod}", "", _fenced(log or "(it wrote nothing)"), ""]
    return [*lines, "### Events", "", _fenced(events or "(none)"), ""]


async def _or_why_not(text: Awaitable[str]) -> str:
    try:
        async with asyncio.timeout(_COLLECT_SECONDS):
            return await text
    except TimeoutError:
        return f"(not to be had within {_COLLECT_SECONDS:.0f} s)"
    except (Transient, Permanent) as error:
        return f"({error})"


async def _event_lines(k8s: Connection, namespace: str, pod: str) -> str:
    events, _ = await k8s.find(EVENT, namespace, fields=f"involvedObject.name={pod}")
    return "\n".join(_event_line(event) for event in sorted(events, key=_when)[-_EVENTS:])


async def last_lines(k8s: Connection, namespace: str, pod: str, container: str = "") -> str:
    """The end of a container's log; of its last life when the present one has not said anything yet. Empty when there is none."""
    for previous in (False, True):
        try:
            text = await k8s.log(namespace, pod, container=container, tail=_LOG_LINES, previous=previous)
        except Permanent:  # not started, or never ended: 400
            continue
        if text.strip():
            return text.strip()
    return ""


def _when(event: Obj) -> str:
    series = event.get("series") or {}
    stamps = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"), event["metadata"].get("creationTimestamp"))
    return next((str(stamp) for stamp in stamps if stamp), "")


def _event_line(event: Obj) -> str:
    times = f" (x{event['count']})" if (event.get("count") or 1) > 1 else ""
    return f"{_when(event)} {event.get('type', '')} {event.get('reason', '')}{times}: {event.get('message', '')}"


def _fenced(text: str) -> str:
    fence = "````" if "```" in text else "```"
    return f"{fence}\n{text}\n{fence}"
