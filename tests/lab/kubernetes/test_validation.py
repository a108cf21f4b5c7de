"""Validation and decoding, against every refusal in the transcripts."""

from __future__ import annotations

from typing import Any

import pytest

from lab.kubernetes.decoding import decode
from lab.kubernetes.defaults import apply_defaults, prepare_create
from lab.kubernetes.errors import ApiError, invalid
from lab.kubernetes.kind import Kind
from lab.kubernetes.kinds import CONFIG_MAP, DEPLOYMENT, JOB, POD, PVC, SERVICE
from lab.kubernetes.validation import check_create, check_replicas, check_update
from tests.lab.kubernetes.recorded import requests
from tests.lab.replay.transcript import Record

Obj = dict[str, Any]

# Refused for reasons outside the object: query options, the path, addresses and ports that are taken.
ELSEWHERE = ("CreateOptions", "does not match the namespace", "allocate", "object provided is unrecognized")


def refusals(method: str) -> list[Any]:
    """Each 400 and 422 to a write of an object."""
    found = []
    for scenario in ("02", "03", "04", "08", "09", "10"):
        for record, kind in requests(scenario, method, 400, 422):
            if isinstance(record.answer, dict) and not any(words in record.answer["message"] for words in ELSEWHERE):
                found.append(pytest.param(record, kind, id=f"{record.scenario}-{record.n} {record.step}"))
    return found


def refusal_of_create(kind: Kind, body: Obj, namespace: str, field_validation: str = "Warn") -> ApiError | None:
    """What the pure rules say to a new object."""
    try:
        obj, _ = decode(kind, body, field_validation)
    except ApiError as error:
        return error
    meta = obj.setdefault("metadata", {})
    meta["uid"] = "25d04549-73f8-41c1-a406-67614882c8b8"
    if kind.namespaced:
        meta["namespace"] = namespace
    apply_defaults(kind, obj)
    if meta.get("name"):
        prepare_create(kind, obj)
    errors = check_create(kind, obj)
    return invalid(kind, meta.get("name", ""), errors) if errors else None


@pytest.mark.parametrize(("record", "kind"), refusals("POST"))
def test_recorded_refusal_of_a_create(record: Record, kind: Kind) -> None:
    field_validation = "Strict" if "fieldValidation=Strict" in record.path else "Warn"
    namespace = record.path.split("/namespaces/")[1].split("/")[0] if "/namespaces/" in record.path else ""
    error = refusal_of_create(kind, record.body, namespace, field_validation)
    assert error is not None
    assert error.body == record.answer


ACCEPTED = [(r, k) for scenario in ("02", "03", "04", "08", "09", "10") for r, k in requests(scenario, "POST", 201) if k.stored]


def test_everything_that_was_accepted_is_valid() -> None:
    for record, kind in ACCEPTED:
        namespace = record.path.split("/namespaces/")[1].split("/")[0] if "/namespaces/" in record.path else ""
        body = {**record.body, "metadata": {**record.body.get("metadata", {})}}
        body["metadata"].setdefault("name", "generated")
        error = refusal_of_create(kind, body, namespace)
        assert error is None, (record.scenario, record.n, str(error))


def template(**spec: Any) -> Obj:
    """A pod template's spec of one container, and more."""
    return {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "x"}], **spec}}


def changed(kind: Kind, old: Obj, new: Obj, subresource: str | None = None) -> list[tuple[str, str]]:
    """Field and message of each fault in a change, both sides with defaults."""
    for obj in (old, new):
        obj["metadata"] = {"name": "x", "namespace": "n", "uid": "1", **obj.get("metadata", {})}
        apply_defaults(kind, obj)
    return [(error.field, error.message) for error in check_update(kind, old, new, subresource)]


def test_selector_of_a_deployment_stays() -> None:
    old = {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template()}}
    new = {"spec": {"selector": {"matchLabels": {"a": "b", "c": "d"}}, "template": {**template(), "metadata": {"labels": {"a": "b", "c": "d"}}}}}
    assert changed(DEPLOYMENT, old, new) == [("spec.selector", 'Invalid value: {"matchLabels":{"a":"b","c":"d"}}: field is immutable')]


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ({"nodeName": "n1"}, {"nodeName": "n2"}, "spec"),
        ({}, {"hostNetwork": True}, "spec"),
        ({"tolerations": [{"key": "a", "operator": "Exists"}]}, {}, "spec"),
        ({"activeDeadlineSeconds": 5}, {"activeDeadlineSeconds": 9}, "spec.activeDeadlineSeconds"),
        ({}, {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]}, "spec"),
    ],
)
def test_what_of_a_pod_may_not_change(before: Obj, after: Obj, field: str) -> None:
    base = template()["spec"]
    assert [where for where, _ in changed(POD, {"spec": {**base, **before}}, {"spec": {**base, **after}})] == [field]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"containers": [{"name": "a", "image": "other", "imagePullPolicy": "Always"}]}),
        ({}, {"tolerations": [{"key": "a", "operator": "Exists"}]}),
        ({"activeDeadlineSeconds": 9}, {"activeDeadlineSeconds": 5}),
        ({}, {"activeDeadlineSeconds": 5}),
    ],
)
def test_what_of_a_pod_may_change(before: Obj, after: Obj) -> None:
    base = {"containers": [{"name": "a", "image": "x", "imagePullPolicy": "Always"}]}
    assert changed(POD, {"spec": {**base, **before}}, {"spec": {**base, **after}}) == []


