"""Selectors: what they match, and what the server says of bad ones."""

from __future__ import annotations

import pytest

from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import CONFIG_MAP, EVENT, POD
from lab.kubernetes.selectors import match_selector, parse_fields, parse_labels, selector_text

LABELS = {"app": "x", "tier": "2", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("app=x", True), ("app==x", True), ("app!=x", False), ("nosuch!=x", True), ("app in (x,y)", True), ("app notin (x,y)", False),
        ("nosuch notin (x)", True), ("app", True), ("!app", False), ("!nosuch", True), ("app=x,tier=2", True), ("app=x,tier=1", False),
        ("tier>1", True), ("tier<2", False), ("app>1", False), ("app in ()", False), ("empty=", True), ("nosuch=", False), ("", True),
    ],
)  # fmt: skip
def test_labels(text: str, matches: bool) -> None:
    assert parse_labels(text)(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("app=x,,", "found ',', expected: identifier after ','"),
        ("=x", "found '=', expected: !, identifier, or 'end of string'"),
        ("app=x y", "found 'y', expected: ',' or 'end of string'"),
    ],
)
def test_bad_labels(text: str, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_labels(text)
    assert (refused.value.code, refused.value.message) == (400, message)


def test_selectors_of_objects() -> None:
    assert match_selector(None)({}) and match_selector({})({"a": "b"})
    assert match_selector({"app": "x"})(LABELS) and not match_selector({"app": "y"})(LABELS)
    wish = {"matchLabels": {"app": "x"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["3", "2"]}]}
    assert match_selector(wish)(LABELS)
    assert selector_text(wish) == "app=x,tier in (2,3)"
    assert parse_labels(selector_text(wish))(LABELS)


POD_OBJECT = {"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "node1"}, "status": {"phase": "Running"}}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("metadata.name=p", True), ("metadata.name!=p", False), ("status.phase=Running,spec.nodeName=node1", True), ("spec.hostNetwork=false", True),
        ("status.nominatedNodeName=", True), ("spec.nodeName=", False),
    ],
)  # fmt: skip
def test_fields(text: str, matches: bool) -> None:
    assert parse_fields(POD, text)(POD_OBJECT) is matches


def test_event_source_is_the_component() -> None:
    event = {"metadata": {"name": "e"}, "source": {"component": "kubelet", "host": "node1"}}
    assert parse_fields(EVENT, "source=kubelet")(event)


def test_unknown_fields() -> None:
    with pytest.raises(ApiError, match=r"field label not supported: spec\.containers"):
        parse_fields(POD, "spec.containers=x")
    with pytest.raises(ApiError, match=r'"data\.n" is not a known field selector'):
        parse_fields(CONFIG_MAP, "data.n=a")
    with pytest.raises(ApiError, match="can't understand"):
        parse_fields(POD, "metadata.name in (a)")
