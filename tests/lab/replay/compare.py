"""Two answers, what must differ taken out, and where they still differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.lab.replay.bindings import Bindings, decode_continue
from tests.lab.replay.pairing import GENERATED, identity, same_words
from tests.lab.replay.transcript import STRIPPED

Json = Any
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?")
HTTP_DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d (GMT|UTC)")
AGE = re.compile(r"(\d+[smhd]){1,2}( ago)?$|<unknown>$")
CUT_OUT = re.compile(r"<(token|certificate) stripped>\n?$|<(protobuf|JSON) \d+ bytes( left out)?>$")
FREE_TEXTS = (
    (re.compile(r'(\\"resourceVersion\\":\\")\d+'), r"\1*"),
    (re.compile(r"(\?|&)hash=[0-9A-F]+"), r"\1hash=*"),
    (re.compile(r"^127\.0\.0\.1:\d+$"), "(the API's own address)"),
    (re.compile(r"containerd://[0-9a-f]{64}"), "containerd://*"),
    (re.compile(r"\[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\]"), "[<date>]"),  # of a web server's log
    (re.compile(r"run at [\d.]+ [\d.]+"), "run at *"),  # /proc/uptime
    (re.compile(r"too old resource version: (\d+) \(\d+\)"), r"too old resource version: \1 (*)"),
    (re.compile(r"(Too large resource version: \d+, current: )\d+"), r"\1*"),
)
TICK = re.compile(r"tick (\d+)")
MISSING = "(not there)"
ANY = "(anything)"


@dataclass(frozen=True)
class Difference:
    """One place where lab and recording differ."""

    scenario: str
    n: int
    step: str
    where: str  # status, content-type, header …, body.metadata.name, watch: Pod x/y …
    recorded: Json
    lab: Json

    def __str__(self) -> str:
        return f"{self.scenario} n={self.n} [{self.step}] {self.where}\n    recorded: {_short(self.recorded)}\n    lab:      {_short(self.lab)}"


def _short(value: Json) -> str:
    text = repr(value)
    return text if len(text) < 700 else text[:690] + " …"


def canonical(value: Json, bindings: Bindings | None, key: str = "", versions: bool = True) -> Json:
    """An answer without what must differ. `bindings` translate the recorded one; give None for the lab's own."""
    if isinstance(value, dict):
        return _canonical_dict(value, bindings, versions)
    if isinstance(value, list):
        if key == "managedFields":
            return ANY if value else MISSING
        if key == "nonResourceRules":  # the server walks its bindings in no order
            return sorted((canonical(item, bindings) for item in value), key=str)
        return [_cell(item, bindings) if key == "cells" else canonical(item, bindings, key, versions) for item in value]
    if isinstance(value, str):
        return _canonical_text(value, bindings, key)
    if key in ("nodePort", "targetPort", "port") and bindings:
        return bindings.ports.get(value, value)
    return value


def _canonical_dict(value: dict[str, Any], bindings: Bindings | None, versions: bool) -> Json:
    if "involvedObject" in value or "regarding" in value:
        value = {**value, **{key: _often(value[key]) for key in ("count", "deprecatedCount") if key in value}}
    loose = not versions or str(value.get("kind", "")).endswith("List") or "uid" not in value.get("metadata", {"uid": 1})
    result = {}
    for key, member in value.items():
        if key == "metadata" and isinstance(member, dict) and "resourceVersion" in member:
            version = ANY if loose else _version(member["resourceVersion"], bindings)
            rest = {name: one for name, one in member.items() if name != "resourceVersion"}
            result[key] = {**canonical(rest, bindings, key, versions), "resourceVersion": version}
        else:
            result[key] = canonical(member, bindings, key, versions)
    return result


def _often(count: Json) -> Json:
    """How often an event is repeated is a matter of time; whether it is repeated is not."""
    return count if not isinstance(count, int) or count < 1 else "once" if count == 1 else "more often"


def _version(version: str, bindings: Bindings | None) -> str:
    if bindings and version.isdigit():
        return str(bindings.versions.get(int(version), f"(of no known write: {version})"))
    return version


def _cell(cell: Json, bindings: Bindings | None) -> Json:
    if not isinstance(cell, str):
        return cell
    return "<age>" if AGE.match(cell) else bindings.text(cell) if bindings else cell


