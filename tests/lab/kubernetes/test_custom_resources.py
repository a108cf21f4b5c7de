"""CustomResourceDefinitions: served, judged, shown, and gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from lab.controllers.custom_resources import CustomResources
from tests.lab.kubernetes.conftest import Api

Obj = dict[str, Any]

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SHIPS = "/apis/demo.example.dev/v1/namespaces/default/ships"


def definition(schema: Obj | None = None, **version: Any) -> Obj:
    """A definition of ships with this schema of spec."""
    properties = {"spec": {"type": "object", "properties": schema or {"size": {"type": "integer"}}}}
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    root = {"type": "object", "properties": {**properties, "status": status}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "ships.demo.example.dev"},
        "spec": {
            "group": "demo.example.dev",
            "scope": "Namespaced",
            "names": {"plural": "ships", "kind": "Ship"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": root}, **version}],
        },
    }


def ship(name: str = "a", api_version: str = "demo.example.dev/v1", **spec: Any) -> Obj:
    """A ship."""
    return {"apiVersion": api_version, "kind": "Ship", "metadata": {"name": name}, "spec": spec}


@pytest_asyncio.fixture
async def served(api: Api) -> AsyncIterator[Api]:
    """An API server whose definitions are served; its seconds are short."""
    api.registry.clock.speed = 1000.0
    task = asyncio.create_task(CustomResources(api.registry).run())
    yield api
    task.cancel()


async def define(api: Api, crd: Obj) -> None:
    """Make a definition and wait until its kind answers."""
    status, answer = await api.ask("POST", CRDS, crd)
    assert status == 201, answer
    path = f"/apis/{crd['spec']['group']}/{crd['spec']['versions'][0]['name']}/{crd['spec']['names']['plural']}"
    async with asyncio.timeout(5):
        while (await api.ask("GET", path))[0] != 200:
            await asyncio.sleep(0.005)


async def test_a_definition_makes_its_kind_appear_everywhere(served: Api) -> None:
    assert (await served.ask("GET", "/apis/demo.example.dev"))[0] == 404
    await define(served, definition())
    _, crd = await served.ask("GET", f"{CRDS}/ships.demo.example.dev")
    assert {one["type"]: one["status"] for one in crd["status"]["conditions"]} == {"NamesAccepted": "True", "Established": "True"}
    assert crd["status"]["acceptedNames"] == {"plural": "ships", "singular": "ship", "kind": "Ship", "listKind": "ShipList"}
    _, resources = await served.ask("GET", "/apis/demo.example.dev/v1")
    assert [one["name"] for one in resources["resources"]] == ["ships"]
    _, index = await served.ask("GET", "/openapi/v3")
    assert "apis/demo.example.dev/v1" in str(index)
    _, document = await served.ask("GET", "/openapi/v3/apis/demo.example.dev/v1")
    schema = document["components"]["schemas"]["dev.example.demo.v1.Ship"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "demo.example.dev", "version": "v1", "kind": "Ship"}]
    assert "size" in schema["properties"]["spec"]["properties"]


async def test_objects_are_pruned_completed_and_judged(served: Api) -> None:
    fields = {
        "size": {"type": "integer", "maximum": 9},
        "mode": {"type": "string", "default": "slow", "enum": ["slow", "fast"]},
        "maybe": {"type": "string", "nullable": True},
        "never": {"type": "string"},
        "port": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    await define(served, definition(fields))
    sent = ship(size=1, nosuch=2, maybe=None, never=None, port="http", free={"x": {"y": 1}}, labels={"a": "b"})
    response = await served.raw("POST", SHIPS, sent)
    made = await response.json()
    assert made["spec"] == {"size": 1, "maybe": None, "port": "http", "free": {"x": {"y": 1}}, "labels": {"a": "b"}, "mode": "slow"}
    assert response.headers.getall("Warning") == ['299 - "unknown field \\"spec.nosuch\\""']
    status, refused = await served.ask("POST", SHIPS, ship("b", size=10, mode="odd", port=1.5, labels={"a": 1}))
    assert status == 422
    assert [(cause["reason"], cause["field"]) for cause in refused["details"]["causes"]] == [
        ("FieldValueTypeInvalid", "spec.labels.a"),
        ("FieldValueNotSupported", "spec.mode"),
        ("FieldValueTypeInvalid", "spec.port"),
        ("FieldValueInvalid", "spec.size"),
    ]


async def test_what_was_wrong_before_stays_accepted_until_it_changes(served: Api) -> None:
    await define(served, definition({"size": {"type": "integer"}, "note": {"type": "string"}}))
    await served.ask("POST", SHIPS, ship(size=50, note="x"))
    merge = {"Content_Type": "application/merge-patch+json"}
    narrowed = definition({"size": {"type": "integer", "maximum": 9}, "note": {"type": "string"}})["spec"]
    assert (await served.ask("PATCH", f"{CRDS}/ships.demo.example.dev", {"spec": narrowed}, **merge))[0] == 200
    async with asyncio.timeout(5):
        while (await served.ask("POST", f"{SHIPS}?dryRun=All", ship("other", size=50)))[0] != 422:
            await asyncio.sleep(0.005)
    assert (await served.ask("PATCH", f"{SHIPS}/a", {"spec": {"note": "y"}}, **merge))[0] == 200
    assert (await served.ask("PATCH", f"{SHIPS}/a", {"spec": {"size": 51}}, **merge))[0] == 422


RULES = [
    ({"rule": "self.low <= self.high", "message": "low above high"}, {"low": 2, "high": 1}, "low above high"),
    ({"rule": "self.low <= self.high"}, {"low": 2, "high": 1}, "failed rule: self.low <= self.high"),
    ({"rule": "self.names.all(n, n.startsWith('a'))", "messageExpression": "'bad: ' + self.names[0]"}, {"names": ["b"]}, "bad: b"),
    ({"rule": "!has(self.high) || self.high.isLarge"}, {"high": 1}, "rule evaluation error"),
]


@pytest.mark.parametrize(("rule", "spec", "message"), RULES)
async def test_rules_in_cel(served: Api, rule: Obj, spec: Obj, message: str) -> None:
    fields = {"low": {"type": "integer"}, "high": {"type": "integer"}, "names": {"type": "array", "items": {"type": "string"}}}
    crd = definition(fields)
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] = [rule]
    await define(served, crd)
    status, refused = await served.ask("POST", SHIPS, ship(**spec))
    assert status == 422
    assert message in refused["details"]["causes"][0]["message"]
    assert refused["details"]["causes"][0]["field"] == "spec"


WRONG = [
    ({"size": {"type": "integer", "x-kubernetes-validations": [{"rule": "quantity(self) > 1"}]}}, "this lab's CEL has no function quantity"),
    ({"size": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >"}]}}, "compilation failed"),
    ({"size": {"type": "integer", "x-kubernetes-validations": [{"rule": "other > 1"}]}}, "undeclared reference to 'other'"),
    ({"size": {}}, "must not be empty for specified object fields"),
    ({"size": {"type": "array"}}, "spec.validation.openAPIV3Schema.properties[spec].properties[size].items"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG)
async def test_definitions_that_make_no_sense(served: Api, fields: Obj, message: str) -> None:
    status, refused = await served.ask("POST", CRDS, definition(fields))
    assert status == 422
    assert message in refused["message"]


@pytest.mark.parametrize("schema", [None, 1, {"type": 1}, {"type": "object", "properties": {"a": 1}}, {"type": "array", "items": []}])
async def test_a_schema_of_wrong_types_cannot_be_read(served: Api, schema: Any) -> None:
    status, refused = await served.ask("POST", CRDS, definition({"size": schema}))
    assert status == 400
    assert "cannot be handled as a CustomResourceDefinition: json: cannot unmarshal" in refused["message"]


async def test_two_versions_show_the_same_objects(served: Api) -> None:
    crd = definition()
    second = {**crd["spec"]["versions"][0], "name": "v2", "storage": False}
    crd["spec"]["versions"].append(second)
    await define(served, crd)
    await served.ask("POST", SHIPS, ship(size=1))
    _, shown = await served.ask("GET", SHIPS.replace("/v1/", "/v2/") + "/a")
    assert (shown["apiVersion"], shown["spec"]) == ("demo.example.dev/v2", {"size": 1})
    apply = {"Content_Type": "application/apply-patch+yaml"}
    body = ship(api_version="demo.example.dev/v2", size=1)
    status, applied = await served.ask("PATCH", SHIPS.replace("/v1/", "/v2/") + "/a?fieldManager=me", body, **apply)
    assert (status, applied["apiVersion"]) == (200, "demo.example.dev/v2")
    _, group = await served.ask("GET", "/apis/demo.example.dev")
    assert group["preferredVersion"]["version"] == "v2"


async def test_columns_of_a_table(served: Api) -> None:
    columns = [
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Names", "type": "string", "jsonPath": ".status.names[*]"},
    ]
    await define(served, definition(additionalPrinterColumns=columns))
    body = ship(size=3)
    body["status"] = {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}], "names": ["x", "y"]}
    await served.ask("POST", SHIPS, body)
    await served.ask("POST", SHIPS, ship("b"))
    _, table = await served.ask("GET", SHIPS, Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [row["cells"] for row in table["rows"]] == [["a", "True", 3, "x,y"], ["b", None, None, None]]


async def test_a_watch_ends_when_its_kind_goes(served: Api) -> None:
    await define(served, definition())
    response = await served.raw("GET", f"{SHIPS}?watch=true")
    await served.ask("POST", SHIPS, ship(size=1))
    assert (await served.ask("DELETE", f"{CRDS}/ships.demo.example.dev"))[0] == 200
    async with asyncio.timeout(5):
        text = await response.text()
    assert [line.split('"')[3] for line in text.splitlines()] == ["ADDED", "DELETED"]
    status, body = await served.ask("GET", SHIPS)
    assert (status, body) == (404, "404 page not found\n")


async def test_a_taken_name_is_not_served(served: Api) -> None:
    await define(served, definition())
    other = definition()
    other["metadata"]["name"] = "boats.demo.example.dev"
    other["spec"]["names"] = {"plural": "boats", "kind": "Ship"}
    await served.ask("POST", CRDS, other)
    async with asyncio.timeout(5):
        while not (crd := (await served.ask("GET", f"{CRDS}/boats.demo.example.dev"))[1])["status"]["conditions"]:
            await asyncio.sleep(0.005)
    assert [(one["type"], one["status"], one["reason"]) for one in crd["status"]["conditions"]] == [
        ("NamesAccepted", "False", "ListKindConflict"),
        ("Established", "False", "NotAccepted"),
    ]
    assert (await served.ask("GET", "/apis/demo.example.dev/v1/boats"))[0] == 404
