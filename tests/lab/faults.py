"""Asks a running lab for trouble."""

from __future__ import annotations

from typing import Any

import httpx

Obj = dict[str, Any]


class LabFaults:
    """The faults of a lab, by its control site."""

    def __init__(self, control: str) -> None:
        self._http = httpx.Client(base_url=control, trust_env=False, timeout=10)

    def add(self, place: str, target: str, effect: str, *, times: int | None = None, after: int = 0, probability: float = 1.0, seed: int = 0,
            **options: Any) -> int:  # fmt: skip
        """Ask for one; gives its id. Options are the effect's own: `code`, `seconds`, …"""
        wish: Obj = {"place": place, "target": target, "effect": effect, "options": options, "after": after, "probability": probability, "seed": seed}
        answer = self._http.post("/faults", json=wish | ({"times": times} if times is not None else {}))
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def left(self) -> list[Obj]:
        """Those that still stand: none, when all that was asked for with `times` has happened."""
        return list(self._http.get("/faults").raise_for_status().json()["faults"])

    def clear(self) -> None:
        """Forget all."""
        self._http.delete("/faults").raise_for_status()

    def close(self) -> None:
        """Forget all, and hang up."""
        self.clear()
        self._http.close()
