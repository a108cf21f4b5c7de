"""Machine types, and the filters of Compute's lists."""

from __future__ import annotations

import pytest

from lab.outside.disks import FilterError, read_filter
from lab.outside.machines import machine_type


@pytest.mark.parametrize(
    ("name", "cpus", "memory_mb", "quota"),
    [
        ("e2-standard-4", 4, 16 * 1024, "CPUS"),
        ("n1-standard-8", 8, 30 * 1024, "CPUS"),
        ("n2d-highmem-16", 16, 128 * 1024, "N2D_CPUS"),
        ("c2-standard-60", 60, 240 * 1024, "C2_CPUS"),
        ("e2-medium", 2, 4 * 1024, "CPUS"),
        ("n2-custom-6-20480", 6, 20480, "N2_CPUS"),
    ],
)
def test_machine_types(name: str, cpus: int, memory_mb: int, quota: str) -> None:
    found = machine_type(name)
    assert found is not None
    assert (found.cpus, found.memory_mb, found.quota) == (cpus, memory_mb, quota)


@pytest.mark.parametrize("name", ["", "z9-standard-4", "e2-standard-0", "e2-standard", "custom"])
def test_no_such_machine_type(name: str) -> None:
    assert machine_type(name) is None


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", True),
        ("labels.net=a", True),
        ("labels.net=b", False),
        ("labels.net:* AND -users:*", True),
        ("(labels.net=a) (name eq 'pvc-.*')", True),
        ("name ne 'pvc-.*'", False),
        ("NOT labels.gone:*", True),
        ('status="READY" sizeGb!=10', False),
        ("users:*", False),
    ],
)
def test_filters(text: str, fits: bool) -> None:
    disk = {"name": "pvc-1", "status": "READY", "sizeGb": "10", "labels": {"net": "a"}}
    assert read_filter(text)(disk) is fits


def test_a_filter_that_makes_no_sense() -> None:
    with pytest.raises(FilterError, match="Invalid list filter expression"):
        read_filter("net = a or so")
