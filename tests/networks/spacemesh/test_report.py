"""What a flow tells about a network in the end."""

from __future__ import annotations

from networks.spacemesh.report import Changes, MinerRow, NetworkReport, PoetRow
from tests.networks.spacemesh.examples import NOW

REPORT = NetworkReport(
    network="try",
    namespace="try",
    network_id="7",
    genesis=NOW,
    changes=Changes(unchanged=44),
    poets=(PoetRow(name="poet-0", address="203.0.113.1:30100", node="node-1", state="activated", ready=True),),
    miners=(
        MinerRow(name="miner-1", role="bootstrap", grpc="203.0.113.1:30001", p2p_address="/ip4/203.0.113.1/tcp/5001/p2p/a", ready=True),
        MinerRow(name="miner-2", role="bootnode", grpc="203.0.113.2:30002"),
        MinerRow(name="miner-3", role="ordinary"),
    ),
    links={"run": "http://127.0.0.1:4200/runs/1"},
)


def test_hosts_are_in_the_watchers_form_and_only_those_known() -> None:
    assert REPORT.hosts() == "203.0.113.1:30001/miner-1,203.0.113.2:30002/miner-2"


def test_a_report_is_json_and_back() -> None:
    assert NetworkReport.model_validate_json(REPORT.model_dump_json()) == REPORT


def test_tables_have_the_same_columns_in_every_row() -> None:
    rows = REPORT.miner_table()
    assert {tuple(row) for row in rows} == {("miner", "role", "ready", "node", "p2p address", "gRPC", "JSON", "PoET")}
    assert [row["ready"] for row in rows] == ["yes", "no", "no"]
    assert REPORT.poet_table() == [{"PoET": "poet-0", "ready": "yes", "address": "203.0.113.1:30100", "node": "node-1", "state": "activated"}]


def test_the_report_as_text_leaves_out_empty_columns() -> None:
    text = REPORT.as_text()
    assert "PoET    ready  address            node    state\npoet-0  yes    203.0.113.1:30100  node-1  activated" in text
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("miner  "))
    assert lines[start].split() == ["miner", "role", "ready", "p2p", "address", "gRPC"]
    assert lines[start + 1].split() == ["miner-1", "bootstrap", "yes", "/ip4/203.0.113.1/tcp/5001/p2p/a", "203.0.113.1:30001"]
    assert lines[start + 3] == "miner-3  ordinary   no"
    assert "JSON" not in text
    assert NetworkReport(network="try", namespace="here", warnings=("one",)).as_text().endswith("\n\nwarning: one")


def test_the_summary_counts_and_leaves_out_what_is_not_known() -> None:
    summary = REPORT.summary()
    assert summary["miners"] == "1 of 3 ready"
    assert summary["this run changed"] == "nothing: all 44 objects were as they should be"
    assert summary["run"] == "http://127.0.0.1:4200/runs/1"
    assert "expires" not in summary


def test_changes_are_told_when_there_are_some() -> None:
    assert str(Changes(created=3, changed=1, unchanged=2)) == "3 objects created, 1 changed, 2 were as they should be"


def test_miners_that_were_asked() -> None:
    """The layer that most see, and how many are in step; who did not answer counts for nothing."""
    told = [(7, True), (7, True), (5, False), (None, None)]
    rows = tuple(MinerRow(name=f"miner-{n}", role="ordinary", layer=layer, synced=synced) for n, (layer, synced) in enumerate(told, start=1))
    report = NetworkReport(network="a", namespace="a", miners=rows)
    assert (report.current_layer, report.synced) == (7, "2/3")
    assert [(row["layer"], row["synced"]) for row in report.miner_table()] == [("7", "yes"), ("7", "yes"), ("5", "no"), ("", "")]
    assert report.summary()["layer"] == "7"
    assert NetworkReport(network="a", namespace="a").current_layer is None
