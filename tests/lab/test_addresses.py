"""Where a lab's ports are on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import addresses
from lab.addresses import real_port


def on_a_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first_free: int, rights: bool) -> None:
    file = tmp_path / "start"
    file.write_text(f"{first_free}\n")
    monkeypatch.setattr(addresses, "_FIRST_FREE_PORT", file)
    monkeypatch.setattr(addresses, "_has_the_right", lambda: rights)


def test_without_rights_low_ports_are_somewhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on_a_machine(monkeypatch, tmp_path, 1024, rights=False)
    assert [real_port(port) for port in (0, 1, 80, 1010, 1023, 1024, 6000)] == [0, 64513, 64592, 65522, 65535, 1024, 6000]


def test_with_rights_every_port_is_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on_a_machine(monkeypatch, tmp_path, 1024, rights=True)
    assert [real_port(port) for port in (80, 1010)] == [80, 1010]
    on_a_machine(monkeypatch, tmp_path, 0, rights=False)  # a machine, or a container, where low ports are free for all
    assert [real_port(port) for port in (80, 1010)] == [80, 1010]
