"""What is published is marked, and what is marked otherwise is not ours."""

from __future__ import annotations

import re

import pytest

from networks.spacemesh import publication
from tests.networks.spacemesh.examples import plan

OWNER = plan().owner
MARKS = publication.marks(OWNER)


def test_marks_say_what_the_labels_say() -> None:
    labels = OWNER.labels(name="a", instance="b", component="c", part_of="d")
    assert set(MARKS.values()) <= set(labels.values())
    assert all(re.fullmatch(r"[a-z][a-z-]*[a-z]", key) for key in MARKS), "they become parts of HTTP headers' names"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, ""),
        ({"managed-by": "terraform"}, "not put there by Cosmodrome"),
        ({"cosmodrome-network": "other"}, "belongs to network other"),
        ({"cosmodrome-run": "other"}, "another network of this name (made by run other"),
    ],
)
def test_whose_it_is(change: dict[str, str], why: str) -> None:
    found = publication.not_ours({**MARKS, **change}, OWNER.network, OWNER.run)
    assert found == "" if not why else why in found


def test_an_object_without_marks_is_nobodys() -> None:
    assert publication.not_ours({}, OWNER.network)


def test_any_run_will_do_when_nobody_knows_it() -> None:
    assert publication.not_ours({**MARKS, "cosmodrome-run": "other"}, OWNER.network) == ""


def test_the_record_names_buckets() -> None:
    assert publication.noted_buckets(publication.note(["one", "two"])) == ("one", "two")
    assert publication.noted_buckets(None) == publication.noted_buckets({}) == ()
