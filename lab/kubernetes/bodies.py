"""Request bodies: from bytes to an object of the kind that the path names."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import orjson
import yaml

from lab.kubernetes import protobuf
from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.negotiation import body_encoding

Obj = dict[str, Any]

MAX_BODY = 3 * 2**20
MAX_DEPTH = 200  # of lists and maps within one another; a real server takes 10,000


def too_large() -> ApiError:
    """413: more than three MiB."""
    return ApiError(413, f"Request entity too large: limit is {MAX_BODY}", "RequestEntityTooLarge")


def parse(data: bytes, content_type: str, what: str) -> tuple[Any, list[str]]:
    """The value in a body, and a complaint for each key that stood in it twice; 400 when it cannot be read. `what` is the kind, for the message."""
    encoding = body_encoding(content_type)
    if encoding == "yaml":
        return parse_yaml(data), []
    if encoding == "protobuf":
        return protobuf.decode_body(data), []
    try:
        value = load_json(data)
    except ValueError:
        raise bad_request(_unrecognized(what, f"json parse error: {json_fault(data)} ({_excerpt(data)})")) from None
    return value, duplicate_keys(data)


def parse_yaml(data: bytes) -> Any:
    """YAML (or JSON, which is YAML too), with times left as the text they are."""
    try:
        return load_json(data)
    except ValueError:
        pass
    try:
        _check_yaml(data)
        return _as_json(yaml.load(data, Loader=_Loader), 0)  # noqa: S506 - a safe loader without timestamps
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise bad_request(f"error converting YAML to JSON: yaml: {(str(error).splitlines() or ['invalid'])[0]}") from None


def load_json(data: bytes) -> Any:
    """A JSON text's value; ValueError for what is none, or is nested too deeply."""
    value = orjson.loads(data)
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        check_depth(value)
    return value


def check_depth(value: Any) -> None:
    """ValueError for lists and maps nested too deeply."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError("exceeded max depth")
        level = [
            inner for one in level for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
            if isinstance(inner, dict | list)
        ]  # fmt: skip


def _check_yaml(data: bytes) -> None:
    """The YAML library's parser goes down the machine's stack: nothing deep may come to it."""
    depth = deepest = 0
    for sign in re.findall(rb"[\[\]{}]", data):
        depth += 1 if sign in b"[{" else -1
        deepest = max(deepest, depth)
    within_a_line = max((line.count(b"- ") + line.count(b"? ") + line.count(b": ") for line in data.splitlines()), default=0)
    indented = max((len(line) - len(line.lstrip()) for line in data.splitlines()), default=0)
    if max(deepest, within_a_line) > MAX_DEPTH or (indented > MAX_DEPTH and _steps_in(data) > MAX_DEPTH):
        raise ValueError("exceeded max depth")


def _steps_in(data: bytes) -> int:
    """In how many steps lines are indented."""
    return len({len(line) - len(line.lstrip()) for line in data.splitlines()})


def _as_json(value: Any, depth: int) -> Any:
    """A YAML value as JSON has it: keys are texts, and there are no dates, sets or numbers that are none. ValueError for what cannot be."""
    if depth > MAX_DEPTH:
        raise ValueError("exceeded max depth")
    if isinstance(value, dict):
        if any(isinstance(key, tuple | list | dict) for key in value):
            raise ValueError("invalid map key")
        return {_as_key(key): _as_json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item, depth + 1) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124 - nan
        raise ValueError("json: unsupported value")
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"cannot be JSON: {type(value).__name__}")


def _as_key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key) if key is None or isinstance(key, bool | int | float) else str(key)


class _Loader(yaml.CSafeLoader):
    """Safe, and without timestamps: Kubernetes' times are strings."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _unrecognized(what: str, why: str) -> str:
    return f"the object provided is unrecognized (must be of type {what}): couldn't get version/kind; {why}"


def json_fault(data: bytes) -> str:
    """What Go's decoder would say."""
    text = data.decode("utf-8", "replace")
    try:
        json.loads(text)
        return "exceeded max depth"
    except RecursionError:
        return "exceeded max depth"
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or "Unterminated" in error.msg:
            return "unexpected end of JSON input"
        where = "looking for beginning of value" if "Expecting value" in error.msg else "looking for beginning of object key string"
        return f"invalid character '{text[error.pos]}' {where}"
    return "unexpected end of JSON input"


def _excerpt(data: bytes) -> str:
    if not data:
        return "<empty>"
    text = data.decode("utf-8", "replace")
    return json.dumps(text[:30])[1:-1].replace('\\"', '"') + " ..." if len(text) > 30 else text


_KEY = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:')


def duplicate_keys(data: bytes) -> list[str]:
    """`duplicate field "data.a"` for every key that stands twice in one object. Looks closer only when a key stands twice anywhere."""
    keys = _KEY.findall(data)
    if len(keys) == len(set(keys)):
        return []
    found: list[str] = []

    def walk(value: Any, path: str) -> Any:
        if isinstance(value, _Pairs):
            seen: set[str] = set()
            for key, inner in value.pairs:
                where = f"{path}.{key}" if path else key
                if key in seen:
                    found.append(f'duplicate field "{where}"')
                seen.add(key)
                walk(inner, where)
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                walk(inner, f"{path}[{index}]")

    with contextlib.suppress(RecursionError):
        walk(json.loads(data, object_pairs_hook=_Pairs), "")
    return found


class _Pairs:
    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def must_be_object(value: Any, what: str, data: bytes) -> Obj:
    """A body's value, which has to be a JSON object; 400 when it is none. `what` is the kind, for the message."""
    if isinstance(value, dict):
        return value
    word = {list: "array", str: "string", bool: "bool", int: "number", float: "number"}.get(type(value), "value")
    go = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
    why = f"json parse error: json: cannot unmarshal {word} into Go value of type {go} ({data[:30].hex()})"
    raise bad_request(_unrecognized(what, why))


def type_missing(field: str, what: str, data: bytes) -> ApiError:
    """400: custom resources have to say what they are. `what` is the kind that the path names."""
    name = "Kind" if field == "kind" else "apiVersion"
    text = data.decode("utf-8", "replace")
    return bad_request(f"the object provided is unrecognized (must be of type {what}): Object '{name}' is missing in '{text}' ({_excerpt(data)})")
