"""What Elasticsearch holds, and for how long; whether its node starts."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.programs.elastic.indices import ElasticError, Holdings, check_policy, duration, flat_settings
from lab.programs.elastic.searching import fits
from tests.lab.programs.containers import machine

IMAGE = "docker.elastic.co/elasticsearch/elasticsearch:7.17.3"
WEEK = 7 * 86_400.0


def policy(days: int) -> dict[str, Any]:
    return {"version": 1, **check_policy({"policy": {"phases": {"delete": {"min_age": f"{days}d", "actions": {"delete": {}}}}}})}


def test_old_indices_go_when_their_policy_says_so() -> None:
    holdings = Holdings(
        policies={"sm": policy(7)}, templates={"sm": {"index_patterns": ["sm-*"], "template": {"settings": {"index.lifecycle.name": "sm"}}}}
    )
    holdings.create("sm-1", {})
    holdings.create("other", {})
    holdings.age = WEEK - 1
    holdings.create("sm-2", {})
    assert holdings.delete_old() == []
    holdings.age = WEEK
    assert holdings.delete_old() == ["sm-1"]
    assert set(holdings.indices) == {"other", "sm-2"}


def test_the_template_with_the_highest_priority_counts_alone() -> None:
    def template(priority: int, **settings: Any) -> dict[str, Any]:
        return {"index_patterns": ["sm-*"], "priority": priority, "template": {"settings": settings}}

    holdings = Holdings(templates={"low": template(1, number_of_shards=3), "high": template(9, number_of_replicas=0)})
    assert holdings.create("sm-1", {"settings": {"codec": "best_compression"}}).settings == {"number_of_replicas": 0, "codec": "best_compression"}


def test_what_is_held_comes_back_from_a_disk() -> None:
    holdings = Holdings(policies={"sm": policy(1)}, tokens={"kibana": "AAE"}, age=5.0)
    holdings.index_for("sm-1").documents["1"] = {"M": "hello"}
    assert Holdings.load(holdings.dump()) == holdings


@pytest.mark.parametrize(
    "settings", [{"index": {"lifecycle": {"name": "a"}}}, {"index.lifecycle.name": "a"}, {"lifecycle.name": "a"}, {"lifecycle": {"name": "a"}}]
)
def test_settings_are_the_same_in_every_form(settings: dict[str, Any]) -> None:
    assert flat_settings(settings) == {"lifecycle.name": "a"}


def test_durations_need_a_unit() -> None:
    assert (duration("7d"), duration("90m"), duration("0")) == (WEEK, 5400.0, 0.0)
    with pytest.raises(ElasticError, match="unit is missing"):
        duration("7")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"match_all": {}}, True), ({"term": {"kubernetes.pod.keyword": "miner-1"}}, True), ({"terms": {"level": ["error", "info"]}}, True),
        ({"match": {"M": "block late"}}, True), ({"match_phrase": {"M": "block late"}}, False), ({"exists": {"field": "nothing"}}, False),
        ({"range": {"T": {"gte": "2026-11-22", "lt": "2026-11-23"}}}, True), ({"ids": {"values": ["2"]}}, False),
        ({"bool": {"must": [{"term": {"level": "info"}}], "must_not": {"match": {"M": "proposal"}}}}, True),
        ({"bool": {"should": [{"term": {"level": "error"}}, {"term": {"level": "warn"}}]}}, False),
    ],
)  # fmt: skip
def test_queries(query: dict[str, Any], found: bool) -> None:
    document = {"level": "info", "M": "a new block", "T": "2026-11-22T10:00:00Z", "kubernetes": {"pod": "miner-1"}}
    assert fits(query, "1", document) is found


def test_a_query_that_is_not_known_is_said_so() -> None:
    with pytest.raises(ElasticError, match=r"unknown query \[fuzzy\]"):
        fits({"fuzzy": {"M": "x"}}, "1", {})


async def test_security_without_transport_tls_is_refused(tmp_path: Path) -> None:
    config = "xpack:\n  security:\n    enabled: true\n"
    async with machine(tmp_path) as lab:
        run = lab.run("es-0", IMAGE, [], {"/usr/share/elasticsearch/config/elasticsearch.yml": config})
        assert await run.task == 1
        assert "Transport SSL must be enabled if security is enabled" in run.lines[-1]


async def test_a_cluster_forms_when_most_masters_are_there(tmp_path: Path) -> None:
    config = "cluster.initial_master_nodes: es-0,es-1,es-2\n"
    files = {"/usr/share/elasticsearch/config/elasticsearch.yml": config}
    async with machine(tmp_path) as lab, httpx.AsyncClient() as client:
        first = lab.run("es-0", IMAGE, [], files)
        await first.until_line("started")
        url = f"http://{first.ip}:9200"
        assert (await client.get(url)).json()["tagline"] == "You Know, for Search"
        assert (await client.get(f"{url}/_cluster/health")).json()["error"]["type"] == "master_not_discovered_exception"
        second = lab.run("es-1", IMAGE, [], files)
        await second.until_line("started")
        assert (await client.get(f"{url}/_cluster/health")).json()["number_of_nodes"] == 2
        await client.put(f"{url}/three", json={"settings": {"number_of_replicas": 2}})
        waited = await client.get(f"{url}/_cluster/health?wait_for_status=green&timeout=1ms")
        assert (waited.status_code, waited.json()["status"], waited.json()["timed_out"]) == (408, "yellow", True)


async def test_what_a_node_held_is_there_after_a_restart(tmp_path: Path) -> None:
    async with machine(tmp_path) as lab, httpx.AsyncClient() as client:
        run = lab.run("es-0", IMAGE, [], {}, disk="data")
        await run.until_line("started")
        await client.put(f"http://{run.ip}:9200/sm-1/_doc/1", json={"M": "hello"})
        await run.stop()
        again = lab.run("es-0", IMAGE, [], {}, disk="data")
        await again.until_line("started")
        assert (await client.get(f"http://{again.ip}:9200/sm-1/_doc/1")).json()["_source"] == {"M": "hello"}


async def test_bulk_reports_each_item(tmp_path: Path) -> None:
    async with machine(tmp_path) as lab, httpx.AsyncClient() as client:
        run = lab.run("es-0", IMAGE, [])
        await run.until_line("started")
        url = f"http://{run.ip}:9200"
        lines = '{"create":{"_index":"a","_id":"1"}}\n{"x":1}\n{"create":{"_index":"a","_id":"1"}}\n{"x":2}\n{"index":{"_index":"BAD"}}\n{"x":3}\n'
        answer = (await client.post(f"{url}/_bulk", content=lines)).json()
        assert answer["errors"] is True
        assert [item[key]["status"] for item in answer["items"] for key in item] == [201, 409, 400]
        assert (await client.post(f"{url}/_bulk", content='{"index":{}}')).status_code == 400
        assert (await client.post(f"{url}/a/_doc", content="{")).json()["error"]["type"] == "parse_exception"


def test_basic_authentication_is_read_as_it_is_written() -> None:
    from aiohttp.test_utils import make_mocked_request

    from lab.programs.http_program import basic

    def read(header: str) -> tuple[str, str] | None:
        return basic(make_mocked_request("GET", "/", headers={"Authorization": header}))

    assert read("Basic " + base64.b64encode(b"elastic:a:b").decode()) == ("elastic", "a:b")
    assert [read(header) for header in ("", "Basic !", "Basic YQ==", "Bearer x")] == [None] * 4