def _canonical_text(value: str, bindings: Bindings | None, key: str) -> str:
    if value == STRIPPED or CUT_OUT.match(value):
        return ANY
    if key == "continue":
        token = decode_continue(value)
        return f"token of {token.get('start')!r}, {'no version' if token.get('rv') == -1 else 'a version'}" if token else value
    if key in ("containerID", "imageID"):
        return ANY if value else value
    if key == "token" or (key == "resourceVersion" and value.isdigit()):  # that of an object elsewhere; its own is looked at above
        return ANY
    if bindings:
        value = bindings.text(value)
    value = TIME.sub(_precision, HTTP_DATE.sub("<date>", value))
    value = same_words(value)
    for pattern, free in FREE_TEXTS:
        value = pattern.sub(free, value)
    return value


def _precision(time: re.Match[str]) -> str:
    """Whole seconds, six decimals always, or up to nine without the zeros at the end."""
    digits = len(time[1] or ".") - 1
    return {0: "<time>", 6: "<time, six decimals>"}.get(digits, "<time, many decimals>")


def differences(recorded: Json, lab: Json, where: str, bindings: Bindings) -> Iterator[tuple[str, Json, Json]]:
    """Places where two canonical values differ."""
    if recorded == ANY:
        if lab == MISSING:
            yield where, recorded, lab
    elif isinstance(recorded, dict) and isinstance(lab, dict):
        for key in [*recorded, *(key for key in lab if key not in recorded)]:
            yield from differences(recorded.get(key, MISSING), lab.get(key, MISSING), f"{where}.{key}", bindings)
    elif isinstance(recorded, list) and isinstance(lab, list):
        yield from _list_differences(recorded, lab, where, bindings)
    elif isinstance(recorded, str) and isinstance(lab, str):
        if recorded != lab and bindings.numbers(recorded) != lab:
            yield where, recorded, lab
    elif recorded != lab or isinstance(recorded, bool) != isinstance(lab, bool):
        yield where, recorded, lab


def _list_differences(recorded: list[Json], lab: list[Json], where: str, bindings: Bindings) -> Iterator[tuple[str, Json, Json]]:
    names, others = [identity(item) for item in recorded], [identity(item) for item in lab]
    if None in names or None in others or len(set(names)) < len(names) or len(set(others)) < len(others):
        if len(recorded) != len(lab):
            yield f"{where}[number of items]", recorded, lab
        for at, (one, other) in enumerate(zip(recorded, lab, strict=False)):
            yield from differences(one, other, f"{where}[{at}]", bindings)
        return
    for name, item in zip(names, recorded, strict=True):
        partner = lab[others.index(name)] if name in others else MISSING
        yield from differences(item, partner, f"{where}[{name}]", bindings)
    for name, item in zip(others, lab, strict=True):
        if name not in names:
            yield f"{where}[{name}]", MISSING, item
    common, order = [name for name in names if name in others], [name for name in others if name in names]
    if common != order and _ordered(where) and not _by_made_up_names(lab):
        yield f"{where}[order]", common, order


def _ordered(where: str) -> bool:
    """Whether the order of a list means something; items with made-up names come in any order among themselves."""
    return not re.search(r"(endpoints|addresses|notReadyAddresses|podIPs|subsets\[\d+\]\.\w+)$", where)


def _by_made_up_names(items: list[Json]) -> bool:
    """Objects with made-up names are in the order of their names, as they should be: that order cannot be the recorded one."""
    if not all(isinstance(item, dict) and isinstance(item.get("metadata"), dict) for item in items):
        return False
    names = [(item["metadata"].get("namespace", ""), item["metadata"].get("name", "")) for item in items]
    return names == sorted(names) and any(GENERATED.search(name) for _, name in names)


def parsed(text: Json, content_type: str | None) -> Json:
    """A YAML answer as data, so that key order and quoting do not matter; a clock's ticks by what they have to be; everything else as it is."""
    if isinstance(text, str) and (content_type or "").startswith("text/plain") and "tick " in text:
        return _ticks(text)
    if isinstance(text, str) and (content_type or "").startswith("application/yaml"):
        return yaml.load(text, Loader=yaml.BaseLoader)
    return text


def _ticks(log: str) -> str:
    """A log of a line a second: from the first on, however long, or the last few, whichever they are. Gaps and repeats stay visible."""
    numbers = [int(number) for number in TICK.findall(log)]
    if numbers == list(range(1, len(numbers) + 1)):
        head, _, tail = log.partition("tick ")
        return f"{head}(ticks from the first on, {'ended by a newline' if tail.endswith(chr(10)) else 'cut'})"
    return TICK.sub(lambda found: f"tick {int(found[1]) - numbers[-1]:+d}", log)
