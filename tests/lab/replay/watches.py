"""Two watches: not which write came when between those of others, but through which states each object and each of its fields went.

Every leaf of every object is followed through the events. Controllers may make one write of two or two of one, so for most fields the
lab's sequence of values may leave out some of the recorded ones, as long as it begins and ends alike and has none that is not recorded.
Fields that tell what becomes of a pod (phase, reasons, restarts, exit codes) must have gone through the very same values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.lab.replay.bindings import Bindings
from tests.lab.replay.compare import ANY, MISSING, canonical, differences
from tests.lab.replay.moving import moving
from tests.lab.replay.pairing import identity, stem

Json = Any
Event = dict[str, Any]
STRICT = re.compile(
    r"(status\.phase|\.restartCount|deletionTimestamp|deletionGracePeriodSeconds|finalizers.*|ownerReferences.*|metadata\.generation|spec\..*"
    r"|state\.(waiting|terminated)\.(reason|exitCode)|lastState\.terminated\.(reason|exitCode)|data\..*)$"
)
CONDITION = re.compile(r"conditions\[\w+\]\.(status|reason)$")
# How often controllers write, and what set a write off, is theirs: these leaves follow the number of writes.
INCIDENTAL = {
    "EndpointSlice": re.compile(r"metadata\.(generation|annotations\..*last-change-trigger-time)"),
    "Endpoints": re.compile(r"metadata\.annotations\..*last-change-trigger-time"),
}
# Counts of what goes on inside: controllers look once in a while, and which of the states in between they meet is chance.
COUNTED = re.compile(r"status\.(active|ready|terminating|completedIndexes|uncountedTerminatedPods.*)$")
NOTHING = re.compile(r"(?!)")
GONE = "(deleted)"


def objects(events: list[Event]) -> dict[str, list[Event]]:
    """Events by the object they are about, in the order they came."""
    found: dict[str, list[Event]] = {}
    for event in events:
        meta = event["object"].get("metadata", {})
        if event["type"] in ("BOOKMARK", "ERROR"):
            name = event["type"]
        else:
            name = f"{event['object'].get('kind', '')} {meta.get('namespace', '')}/{meta.get('name', '')} {meta.get('uid', '')}"
        found.setdefault(name, []).append(event)
    return found


def partners(recorded: list[Event], lab: list[Event], bindings: Bindings) -> Iterator[tuple[list[Event] | None, list[Event] | None]]:
    """Objects of two watches that correspond, by uid if known, else by name, else by what is not made up in the name, in order of appearance."""
    old, new = objects(recorded), objects(lab)
    for how in (_by_uid, _by_name, _by_stem):
        for name, events in list(old.items()):
            wanted = how(events[0], bindings)
            partner = next((other for other, its in new.items() if wanted and how(its[0], None) == wanted), None)
            if partner is not None:
                del old[name]
                yield events, new.pop(partner)
    yield from ((events, None) for events in old.values())
    yield from ((None, events) for events in new.values())


def _by_uid(event: Event, bindings: Bindings | None) -> str:
    uid = event["object"].get("metadata", {}).get("uid", "")
    return bindings.words.get(uid, "") if bindings else uid


def _by_name(event: Event, bindings: Bindings | None) -> str:
    if event["type"] in ("BOOKMARK", "ERROR"):
        return event["type"]
    thing = event["object"]
    name = identity(thing) or ""
    return f"{thing.get('kind')} {bindings.text(name) if bindings else name}"


def _by_stem(event: Event, bindings: Bindings | None) -> str:
    thing = event["object"]
    name = identity(thing) or ""
    return f"{thing.get('kind')} {stem(bindings.text(name) if bindings else name)}"


def learn(recorded: list[Event], lab: list[Event], bindings: Bindings, done: dict[str, int] | None = None) -> None:
    """Notes what corresponds, object by object and event by event. `done` remembers how far that was done before."""
    for old, new in partners(recorded, lab, bindings):
        if old and new:
            uid = str(old[0]["object"].get("metadata", {}).get("uid"))
            begin = done.get(uid, 0) if done is not None else 0
            for one, other in zip(old[begin:], new[begin:], strict=False):
                bindings.learn(one["object"], other["object"])
            if done is not None:
                done[uid] = min(len(old), len(new))
            else:
                bindings.learn(old[-1]["object"], new[-1]["object"])


def watch_differences(recorded: list[Event], lab: list[Event], bindings: Bindings, exact: bool) -> Iterator[tuple[str, Json, Json]]:
    """Where two watches differ. `exact`: the same events in the same order (nothing but the requests themselves made them)."""
    learn(recorded, lab, bindings)
    if exact:
        old = [{"type": event["type"], "object": canonical(event["object"], bindings)} for event in recorded]
        new = [{"type": event["type"], "object": canonical(event["object"], None)} for event in lab]
        if [event["type"] for event in old] != [event["type"] for event in new]:
            yield "watch[types]", [_short(event) for event in recorded], [_short(event) for event in lab]
        for at, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from differences(one, other, f"watch[{at}]", bindings)
        return
    for before, after in partners(recorded, lab, bindings):
        yield from _object_differences(before, after, bindings)


def last_differences(recorded: list[Event], lab: list[Event], bindings: Bindings) -> Iterator[tuple[str, Json, Json]]:
    """Where two watches ended differently, object by object: for those that begin in the middle of something."""
    learn(recorded, lab, bindings)
    for before, after in partners(recorded, lab, bindings):
        if before and after and before[-1]["type"] not in ("BOOKMARK", "DELETED"):
            one, other = canonical(before[-1]["object"], bindings, versions=False), canonical(after[-1]["object"], None, versions=False)
            where = f"watch[{before[-1]['object'].get('kind')} {identity(one)}]"
            yield from ((place, a, b) for place, a, b in differences(one, other, where, bindings) if not moving(before[-1]["object"], place))


def _short(event: Event) -> str:
    return f"{event['type']} {event['object'].get('metadata', {}).get('name', '')}".strip()


def _object_differences(recorded: list[Event] | None, lab: list[Event] | None, bindings: Bindings) -> Iterator[tuple[str, Json, Json]]:
    some = (recorded or lab or [])[0]["object"]
    where = f"watch[{some.get('kind')} {bindings.text(identity(some) or '') if recorded else identity(some)}]"
    if recorded is None or lab is None:
        yield where, MISSING if recorded is None else [event["type"] for event in recorded], MISSING if lab is None else [e["type"] for e in lab]
        return
    if some.get("kind") == "Event":
        old, new = (canonical(events[-1]["object"], words, versions=False) for events, words in ((recorded, bindings), (lab, None)))
        yield from differences(old, new, where, bindings)
        return
    types = [event["type"] for event in recorded], [event["type"] for event in lab]
    if types[0][0] != types[1][0] or ("DELETED" in types[0]) != ("DELETED" in types[1]):
        yield f"{where}[types]", *types
    before, after = _histories(recorded, bindings), _histories(lab, None)
    incidental = INCIDENTAL.get(str(some.get("kind")), NOTHING)
    for path in [*before, *(path for path in after if path not in before)]:
        if incidental.fullmatch(path):
            continue
        one, other = before.get(path, [MISSING]), after.get(path, [MISSING])
        if one != other and (ANY not in one or MISSING in other) and not _may_be(path, one, other):
            yield f"{where}.{path}", one, other


def _histories(events: list[Event], bindings: Bindings | None) -> dict[str, list[Json]]:
    """Leaf -> the values it went through, repeats taken out."""
    found: dict[str, list[Json]] = {}
    for at, event in enumerate(events):
        leaves = dict(_leaves(canonical(event["object"], bindings, versions=False), ""))
        for path in found.keys() | leaves.keys():
            values = found.setdefault(path, [MISSING] if at else [])
            value = leaves.get(path, MISSING)
            if not values or values[-1] != value:
                values.append(value)
    return found


def _leaves(value: Json, path: str) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict) and value:
        for key, member in value.items():
            yield from _leaves(member, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for at, member in enumerate(value):
            yield from _leaves(member, f"{path}[{identity(member) or at}]")
    else:
        yield path, value


def _may_be(path: str, recorded: list[Json], lab: list[Json]) -> bool:
    if COUNTED.match(path):  # how it ends, lists of finished ones tell
        return recorded[0] == lab[0]
    if recorded[-1] != lab[-1]:
        return False
    if STRICT.search(path):
        return False
    if CONDITION.search(path) or any(isinstance(value, int) for value in recorded):
        # Either side may have seen a state that the other's writes ran together.
        return recorded[0] == lab[0] and (_within(lab, recorded) or _within(recorded, lab))
    return recorded[0] == lab[0] and _within(lab, recorded)


def _within(few: list[Json], many: list[Json]) -> bool:
    """Whether all of the few stand among the many in the same order."""
    rest = iter(many)
    return all(any(one == other for other in rest) for one in few)


def outline(thing: Json) -> Json:
    """The state of an object as far as it decides what happens next: to wait until the lab is where the recording was."""
    meta, status, inside = thing.get("metadata", {}), thing.get("status", {}), thing.get("kind") == "Job"
    containers = [
        (one.get("name"), one.get("restartCount"), sorted((key, (value or {}).get("reason")) for key, value in one.get("state", {}).items()))
        for key in ("initContainerStatuses", "containerStatuses")
        for one in status.get(key, [])
    ]
    if thing.get("kind") == "Endpoints":
        return [[len(subset.get("addresses", [])), len(subset.get("notReadyAddresses", []))] for subset in thing.get("subsets", [])]
    if thing.get("kind") == "EndpointSlice":
        return sorted(sorted(point.get("conditions", {}).items()) for point in thing.get("endpoints") or [])
    return [
        "deletionTimestamp" in meta,
        meta.get("generation"),
        meta.get("finalizers"),
        status.get("phase"),
        sorted((one["type"], one["status"], one.get("reason")) for one in status.get("conditions") or []),
        containers,
        {key: value for key, value in status.items() if isinstance(value, int) and not (inside and COUNTED.match(f"status.{key}"))},
        thing.get("data"),
    ]
