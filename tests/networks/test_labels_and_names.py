"""What is found by labels must carry them, and names must be names to Kubernetes and DNS."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks import labels, names
from networks.labels import Ownership

OWNER = Ownership("devnet-1", "run-7", datetime(2026, 11, 22, 5, 56, 15, tzinfo=UTC))


def test_an_object_tells_whose_it_is_and_until_when() -> None:
    assert OWNER.labels(name="poet", instance="poet-0", component="poet", part_of="spacemesh") == {
        "app.kubernetes.io/name": "poet",
        "app.kubernetes.io/instance": "poet-0",
        "app.kubernetes.io/component": "poet",
        "app.kubernetes.io/part-of": "spacemesh",
        "app.kubernetes.io/managed-by": "cosmodrome",
        "cosmodrome.dev/network": "devnet-1",
        "cosmodrome.dev/run": "run-7",
        "cosmodrome.dev/expires": "20261122T055615Z",
    }


def test_a_run_id_that_is_no_label_value_is_refused_not_bent() -> None:
    with pytest.raises(ValueError, match="cannot be a label's value"):
        Ownership("a", "run with spaces", OWNER.expires).labels(name="poet", instance="poet-0", component="poet", part_of="spacemesh")


@pytest.mark.parametrize("text", ["", "a", "A.b_c-9", "a" * 63, "0"])
def test_label_values(text: str) -> None:
    assert labels.is_label_value(text)
    assert labels.label_value(text) == text


@pytest.mark.parametrize("text", ["-a", "a-", "a b", "a" * 64, "ä", "a/b", ".", "a\n"])
def test_what_is_no_label_value(text: str) -> None:
    assert not labels.is_label_value(text)


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_expiry_survives_being_a_label(moment: datetime) -> None:
    text = labels.format_expiry(moment)
    assert labels.is_label_value(text)
    assert labels.parse_expiry(text) == moment.replace(microsecond=0)


def test_expiry_is_always_utc() -> None:
    east = datetime(2026, 1, 1, 2, 0, tzinfo=timezone(timedelta(hours=2)))
    assert labels.format_expiry(east) == "20260101T000000Z"
    with pytest.raises(ValueError, match="without a time zone"):
        labels.format_expiry(datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("found", [None, {}, {labels.EXPIRES: "tomorrow"}, {labels.EXPIRES: "2026-11-22T05:56:15Z"}])
def test_what_does_not_say_when_it_expires_does_not_expire(found: dict[str, str] | None) -> None:
    assert labels.expiry_of(found) is None


def test_expiry_is_read_from_labels() -> None:
    assert labels.expiry_of({labels.EXPIRES: "20261122T055615Z"}) == OWNER.expires


def test_selectors_always_say_that_it_is_ours() -> None:
    assert labels.selector() == "app.kubernetes.io/managed-by=cosmodrome"
    assert labels.selector("try", component="miner") == (
        "app.kubernetes.io/managed-by=cosmodrome,cosmodrome.dev/network=try,app.kubernetes.io/component=miner"
    )
    with pytest.raises(ValueError, match="cannot be a label's value"):
        labels.selector("try,app=everything")


def test_only_our_objects_belong_to_a_network() -> None:
    assert labels.network_of(OWNER.labels(name="a", instance="a", component="a", part_of="a")) == "devnet-1"
    assert labels.network_of({labels.NETWORK: "devnet-1"}) is None
    assert labels.network_of(None) is None


@pytest.mark.parametrize("text", ["a", "a-b", "0a", "a" * 63])
def test_dns_labels(text: str) -> None:
    assert names.label_fault(text) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "is empty"), ("a" * 64, "64 characters"), ("A", "a-z"), ("-a", "a-z"), ("a-", "a-z"), ("a.b", "a-z"), ("a\n", "a-z"), ("ä", "a-z")],
)
def test_what_is_no_dns_label(text: str, why: str) -> None:
    assert why in (names.label_fault(text) or "")


@pytest.mark.parametrize(
    ("text", "why"), [("", "is empty"), ("a" * 254, "254 characters"), ("a..b", "every part"), ("a.-b", "every part"), ("A.b", "every part")]
)
def test_what_is_no_subdomain(text: str, why: str) -> None:
    assert why in (names.subdomain_fault(text) or "")


def test_hosts_are_made_of_labels() -> None:
    assert names.host_fault("kibana-devnet.example.org") is None
    assert "64 characters" in (names.host_fault("a" * 64 + ".example.org") or "")
    assert names.host_fault("") == "is empty"


@pytest.mark.parametrize("text", ["default", "kube-system", "kube-public", "kube-mine"])
def test_no_network_lives_in_a_namespace_of_kubernetes(text: str) -> None:
    assert "belongs to Kubernetes" in (names.namespace_fault(text) or "")


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-.A_", max_size=80))
def test_every_label_is_a_subdomain_and_a_label_value(text: str) -> None:
    if names.label_fault(text) is None:
        assert names.subdomain_fault(text) is None
        assert names.host_fault(text) is None
        assert labels.is_label_value(text)
