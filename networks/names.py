"""Names that Kubernetes and DNS take."""

from __future__ import annotations

import re

LABEL_LIMIT = 63
SUBDOMAIN_LIMIT = 253

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")

RESERVED_NAMESPACES = frozenset({"default"})


def label_fault(text: str) -> str | None:
    """Why this is no DNS-1123 label (names of namespaces, services, containers), or None."""
    if not text:
        return "is empty"
    if len(text) > LABEL_LIMIT:
        return f"has {len(text)} characters, at most {LABEL_LIMIT} are allowed"
    if not _LABEL.fullmatch(text):
        return "may hold only a-z, 0-9 and '-', with a letter or digit at both ends"
    return None


def subdomain_fault(text: str) -> str | None:
    """Why this is no DNS-1123 subdomain (names of config maps, secrets, hosts), or None."""
    if not text:
        return "is empty"
    if len(text) > SUBDOMAIN_LIMIT:
        return f"has {len(text)} characters, at most {SUBDOMAIN_LIMIT} are allowed"
    if not _SUBDOMAIN.fullmatch(text):
        return "may hold only a-z, 0-9, '-' and '.', with a letter or digit at both ends of every part"
    return None


def host_fault(text: str) -> str | None:
    """Why this is no host name, or None: a subdomain whose parts are labels."""
    fault = subdomain_fault(text)
    if fault:
        return fault
    return next((f"{part!r} {why}" for part in text.split(".") if (why := label_fault(part))), None)


def namespace_fault(text: str) -> str | None:
    """Why no network may live in a namespace of this name, or None."""
    fault = label_fault(text)
    if fault:
        return fault
    if text in RESERVED_NAMESPACES or text.startswith("kube-"):
        return "belongs to Kubernetes: a network gets a namespace of its own"
    return None
