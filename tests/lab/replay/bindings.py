"""What must differ between the recording and the lab, learned as it appears: recorded value -> the lab's value."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from tests.lab.replay.pairing import TOKEN_VOLUME, pairs
from tests.lab.replay.transcript import STRIPPED

Json = Any
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
ADDRESS = re.compile(r"(?<![\d.])(?:10\.(?:96|244)|127)(?:\.\d{1,3}){2,3}(?![\d.])")
# The end of a generated name, a pod-template hash, the end of an event's name; `r1-` keeps them from matching inside words.
WORD = re.compile(r"(?<![A-Za-z0-9])[a-z0-9]{5,16}(?![A-Za-z0-9])")
SUFFIX = re.compile(r"[bcdfghjklmnpqrstvwxz2456789]{5}")
HASH = re.compile(r"(?<=-)[bcdfghjklmnpqrstvwxz2456789]{7,10}(?![A-Za-z0-9])")
NUMBER = re.compile(r"(?<![\w.])\d{3,9}(?![\w.])")
RECORDED_API_PORT = 16443
NODE_PORTS = range(30000, 32768)


def decode_continue(token: str) -> dict[str, Any] | None:
    """The JSON inside a continue token, or None if it is none."""
    try:
        found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


class Bindings:
    """Recorded -> lab, for everything that the server chooses."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}  # uids, addresses, suffixes, hashes, continue tokens, ETags
        self.versions: dict[int, int] = {}  # resourceVersions of objects
        self.store_versions: dict[int, int] = {}  # those of lists and bookmarks: the store's at some moment
        self.ports: dict[int, int] = {RECORDED_API_PORT: RECORDED_API_PORT}  # node ports, and the API's own

    def copy(self) -> Bindings:
        """To learn from an answer that may not be the right one yet."""
        other = Bindings()
        other.words, other.versions = dict(self.words), dict(self.versions)
        other.store_versions, other.ports = dict(self.store_versions), dict(self.ports)
        return other

    # -- learning

    def learn(self, recorded: Json, lab: Json) -> None:
        """Walks two answers side by side and notes what corresponds."""
        if isinstance(recorded, dict) and isinstance(lab, dict):
            if isinstance(recorded.get("metadata"), dict) and isinstance(lab.get("metadata"), dict):
                self._learn_object(recorded, lab)
            for key in recorded.keys() & lab.keys():
                self._learn_member(key, recorded[key], lab[key])
        elif isinstance(recorded, list) and isinstance(lab, list):
            for one, other in pairs(recorded, lab, self.text):
                self.learn(one, other)
        elif isinstance(recorded, str) and isinstance(lab, str):
            self._learn_text(recorded, lab)

    def _learn_member(self, key: str, recorded: Json, lab: Json) -> None:
        if isinstance(recorded, str) and isinstance(lab, str):
            if key == "continue":
                self.words[recorded] = lab
            elif key == "name" and recorded.startswith(TOKEN_VOLUME):
                self._learn_name(recorded, lab)
            else:
                self._learn_text(recorded, lab)
        elif key == "nodePort" and isinstance(recorded, int) and recorded in NODE_PORTS and lab in NODE_PORTS:
            self.ports.setdefault(recorded, lab)
        else:
            self.learn(recorded, lab)

    def _learn_object(self, recorded: dict[str, Any], lab: dict[str, Any]) -> None:
        old, new = recorded["metadata"], lab["metadata"]
        for name in ("pod-template-hash", "controller-revision-hash"):
            one, other = (meta.get("labels", {}).get(name) for meta in (old, new))
            if one and other:
                self.words[one] = other
                self.words[one.rpartition("-")[2]] = other.rpartition("-")[2]
        if isinstance(old.get("name"), str) and isinstance(new.get("name"), str):
            self._learn_name(old["name"], new["name"])
        one, other = old.get("resourceVersion"), new.get("resourceVersion")
        if one and other and one.isdigit() and other.isdigit():
            if str(recorded.get("kind", "")).endswith("List") or "uid" not in old:
                self.store_versions[int(one)] = int(other)
            else:
                self.versions.setdefault(int(one), int(other))

    def _learn_name(self, recorded: str, lab: str) -> None:
        if recorded == lab:
            return
        old, new = re.split(r"([-.])", recorded), re.split(r"([-.])", lab)
        if len(old) != len(new):
            return
        changed = [(a, b) for a, b in zip(old, new, strict=True) if self.words.get(a, a) != b]
        # Only the end may be new, or a hash and the end: web-567d77b69-2v7xm.
        if all(WORD.fullmatch(a) and WORD.fullmatch(b) for a, b in changed) and len(changed) <= 2:
            for one, other in zip(old, new, strict=True):
                if SUFFIX.fullmatch(one) or (one, other) in changed:
                    self.words.setdefault(one, other)

    def _learn_text(self, recorded: str, lab: str) -> None:
        for pattern in (UUID, ADDRESS, HASH):
            old, new = pattern.findall(recorded), pattern.findall(lab)
            if len(old) == len(new) and pattern.sub("*", recorded) == pattern.sub("*", lab):
                for one, other in zip(old, new, strict=True):
                    self.words.setdefault(one, other)

    # -- substituting

    def text(self, recorded: str) -> str:
        """A recorded text as the lab would say it."""
        if recorded in self.words:
            return self.words[recorded]
        for pattern in (UUID, ADDRESS, WORD):
            recorded = pattern.sub(lambda found: self.words.get(found[0], found[0]), recorded)
        return recorded

    def numbers(self, recorded: str) -> str:
        """A recorded text with versions and node ports inside it replaced too: only right where both can be meant."""

        def replaced(found: re.Match[str]) -> str:
            number = int(found[0])
            return str(self.ports.get(number) or self.versions.get(number) or self.store_versions.get(number) or number)

        return NUMBER.sub(replaced, recorded)

    def version(self, recorded: str) -> str:
        """The lab's version for a recorded one in a request: the same write's, or that of the last write known before it."""
        if not recorded.isdigit() or not 100 <= int(recorded) < 10**8:
            return recorded  # 0, a very old one, one of the future, nonsense
        number = int(recorded)
        known = self.versions | self.store_versions
        before = [one for one in known if one <= number]
        return str(known[max(before)]) if before else recorded

    def path(self, recorded: str) -> str:
        """A recorded path and query as it has to be asked of the lab."""
        path, mark, query = recorded.partition("?")
        parts = []
        for part in query.split("&") if query else []:
            name, equals, value = part.partition("=")
            known = self.version(value) if name == "resourceVersion" else self.text(value)
            parts.append(name + equals + known)
        return self.text(path) + mark + "&".join(parts)

    def body(self, recorded: Json) -> Json:
        """A recorded request body as it has to be sent to the lab."""
        if isinstance(recorded, dict):
            return {key: self._member(key, value) for key, value in recorded.items() if value != STRIPPED}
        if isinstance(recorded, list):
            return [self.body(value) for value in recorded]
        return self.text(recorded) if isinstance(recorded, str) else recorded

    def _member(self, key: str, value: Json) -> Json:
        if key == "resourceVersion" and isinstance(value, str):
            return self.version(value)
        if key == "nodePort" and isinstance(value, int):
            return self.ports.get(value, value)
        return self.body(value)
