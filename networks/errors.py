"""What can go wrong, in the two kinds that policy needs: worth trying again, or not.

Every error says what failed, why, and what to do; adapters in `tasks` raise these and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class CosmodromeError(Exception):
    """Something failed. `what` failed, `why`, and `advice`: what a person can do about it."""

    def __init__(self, what: str, *, why: str = "", advice: str = "") -> None:
        self.what = what
        self.why = why
        self.advice = advice
        super().__init__(what, why, advice)

    def __str__(self) -> str:
        text = f"{self.what}: {self.why}" if self.why else self.what
        return f"{text.rstrip('. ')}. {self.advice[:1].upper()}{self.advice[1:]}" if self.advice else text

    def __reduce__(self) -> tuple[object, ...]:
        """Errors are stored with failed runs; whatever arguments a subclass takes, they come back as they were."""
        return (_restored, (type(self), self.args, self.__dict__))


def _restored(kind: type[CosmodromeError], args: tuple[object, ...], state: dict[str, object]) -> CosmodromeError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class Transient(CosmodromeError):
    """Worth trying again: 429, 5xx, a connection that broke.

    `retry_after` is what the other side asked for, `tried_for` how long it was tried again already; both in seconds.
    """

    def __init__(self, what: str, *, why: str = "", advice: str = "", retry_after: float | None = None) -> None:
        super().__init__(what, why=why, advice=advice)
        self.retry_after = retry_after
        self.tried_for = 0.0


class Permanent(CosmodromeError):
    """Not worth trying again: bad input, forbidden, wrong image, no room."""


@dataclass(frozen=True)
class Problem:
    """One mistake: where it is (`miners.bootnodes`), what is wrong, what to do."""

    field: str
    what: str
    advice: str = ""

    def __str__(self) -> str:
        text = f"{self.field}: {self.what}" if self.field else self.what
        return f"{text}; {self.advice}" if self.advice else text


class SpecError(Permanent):
    """What was asked for cannot be: all mistakes together, each naming its field and what to do."""

    def __init__(self, problems: Iterable[Problem], *, what: str = "") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(what or ("1 mistake" if count == 1 else f"{count} mistakes"), why="\n".join(f"- {problem}" for problem in self.problems))

    def __str__(self) -> str:
        return f"{self.what}:\n{self.why}"