def test_binding_and_status_of_a_pod_are_not_held_against_its_spec() -> None:
    base = template()["spec"]
    assert changed(POD, {"spec": base}, {"spec": {**base, "nodeName": "n1"}}, "binding") == []


def test_a_bound_claim_may_grow_and_an_unbound_one_may_be_bound() -> None:
    def claim(size: str, phase: str, **spec: Any) -> Obj:
        base = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        return {"spec": {**base, **spec}, "status": {"phase": phase}}

    assert changed(PVC, claim("1Gi", "Bound"), claim("2Gi", "Bound")) == []
    assert changed(PVC, claim("1Gi", "Pending"), claim("1Gi", "Pending", volumeName="v", storageClassName="standard")) == []
    assert [field for field, _ in changed(PVC, claim("1Gi", "Pending"), claim("2Gi", "Pending"))] == ["spec"]


def test_completions_of_an_elastic_job_follow_its_parallelism() -> None:
    def job(completions: int, parallelism: int) -> Obj:
        spec = {"completionMode": "Indexed", "completions": completions, "parallelism": parallelism, "manualSelector": True}
        return {"spec": {**spec, "selector": {"matchLabels": {"a": "b"}}, "template": template(restartPolicy="Never")}}

    assert changed(JOB, job(2, 2), job(3, 3)) == []
    assert [field for field, _ in changed(JOB, job(2, 2), job(3, 2))] == ["spec.completions"]


def test_no_new_finalizer_on_an_object_that_is_going() -> None:
    old = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a.dev/a"]}}
    new = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a.dev/a", "a.dev/b"]}}
    assert {field for field, _ in changed(CONFIG_MAP, old, new)} == {"metadata.finalizers"}
    assert changed(CONFIG_MAP, {"metadata": {**old["metadata"]}}, {"metadata": {**old["metadata"], "finalizers": []}}) == []


def test_status_of_a_service_without_load_balancer() -> None:
    old = {"spec": {"ports": [{"port": 80}]}}
    new = {"spec": {"ports": [{"port": 80}]}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    assert [field for field, _ in changed(SERVICE, old, new, "status")] == ["status.loadBalancer.ingress"]


def test_scale() -> None:
    assert check_replicas(0) == []
    assert [error.message for error in check_replicas(-1)] == ["Invalid value: -1: must be greater than or equal to 0"]


@pytest.mark.parametrize(
    ("kind", "body", "got", "field", "wanted"),
    [
        (DEPLOYMENT, {"spec": {"replicas": "2"}}, "string", "DeploymentSpec.spec.replicas", "int32"),
        (DEPLOYMENT, {"spec": {"replicas": 2**40}}, f"number {2**40}", "DeploymentSpec.spec.replicas", "int32"),
        (POD, {"spec": {"containers": {}}}, "object", "PodSpec.spec.containers", "[]v1.Container"),
        (POD, {"spec": {"hostNetwork": "yes"}}, "string", "PodSpec.spec.hostNetwork", "bool"),
        (CONFIG_MAP, {"metadata": {"labels": []}}, "array", "ObjectMeta.metadata.labels", "map[string]string"),
    ],
)
def test_wrong_types(kind: Kind, body: Obj, got: str, field: str, wanted: str) -> None:
    with pytest.raises(ApiError) as refused:
        decode(kind, body)
    why = f"json: cannot unmarshal {got} into Go struct field {field} of type {wanted}"
    assert refused.value.message == f'{kind.kind} in version "v1" cannot be handled as a {kind.kind}: {why}'


def test_unknown_fields_are_named_with_their_places() -> None:
    body = {"spec": {"containers": [{"name": "a", "image": "x", "imgae": "y"}], "rePlicas": 1}, "extra": 1}
    obj, warnings = decode(POD, body, "Warn")
    assert warnings == ['unknown field "spec.containers[0].imgae"', 'unknown field "spec.rePlicas"', 'unknown field "extra"']
    assert obj == {"spec": {"containers": [{"name": "a", "image": "x"}]}}


def test_values_take_the_servers_form() -> None:
    body = {
        "metadata": {"labels": {}, "annotations": None, "creationTimestamp": "2026-01-01T02:00:00+02:00"},
        "spec": {"containers": [{"name": "a", "image": "x", "env": [{"name": "E", "value": ""}], "resources": {"requests": {"cpu": 0.5}}}]},
    }
    obj, _ = decode(POD, body)
    assert obj["metadata"] == {"creationTimestamp": "2026-01-01T00:00:00Z"}
    assert obj["spec"]["containers"] == [{"name": "a", "image": "x", "env": [{"name": "E"}], "resources": {"requests": {"cpu": "500m"}}}]
