"""What people see of a run in the UI: tables, texts, links and progress, as artifacts. Everything here is public: never a secret."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger

_log = logging.getLogger("cosmodrome")
_OFTEN_ENOUGH = 2.0  # seconds between two updates of a progress bar: each is a request to the Prefect server


def artifact_key(text: str) -> str:
    """An artifact's key: Prefect takes a-z, 0-9 and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "artifact"


def logger() -> logging.Logger | logging.LoggerAdapter[Any]:
    """The run's logger; outside a run a plain one."""
    return get_run_logger() if _in_run() else _log


def _in_run() -> bool:
    return bool(FlowRunContext.get() or TaskRunContext.get())


async def _quietly(making: Awaitable[Any]) -> Any:
    """An artifact that cannot be made is a pity, and no reason to end a deployment."""
    try:
        return await making
    except (PrefectException, OSError) as error:
        logger().warning("no artifact: %s", error)
        return None


async def show_table(key: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """A table artifact; outside a run nothing."""
    if _in_run() and rows:
        await _quietly(acreate_table_artifact(table=[dict(row) for row in rows], key=artifact_key(key), description=description))


async def show_text(key: str, markdown: str, description: str = "") -> None:
    """A markdown artifact; outside a run nothing."""
    if _in_run():
        await _quietly(acreate_markdown_artifact(markdown=markdown, key=artifact_key(key), description=description or None))


async def show_link(key: str, url: str, text: str) -> None:
    """A link artifact; outside a run nothing."""
    if _in_run():
        await _quietly(acreate_link_artifact(link=url, link_text=text, key=artifact_key(key)))


class Progress:
    """A progress bar over several stages, updated sparsely."""

    def __init__(self, key: str, description: str, total: int, now: Callable[[], float] = time.monotonic) -> None:
        self._key, self._description = artifact_key(key), description
        self._total = max(1, total)
        self._now = now
        self._id: UUID | None = None
        self._done = 0
        self._shown = 0
        self._shown_at = 0.0

    async def start(self) -> None:
        """Show it, at nothing."""
        if _in_run():
            self._id = await _quietly(acreate_progress_artifact(progress=0.0, key=self._key, description=self._description))
            self._shown_at = self._now()

    async def reach(self, done: int) -> None:
        """So many are done. Shown at once when all are, else not more often than every two seconds."""
        self._done = max(self._done, done)
        late_enough = self._now() - self._shown_at >= _OFTEN_ENOUGH
        if self._id is None or self._done == self._shown or not (late_enough or self._done >= self._total):
            return
        self._shown, self._shown_at = self._done, self._now()
        await _quietly(aupdate_progress_artifact(artifact_id=self._id, progress=min(100.0, 100.0 * self._done / self._total)))
