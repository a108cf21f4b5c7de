"""Labels by which everything that belongs to a network is found again, without a state file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

NAME = "app.kubernetes.io/name"
INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
PART_OF = "app.kubernetes.io/part-of"
MANAGED_BY = "app.kubernetes.io/managed-by"
NETWORK = "cosmodrome.dev/network"
RUN = "cosmodrome.dev/run"
EXPIRES = "cosmodrome.dev/expires"
ROLE = "cosmodrome.dev/role"

MANAGER = "cosmodrome"

_TIME = "%Y%m%dT%H%M%SZ"
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?")


@dataclass(frozen=True)
class Ownership:
    """Whose an object is: the network, the run that created it, and when it expires. Fixed at creation: a later run keeps all three."""

    network: str
    run: str
    expires: datetime

    def labels(self, *, name: str, instance: str, component: str, part_of: str) -> dict[str, str]:
        """All labels of one object."""
        return {
            NAME: label_value(name),
            INSTANCE: label_value(instance),
            COMPONENT: label_value(component),
            PART_OF: label_value(part_of),
            MANAGED_BY: MANAGER,
            NETWORK: label_value(self.network),
            RUN: label_value(self.run),
            EXPIRES: format_expiry(self.expires),
        }


def is_label_value(text: str) -> bool:
    """Whether Kubernetes takes this as a label's value."""
    return len(text) <= 63 and _VALUE.fullmatch(text) is not None


def label_value(text: str) -> str:
    """The text, if it may be a label's value. ValueError otherwise: nothing is shortened or replaced behind anybody's back."""
    if not is_label_value(text):
        raise ValueError(f"{text!r} cannot be a label's value: at most 63 of A-Z a-z 0-9 - _ . with a letter or digit at both ends")
    return text


def format_expiry(moment: datetime) -> str:
    """A point in time as a label's value, in UTC: 20261122T055615Z."""
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone cannot become an expiry")
    return moment.astimezone(UTC).strftime(_TIME)


def parse_expiry(text: str) -> datetime:
    """The point in time of an expiry label. ValueError on anything that is not one."""
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def expiry_of(labels: Mapping[str, str] | None) -> datetime | None:
    """When an object with these labels expires; None when it does not say, or not readably."""
    try:
        return parse_expiry((labels or {})[EXPIRES])
    except (KeyError, ValueError):
        return None


def selector(network: str | None = None, **more: str) -> str:
    """A label selector for everything of ours, or for one network; `component="miner"`, `role="bootnode"` and `run="…"` narrow it down."""
    keys = {"component": COMPONENT, "role": ROLE, "run": RUN, "instance": INSTANCE, "name": NAME}
    parts = [f"{MANAGED_BY}={MANAGER}"]
    if network is not None:
        parts.append(f"{NETWORK}={label_value(network)}")
    parts += [f"{keys[word]}={label_value(value)}" for word, value in more.items()]
    return ",".join(parts)


def network_of(labels: Mapping[str, str] | None) -> str | None:
    """The network that an object with these labels belongs to; None for objects that are not ours."""
    labels = labels or {}
    return labels.get(NETWORK) if labels.get(MANAGED_BY) == MANAGER else None
