"""Label and field selectors: from text or from a LabelSelector to a function on objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.kind import Kind

Obj = dict[str, Any]
Labels = Mapping[str, str]
LabelTest = Callable[[Labels], bool]
Test = Callable[[Obj], bool]

_EMPTY: Labels = {}


def labels_of(obj: Obj) -> Labels:
    """An object's labels, empty when it has none."""
    return obj["metadata"].get("labels") or _EMPTY


def _in(key: str, values: frozenset[str]) -> LabelTest:
    return lambda labels: labels.get(key) in values


def _not_in(key: str, values: frozenset[str]) -> LabelTest:
    return lambda labels: labels.get(key) not in values


def _exists(key: str) -> LabelTest:
    return lambda labels: key in labels


def _absent(key: str) -> LabelTest:
    return lambda labels: key not in labels


def _number(key: str, operator: str, limit: int) -> LabelTest:
    def test(labels: Labels) -> bool:
        try:
            value = int(labels[key])
        except (KeyError, ValueError):
            return False
        return value > limit if operator == ">" else value < limit

    return test


def _all(tests: list[LabelTest]) -> LabelTest:
    if len(tests) == 1:
        return tests[0]
    return lambda labels: all(test(labels) for test in tests)


@lru_cache(maxsize=4096)
def parse_labels(text: str) -> LabelTest:
    """A test for a selector like `app in (a,b),!tier,x=y`; a bad one is a 400."""
    tests = _LabelParser(text).parse()
    return _all(tests)


def match_selector(selector: Mapping[str, Any] | str | None) -> LabelTest:
    """A test for a selector in any form: text, a LabelSelector, or a plain map of labels. None and {} match everything."""
    if not selector:
        return lambda labels: True
    if isinstance(selector, str):
        return parse_labels(selector)
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        return _all([_in(key, frozenset((value,))) for key, value in selector.items()])
    tests = [_in(key, frozenset((value,))) for key, value in (selector.get("matchLabels") or {}).items()]
    for wish in selector.get("matchExpressions") or ():
        key, values = wish["key"], frozenset(wish.get("values") or ())
        tests.append({"In": _in(key, values), "NotIn": _not_in(key, values), "Exists": _exists(key), "DoesNotExist": _absent(key)}[wish["operator"]])
    return _all(tests) if tests else lambda labels: True


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector as text, as in `status.selector` of a Scale."""
    if not selector:
        return ""
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    parts = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for wish in selector.get("matchExpressions") or ():
        key, values = wish["key"], ",".join(sorted(wish.get("values") or ()))
        texts = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key, "DoesNotExist": f"!{key}"}
        parts.append((key, texts[wish["operator"]]))
    return ",".join(text for _, text in sorted(parts))


_SIGNS = ("", "=", "==", "!=", "!", ">", "<", "(", ")", ",")
_TOKEN = re.compile(r"\s*(==|!=|=|!|>|<|\(|\)|,|[^\s=!<>(),]+)")


class _LabelParser:
    """Reads a selector word by word; its complaints are those of the real parser."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _TOKEN.findall(text)
        self.position = 0

    def _peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self.position += 1
        return token

    def _fail(self, why: str) -> ApiError:
        return bad_request(f"unable to parse requirement: {why}")

    def parse(self) -> list[LabelTest]:
        tests: list[LabelTest] = []
        while self._peek():
            if self._peek() in _SIGNS and self._peek() != "!":
                raise bad_request(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")
            tests.append(self._requirement())
            if not self._peek():
                break
            if self._peek() != ",":
                raise bad_request(f"found '{self._peek()}', expected: ',' or 'end of string'")
            self._next()
            if self._peek() in _SIGNS and self._peek() != "!":
                raise bad_request(f"found '{self._peek()}', expected: identifier after ','")
        return tests or [lambda labels: True]

    def _requirement(self) -> LabelTest:
        if self._peek() == "!":
            self._next()
            return _absent(self._key())
        key = self._key()
        operator = self._peek()
        if operator in ("", ","):
            return _exists(key)
        self._next()
        if operator in ("=", "==", "!="):
            value = self._value(key)
            return _not_in(key, frozenset((value,))) if operator == "!=" else _in(key, frozenset((value,)))
        if operator in (">", "<"):
            return _number(key, operator, self._integer())
        if operator in ("in", "notin"):
            values = self._values(key)
            return _in(key, values) if operator == "in" else _not_in(key, values)
        raise self._fail(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def _key(self) -> str:
        word = self._next()
        if word in _SIGNS:
            raise self._fail(f"found '{word}', expected: identifier")
        check_key(word)
        return word

    def _value(self, key: str) -> str:
        if self._peek() in ("", ","):
            return ""
        token = self._next()
        check_value(key, token)
        return token

    def _integer(self) -> int:
        token = self._next()
        if not re.fullmatch(r"-?\d+", token):
            raise self._fail(f"values[0][KEY]: Invalid value: \"{token}\": for 'Gt', 'Lt' operators, the value must be an integer")
        return int(token)

    def _values(self, key: str) -> frozenset[str]:
        if self._peek() != "(":
            raise self._fail(f"found '{self._peek()}' expected: '('")
        self._next()
        values: list[str] = []
        while (word := self._next()) != ")":
            if not word:
                raise self._fail("found '', expected: ',' or ')'")
            if word != ",":
                check_value(key, word)
                values.append(word)
        return frozenset(values)


_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_NAME_HELP = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_HELP = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def check_key(key: str) -> None:
    """A label's key in a selector; a bad one is a 400."""
    if not _NAME.fullmatch(key.rpartition("/")[2]):
        raise bad_request(f'unable to parse requirement: key: Invalid value: "{key}": {_NAME_HELP}')


def check_value(key: str, value: str) -> None:
    """A label's value in a selector; a bad one is a 400."""
    if not _VALUE.fullmatch(value):
        raise bad_request(f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}": {_VALUE_HELP}')


def parse_fields(kind: Kind, text: str) -> Test:
    """A test for a field selector like `metadata.name=a,status.phase!=Running`; an unknown field is a 400."""
    wishes: list[tuple[str, bool, str]] = []
    for part in text.split(","):
        if not part:
            continue
        path, wanted, value = _split_field(part, text)
        if path not in ("metadata.name", "metadata.namespace") and path not in kind.selectable:
            raise _unknown_field(kind, path)
        wishes.append((path, wanted, value))
    return lambda obj: all((field_value(kind, obj, path) == value) is wanted for path, wanted, value in wishes)


def _split_field(part: str, text: str) -> tuple[str, bool, str]:
    for sign, wanted in (("!=", False), ("==", True), ("=", True)):
        path, found, value = part.partition(sign)
        if found:
            return path.strip(), wanted, value.replace("\\,", ",").replace("\\=", "=").replace("\\\\", "\\").strip()
    raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")


def _unknown_field(kind: Kind, path: str) -> ApiError:
    if kind.custom or (kind.group == "" and kind.kind in ("Pod", "Event")):
        return bad_request(f"field label not supported: {path}")
    return bad_request(f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"')


def field_value(kind: Kind, obj: Obj, path: str) -> str:
    """What a field selector compares with: the field as text."""
    if kind.group == "" and kind.kind == "Event" and path == "source":
        return str((obj.get("source") or {}).get("component") or obj.get("reportingComponent") or "")
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if path in ("spec.unschedulable", "spec.hostNetwork"):
        return "true" if value else "false"
    if path in ("status.successful", "status.replicas"):
        return str(value or 0)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
