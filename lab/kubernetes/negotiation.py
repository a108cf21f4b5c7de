"""Accept and Content-Type: which form of an answer a client takes, and how a body is to be read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from lab.kubernetes.errors import ApiError

Encoding = Literal["json", "yaml"]
BodyEncoding = Literal["json", "yaml", "protobuf"]
Shape = Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList", "APIGroupDiscoveryList"]

_JSON = ("application/json", "application/*", "*/*")
_YAML = ("application/yaml",)
PROTOBUF = "application/vnd.kubernetes.protobuf"
_META = "meta.k8s.io"
_ALL = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
_STREAMS = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"


@dataclass(frozen=True)
class Form:
    """How to answer."""

    encoding: Encoding = "json"
    shape: Shape = ""
    version: str = "v1"  # of the shape
    pretty: bool = False
    include: str = ""  # what a Table's rows hold of their objects: None, Metadata, Object

    @property
    def content_type(self) -> str:
        return f"application/{self.encoding}"


def _clauses(accept: str) -> list[tuple[str, dict[str, str]]]:
    found = []
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        if media:
            values = dict(pair.partition("=")[::2] for pair in parameters)
            found.append((media.lower(), values))
    return sorted(found, key=lambda clause: -_quality(clause[1]))


def _quality(parameters: dict[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 1.0


@lru_cache(maxsize=512)
def negotiate(accept: str, watch: bool = False, log: bool = False) -> Form:
    """The form for an Accept header; 406 when there is none. A log is routed as text, but asks for a form of its (possible) Status."""
    clauses = _clauses(accept) or [("*/*", {})]
    usable = False
    for media, parameters in clauses:
        encoding: Encoding | None = "json" if media in _JSON else "yaml" if media in _YAML else None
        if encoding is None:
            usable = usable or (log and media == "text/plain")
            continue
        usable = True
        shape = _shape(parameters)
        if shape is not None and not (watch and encoding == "yaml"):
            return Form(encoding, shape[0], shape[1], parameters.get("pretty") in ("1", "true"))
    if usable:
        raise ApiError(406, f"only the following media types are accepted: {_STREAMS if watch else _ALL}", "NotAcceptable")
    representations = f"text/plain, {_ALL}" if log else f"{_ALL}, {_STREAMS}"
    raise ApiError(406, f"406: Not Acceptable\n\nAvailable representations: {representations}", "NotAcceptable", {})


def _shape(parameters: dict[str, str]) -> tuple[Shape, str] | None:
    wanted = parameters.get("as")
    if not wanted:
        return "", ""
    group, version = parameters.get("g"), parameters.get("v", "")
    if group == _META and version in ("v1", "v1beta1"):
        if wanted == "Table":
            return "Table", version
        if wanted == "PartialObjectMetadata":
            return "PartialObjectMetadata", version
        if wanted == "PartialObjectMetadataList":
            return "PartialObjectMetadataList", version
    return None


@lru_cache(maxsize=512)
def error_encoding(accept: str) -> Encoding:
    """The form of a refusal, which is never refused itself."""
    for media, _ in _clauses(accept):
        if media in _YAML:
            return "yaml"
        if media in _JSON:
            return "json"
    return "json"


@lru_cache(maxsize=512)
def wants_aggregated_discovery(accept: str) -> bool:
    """Whether the first thing a client takes is the aggregated form of discovery."""
    for media, parameters in _clauses(accept):
        if media not in _JSON:
            continue
        if parameters.get("as") == "APIGroupDiscoveryList":
            if parameters.get("g") == "apidiscovery.k8s.io" and parameters.get("v") == "v2":
                return True
            continue
        return False
    return False


@lru_cache(maxsize=512)
def body_encoding(content_type: str) -> BodyEncoding:
    """How to read a body: no type is JSON; 415 for what cannot be read."""
    media = content_type.partition(";")[0].strip().lower()
    if media in ("", "application/json"):
        return "json"
    if media == "application/yaml":
        return "yaml"
    if media == PROTOBUF:
        return "protobuf"
    raise unknown_format()


def unknown_format(types: str = _ALL) -> ApiError:
    """415: a body of a type that is not one of these."""
    accepted = "the body of the request was in an unknown format - accepted media types include: "
    return ApiError(415, accepted + types, "UnsupportedMediaType")
