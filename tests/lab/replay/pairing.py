"""Which item of a recorded list corresponds to which item of the lab's: by name where there is one, generated ends of names set aside."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

Json = Any
Say = Callable[[str], str]  # a recorded text as the lab would say it
TOKEN_VOLUME = "kube-api-access-"
# Containers of the recording ran busybox, those of the lab run this machine's own programs, which word their complaints in their way.
OTHER_WORDS = re.compile(r"cat: (can't open ')?([\w/]+)'?: No such file or directory")
GENERATED = re.compile(r"(-[0-9a-z]{7,10})?-[bcdfghjklmnpqrstvwxz2456789]{5}$|\.[0-9a-f]{16}$|-[0-9a-z]{7,10}$")


def identity(item: Json) -> str | None:
    """What an item of a list is told apart by, or None."""
    if not isinstance(item, dict):
        return None
    meta = item.get("metadata")
    if isinstance(item.get("involvedObject"), dict):
        about = item["involvedObject"]
        source = item.get("reportingComponent") or item.get("source", {}).get("component", "")
        told = (about.get("kind"), about.get("name"), about.get("fieldPath"), item.get("reason"), source, same_words(str(item.get("message"))))
        return "/".join(str(part) for part in told)
    if isinstance(meta, dict) and "name" in meta:
        return f"{meta.get('namespace', '')}/{meta['name']}"
    if isinstance(item.get("object"), dict) and "cells" in item:
        return identity(item["object"]) or str(item["cells"][:1])
    if isinstance(item.get("targetRef"), dict):
        return str(item["targetRef"].get("name"))
    if "type" in item and "status" in item:
        return str(item["type"])
    for key in ("name", "mountPath", "uid", "field", "ip", "groupVersion", "resource", "group"):
        if isinstance(item.get(key), str):
            return item[key] if "containerPort" not in item else None
    return None


def same_words(text: str) -> str:
    """A message of a program in a container, however that program words it."""
    return OTHER_WORDS.sub(r"cat: \2: No such file or directory", text)


def stem(name: str) -> str:
    """A name without what the server made up at its end."""
    return GENERATED.sub("-*", name)


def pairs(recorded: list[Json], lab: list[Json], say: Say) -> Iterator[tuple[Json, Json]]:
    """Pairs of items that belong together; items without a partner are left out."""
    if not recorded or not lab or identity(recorded[0]) is None:
        yield from zip(recorded, lab, strict=False)
        return
    left = list(lab)
    waiting = []
    for item in recorded:
        name = say(identity(item) or "")
        partner = next((other for other in left if identity(other) == name), None)
        if partner is None:
            waiting.append(item)
        else:
            left.remove(partner)
            yield item, partner
    for item in waiting:
        if not isinstance(item.get("object", item).get("metadata"), dict) and not str(item.get("name")).startswith(TOKEN_VOLUME):
            continue  # only objects and the volume with the account's token have made-up names
        name = stem(say(identity(item) or ""))
        partner = next((other for other in left if stem(identity(other) or "") == name), None)
        if partner is not None:
            left.remove(partner)
            yield item, partner
