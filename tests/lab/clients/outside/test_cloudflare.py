"""Cloudflare's own SDK, unmodified, against the lab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cloudflare import APIConnectionError, BadRequestError, Cloudflare, InternalServerError, NotFoundError, PermissionDeniedError, RateLimitError

from tests.lab.faults import LabFaults

Obj = dict[str, Any]
SetUp = Callable[[str, Obj], Obj]
READ_ONLY, ELSEWHERE = "r" * 40, "e" * 40


@pytest.fixture
def cloud(outside_lab: Obj) -> Cloudflare:
    return Cloudflare(api_token=outside_lab["tokens"]["cloudflare"], base_url=outside_lab["cloudflare"], max_retries=0, timeout=10)


def make_zone(cloud: Cloudflare, set_up: SetUp, name: str, **more: Any) -> str:
    set_up("cloudflare", {"zones": [name], **more})
    (zone,) = cloud.zones.list(name=name)
    return zone.id


def code(error: pytest.ExceptionInfo[Any]) -> int:
    return int(error.value.body["errors"][0]["code"])


def test_zones_and_tokens(cloud: Cloudflare, set_up: SetUp) -> None:
    tokens = {ELSEWHERE: {"zones": ["other.example"]}, READ_ONLY: {"permissions": ["zone:read", "dns:read"]}}
    zone_id = make_zone(cloud, set_up, "zones.example", tokens=tokens)
    assert cloud.zones.get(zone_id=zone_id).name == "zones.example"
    assert "lab.example" in [zone.name for zone in cloud.zones.list(per_page=5)]
    verified = cloud.user.tokens.verify()
    assert verified is not None and verified.status == "active"

    reader = cloud.with_options(api_token=READ_ONLY)
    assert list(reader.dns.records.list(zone_id=zone_id)) == []
    with pytest.raises(PermissionDeniedError) as error:
        reader.dns.records.create(zone_id=zone_id, name="a", type="A", content="192.0.2.1", ttl=60)
    assert code(error) == 10000

    elsewhere = cloud.with_options(api_token=ELSEWHERE)
    assert list(elsewhere.zones.list(name="zones.example")) == []
    with pytest.raises(PermissionDeniedError) as error:
        elsewhere.zones.get(zone_id=zone_id)
    assert code(error) == 9109

    with pytest.raises(PermissionDeniedError) as error:
        list(cloud.with_options(api_token="x" * 40).zones.list())
    assert code(error) == 9109
    with pytest.raises(BadRequestError) as error:
        list(cloud.with_options(api_token="short").zones.list())
    assert code(error) == 6003
    with pytest.raises(NotFoundError) as error:
        cloud.zones.get(zone_id="nonsense")
    assert code(error) == 7003


def test_records(cloud: Cloudflare, set_up: SetUp) -> None:
    zone_id = make_zone(cloud, set_up, "records.example")
    records = cloud.dns.records
    made = records.create(zone_id=zone_id, name="api", type="A", content="192.0.2.1", ttl=60, comment="net=lab")
    assert made is not None and (made.name, made.proxied, made.comment) == ("api.records.example", False, "net=lab")
    same = {"zone_id": zone_id, "name": "api.records.example", "type": "A", "content": "192.0.2.1"}
    with pytest.raises(BadRequestError) as error:
        records.create(**same, ttl=60)
    assert code(error) == 81058
    with pytest.raises(BadRequestError) as error:
        records.create(**same, ttl=120)
    assert code(error) == 81057
    with pytest.raises(BadRequestError) as error:
        records.create(zone_id=zone_id, name="api", type="CNAME", content="elsewhere.example", ttl=1)
    assert code(error) == 81053
    with pytest.raises(BadRequestError) as error:
        records.create(zone_id=zone_id, name="b", type="A", content="192.0.2", ttl=60)
    assert code(error) == 9005

    edited = records.edit(made.id, zone_id=zone_id, name="api", type="A", content="192.0.2.2", ttl=1, proxied=True)
    assert edited is not None and (edited.content, edited.proxied, edited.comment) == ("192.0.2.2", True, "net=lab")
    records.delete(made.id, zone_id=zone_id)
    with pytest.raises(NotFoundError) as error:
        records.get(made.id, zone_id=zone_id)
    assert code(error) == 81044


def test_many_records_are_paged_filtered_and_changed_at_once(cloud: Cloudflare, set_up: SetUp) -> None:
    zone_id = make_zone(cloud, set_up, "many.example")
    posts = [{"name": f"node-{n}", "type": "A", "content": f"192.0.2.{n}", "ttl": 60, "comment": f"net={'ab'[n % 2]}"} for n in range(12)]
    answer = cloud.dns.records.batch(zone_id=zone_id, posts=posts)  # type: ignore[arg-type]
    assert answer is not None and len(answer.posts or ()) == 12

    first = cloud.dns.records.list(zone_id=zone_id, per_page=5)
    assert len(first.result) == 5
    assert len(list(first)) == 12  # the SDK asks for page after page
    ours = list(cloud.dns.records.list(zone_id=zone_id, comment={"startswith": "net=a"}, per_page=5))
    assert {record.comment for record in ours} == {"net=a"} and len(ours) == 6
    assert [r.name for r in cloud.dns.records.list(zone_id=zone_id, name={"exact": "node-3.many.example"})] == ["node-3.many.example"]
    assert len(list(cloud.dns.records.list(zone_id=zone_id, name={"endswith": "1.many.example"}, type="A"))) == 2

    with pytest.raises(BadRequestError) as error:  # all or nothing
        cloud.dns.records.batch(zone_id=zone_id, deletes=[{"id": ours[0].id}], posts=posts[1:2])  # type: ignore[arg-type]
    assert code(error) == 81058
    assert len(list(cloud.dns.records.list(zone_id=zone_id))) == 12
    cloud.dns.records.batch(zone_id=zone_id, deletes=[{"id": record.id} for record in ours])
    assert len(list(cloud.dns.records.list(zone_id=zone_id))) == 6


def test_trouble(cloud: Cloudflare, set_up: SetUp, lab_faults: LabFaults) -> None:
    zone_id = make_zone(cloud, set_up, "trouble.example")

    def create(client: Cloudflare, name: str) -> None:
        client.dns.records.create(zone_id=zone_id, name=name, type="A", content="192.0.2.1", ttl=60)

    lab_faults.add("cloudflare", "^POST", "status", code=429, times=1, retry_after=7)
    with pytest.raises(RateLimitError) as limited:
        create(cloud, "a")
    assert limited.value.response.headers["Retry-After"] == "7" and code(limited) == 971
    lab_faults.add("cloudflare", "^POST", "status", code=500, times=1)
    with pytest.raises(InternalServerError):
        create(cloud, "a")
    lab_faults.add("cloudflare", f"^POST /client/v4/zones/{zone_id}/dns_records", "reset", times=1)
    with pytest.raises(APIConnectionError):
        create(cloud, "a")
    assert list(cloud.dns.records.list(zone_id=zone_id)) == []  # nothing was done so far

    # The SDK repeats what it got no answer to, and finds its own record in the way.
    lab_faults.add("cloudflare", "^POST", "reset-after", times=1)
    with pytest.raises(BadRequestError) as error:
        create(cloud.with_options(max_retries=1), "a")
    assert code(error) == 81058

    lab_faults.add("cloudflare", "^GET", "cut-off", times=1)
    with pytest.raises(APIConnectionError):
        list(cloud.dns.records.list(zone_id=zone_id))
    lab_faults.add("cloudflare", "^GET", "hang", times=1)
    with pytest.raises(APIConnectionError):
        list(cloud.with_options(timeout=0.5).dns.records.list(zone_id=zone_id))
    lab_faults.add("cloudflare", "^GET", "wrong-type", body="<h1>Gateway</h1>", times=1)
    page: Any = cloud.dns.records.with_raw_response.list(zone_id=zone_id)
    assert page.headers["Content-Type"].startswith("text/html") and page.text() == "<h1>Gateway</h1>"
    assert lab_faults.left() == []
