"""What a network puts into a data bucket, and how it is marked there as the network's own.

The marks are custom metadata of the object: what the labels say of objects in a cluster, by names that HTTP headers can carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from networks import labels
from networks.labels import Ownership

MANAGED_BY = "managed-by"
NETWORK = "cosmodrome-network"
RUN = "cosmodrome-run"
EXPIRES = "cosmodrome-expires"

BUCKETS = "cosmodrome.dev/data-buckets"  # annotation of the network's record: the Bucket blocks that it was published to


def object_name(network: str) -> str:
    """The object that a network's node configuration is published as."""
    return f"{network}-archive/config.json"


def marks(owner: Ownership) -> dict[str, str]:
    """The custom metadata of everything that the network publishes."""
    return {MANAGED_BY: labels.MANAGER, NETWORK: owner.network, RUN: owner.run, EXPIRES: labels.format_expiry(owner.expires)}


def not_ours(found: Mapping[str, str], network: str, run: str | None = None) -> str:
    """Why an object with these marks is not the network's own; empty when it is.

    `run`: the run that made the network. It tells networks apart that have one name, on two clusters or one after the other; None: any.
    """
    if found.get(MANAGED_BY) != labels.MANAGER:
        return "it was not put there by Cosmodrome"
    if found.get(NETWORK) != network:
        return f"it belongs to network {found.get(NETWORK, '(unknown)')}"
    if run is not None and found.get(RUN) != run:
        until = f", which may be there until {found[EXPIRES]}" if EXPIRES in found else ""
        return f"it belongs to another network of this name (made by run {found.get(RUN, '(unknown)')}{until})"
    return ""


def noted_buckets(annotations: Mapping[str, str] | None) -> tuple[str, ...]:
    """The Bucket blocks that a record with these annotations names."""
    return tuple(name for name in (annotations or {}).get(BUCKETS, "").split(",") if name)


def note(buckets: Iterable[str]) -> dict[str, str]:
    """The annotation that names these Bucket blocks. (A block's name has no comma in it.)"""
    return {BUCKETS: ",".join(buckets)}
