"""Which faults hit, and how often."""

from __future__ import annotations

import pytest

from lab.faults import Fault, Faults


def test_after_and_times_count_matches() -> None:
    faults = Faults()
    faults.add(Fault("api", "^GET", "status", times=2, after=1))
    hits = [faults.take("api", target) is not None for target in ("GET /a", "POST /a", "GET /b", "GET /c", "GET /d")]
    assert hits == [False, False, True, True, False]
    assert faults.all() == []  # used up


def test_place_and_effect_must_fit_and_the_first_one_counts() -> None:
    faults = Faults()
    first = faults.add(Fault("program", "net/", "stuck-sync"))
    second = faults.add(Fault("program", "net/miner-1", "crash"))
    assert faults.take("api", "net/miner-1") is None
    assert faults.take("program", "net/miner-1") is first
    assert faults.take("program", "net/miner-1", "crash") is second
    assert (first.hits, second.hits) == (1, 1)
    assert faults.remove(first.id)
    assert not faults.remove(first.id)


def test_a_target_must_be_a_regular_expression() -> None:
    with pytest.raises(ValueError, match="regular expression"):
        Faults().add(Fault("api", "(", "hang"))


def test_chances_come_from_the_seed() -> None:
    def hits(seed: int) -> list[bool]:
        faults = Faults()
        faults.add(Fault("api", "", "reset", probability=0.5, seed=seed, times=5))
        return [faults.take("api", "GET /") is not None for _ in range(40)]

    assert hits(1) == hits(1)
    assert hits(1) != hits(2)
    assert sum(hits(1)) == 5
