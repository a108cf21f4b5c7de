"""Defaults, against every create in the transcripts."""

from __future__ import annotations

from typing import Any

import pytest

from lab.kubernetes.decoding import decode
from lab.kubernetes.defaults import apply_defaults, prepare_create
from lab.kubernetes.defaults.pods import image_tag, qos_class
from lab.kubernetes.kind import Kind
from lab.kubernetes.kinds import DEPLOYMENT, NAMESPACE, SERVICE
from tests.lab.kubernetes.recorded import content, requests
from tests.lab.replay.transcript import Record

Obj = dict[str, Any]

# Filled in by admission and allocation, which look at other objects.
BY_ADMISSION = {
    "Pod": ("volumes", "serviceAccountName", "serviceAccount", "tolerations", "priority", "preemptionPolicy"),
    "Service": ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"),
}
CREATED = [(record, kind) for scenario in ("02", "03", "04", "08", "09", "10") for record, kind in requests(scenario, "POST", 201)]
CREATED = [(record, kind) for record, kind in CREATED if kind.stored and not record.body.get("dta") and kind.kind not in ("Binding", "TokenRequest")]


def without_admission(kind: Kind, obj: Obj) -> Obj:
    """An object without what admission adds."""
    spec = obj.get("spec") or {}
    for key in BY_ADMISSION.get(kind.kind, ()):
        spec.pop(key, None)
    for port in spec.get("ports", ()) if kind is SERVICE else ():
        port.pop("nodePort", None)
    for container in [*spec.get("containers", ()), *spec.get("initContainers", ())] if kind.kind == "Pod" else ():
        container.pop("volumeMounts", None)
    return obj


def limited(record: Record) -> bool:
    """Whether a LimitRange has changed the Pod."""
    return "kubernetes.io/limit-ranger" in (record.answer["metadata"].get("annotations") or {})


@pytest.mark.parametrize(("record", "kind"), [pytest.param(r, k, id=f"{r.scenario}-{r.n}-{k.kind}") for r, k in CREATED if not limited(r)])
def test_created_object_is_the_recorded_one(record: Record, kind: Kind) -> None:
    obj, _ = decode(kind, record.body)
    meta = obj.setdefault("metadata", {})
    answer = record.answer["metadata"]
    meta |= {key: answer[key] for key in ("uid", "name", "creationTimestamp", "namespace") if key in answer}
    apply_defaults(kind, obj)
    prepare_create(kind, obj)
    assert without_admission(kind, content(obj)) == without_admission(kind, content(record.answer))


def test_defaults_are_filled_once_and_for_all() -> None:
    """Applying them a second time changes nothing."""
    for record, kind in CREATED:
        obj, _ = decode(kind, record.body)
        obj.setdefault("metadata", {})
        apply_defaults(kind, obj)
        before = content(obj)
        apply_defaults(kind, obj)
        assert content(obj) == before


def test_given_values_are_kept() -> None:
    obj: Obj = {"metadata": {"name": "d"}, "spec": {"replicas": 0, "strategy": {"type": "Recreate"}, "template": {"spec": {"containers": []}}}}
    apply_defaults(DEPLOYMENT, obj)
    assert obj["spec"]["replicas"] == 0
    assert obj["spec"]["strategy"] == {"type": "Recreate"}


def test_namespace_keeps_its_own_name_as_a_label() -> None:
    obj: Obj = {"metadata": {"name": "n", "labels": {"kubernetes.io/metadata.name": "other"}}}
    apply_defaults(NAMESPACE, obj)
    assert obj["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("busybox", "latest"),
        ("busybox:1", "1"),
        ("host:5000/busybox", "latest"),
        ("host:5000/busybox:2", "2"),
        ("busybox@sha256:ab", ""),
        ("busybox:3@sha256:ab", "3"),
    ],
)
def test_tag_of_an_image(image: str, tag: str) -> None:
    assert image_tag(image) == tag


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}, "Burstable"),
    ],
)
def test_quality_of_service(resources: Obj, expected: str) -> None:
    assert qos_class({"containers": [{"name": "a", "resources": resources}]}) == expected
