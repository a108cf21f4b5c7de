"""What all tests share. Prefect reads its settings when it is imported, so they are set here, before anything imports it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lab.faults import LabFaults

_SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    # Services that tests do not look at cost most of a quick flow's time.
    **{
        f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false"
        for service in ("TRIGGERS", "SCHEDULER", "LATE_RUNS", "FOREMAN", "CANCELLATION_CLEANUP")
    },
}
for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Another cluster for the end-to-end tests."""
    group = parser.getgroup("cosmodrome", "end-to-end tests on a cluster of your own")
    group.addoption("--kubeconfig", metavar="FILE", help="run tests/e2e against this cluster instead of the lab")
    group.addoption("--context", metavar="NAME", help="the kubeconfig's context to use")
    group.addoption("--miner-image", metavar="IMAGE", help="go-spacemesh image that the cluster can pull")
    group.addoption("--poet-image", metavar="IMAGE", help="PoET image that the cluster can pull")
    group.addoption("--storage-class", metavar="NAME", help="StorageClass of the disks")
    group.addoption("--ephemeral", action="store_true", help="no disks: data goes with its pod")


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """A Prefect server of the tests' own, with an empty database; gives its API's address. Imported late: most tests need no Prefect."""
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    # Without a heartbeat: its thread sleeps a second, which every flow would wait for at its end.
    with prefect_test_harness(server_startup_timeout=90), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        url = PREFECT_API_URL.value()
        assert url
        yield url


@pytest.fixture
def lab_faults(lab_control: str) -> Iterator[LabFaults]:
    """Trouble on demand, gone after the test. Needs a fixture `lab_control`: the address of a lab's control site."""
    faults = LabFaults(lab_control)
    try:
        yield faults
    finally:
        faults.close()
