"""Request bodies: from bytes to an object of the kind that the path names."""

from __future__ import annotations

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
        value = orjson.loads(data)
    except ValueError:
        raise bad_request(_unrecognized(what, f"json parse error: {json_fault(data)} ({_excerpt(data)})")) from None
    return value, duplicate_keys(data)


def parse_yaml(data: bytes) -> Any:
    """YAML (or JSON, which is YAML too), with times left as the text they are."""
    try:
        return orjson.loads(data)
    except ValueError:
        pass
    try:
        return yaml.load(data, Loader=_Loader)  # noqa: S506 - a safe loader without timestamps
    except yaml.YAMLError as error:
        raise bad_request(f"error converting YAML to JSON: yaml: {str(error).splitlines()[0]}") from None


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
