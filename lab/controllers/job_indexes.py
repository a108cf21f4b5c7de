"""Completion indexes of Indexed jobs: as text, on pods, and which of them want a pod. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

Obj = dict[str, Any]

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"


def text_of(indexes: Iterable[int]) -> str:
    """`0,2-4,7,8`: runs of three and more are joined."""
    return ",".join(_run(first, last) for first, last in _runs(sorted(indexes)))


def _runs(indexes: list[int]) -> Iterator[tuple[int, int]]:
    first = last = -2
    for index in indexes:
        if index != last + 1:
            if first >= 0:
                yield first, last
            first = index
        last = index
    if first >= 0:
        yield first, last


def _run(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"


def parsed(text: str | None, completions: int) -> set[int]:
    """The indexes of a text, those below the number of completions."""
    found: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        if first:
            found.update(range(int(first), min(int(last or first), completions - 1) + 1))
    return found


def index_of(pod: Obj) -> int | None:
    """The completion index that a pod works on."""
    return _number((pod["metadata"].get("annotations") or {}).get(INDEX))


def failures_of(pod: Obj) -> int:
    """How often its index had failed before this pod, failures that count."""
    return _number((pod["metadata"].get("annotations") or {}).get(FAILURES)) or 0


def ignored_failures_of(pod: Obj) -> int:
    """How often its index had failed before this pod, failures that a policy ignores."""
    return _number((pod["metadata"].get("annotations") or {}).get(IGNORED_FAILURES)) or 0


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def pending(completions: int, taken: Collection[int], most: int) -> list[int]:
    """The first indexes that nobody works on and that are not done."""
    found: list[int] = []
    for index in range(completions):
        if len(found) >= most:
            break
        if index not in taken:
            found.append(index)
    return found
