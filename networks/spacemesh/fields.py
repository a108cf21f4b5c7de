"""The kinds of fields that the form is made of, each refusing what it cannot mean, in words."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic.json_schema import WithJsonSchema

from networks import quantities
from networks.spacemesh import node_config

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:(?:[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?)*(?::[0-9]{{1,5}})?)/)?"
    rf"{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][-A-Za-z0-9_.]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
)


def _say_bounds(field: dict[str, Any]) -> None:
    """JSON schema's words for bounds that stand outside the type, where pydantic puts its own."""
    for ours, theirs in (("ge", "minimum"), ("le", "maximum")):
        if ours in field:
            field[theirs] = field.pop(ours)


def flatten_optionals(schema: dict[str, Any]) -> None:
    """Show `X | None` as X that may be left empty: a form then offers a plain field instead of a choice between X and null."""
    for name, shown in schema.get("properties", {}).items():
        field = dict(shown)
        kinds = field.get("anyOf", [])
        if len(kinds) == 2 and {"type": "null"} in kinds:
            kind = next(k for k in kinds if k != {"type": "null"})
            rest = {key: value for key, value in field.items() if key != "anyOf" and not (key == "default" and value is None)}
            field = {**kind, **rest}
        _say_bounds(field)
        if isinstance(field.get("items"), dict):
            field["items"] = dict(field["items"])
            _say_bounds(field["items"])
        if isinstance(field.get("default"), dict):
            field["default"] = {key: value for key, value in field["default"].items() if value is not None}
        schema["properties"][name] = field


def _no_control_characters(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("holds control characters: type it again without line breaks, tabs and the like")
    return text


no_control_characters = AfterValidator(_no_control_characters)


def _not_a_switch(value: Any) -> Any:
    """True is 1 in Python; in a form it is a mistake."""
    if isinstance(value, bool):
        raise ValueError("is a number, not yes or no")
    if isinstance(value, str) and len(value) > 20:
        raise ValueError("is a whole number of at most 20 digits")
    return value


Count = Annotated[int, BeforeValidator(_not_a_switch)]


def _quantity_text(value: Any) -> Any:
    """YAML reads `cpu: 2` as a number: that is fine."""
    if isinstance(value, bool):
        raise ValueError("is an amount like 100m or 2Gi, not yes or no")
    return str(value) if isinstance(value, int | float) else value


def _between(least: str, most: str, hint: str) -> Any:
    low, high = quantities.parse(least), quantities.parse(most)

    def check(text: str) -> str:
        amount = quantities.parse_cpu(text) if hint == "cpu" else Decimal(quantities.parse_bytes(text))
        if amount < low:
            unit = "" if hint == "cpu" else f": did you forget the unit? {text}Gi" if text.isdigit() else ""
            raise ValueError(f"{text!r} is less than {least}{unit}")
        if amount > high:
            raise ValueError(f"{text!r} is more than {most}" + (f": did you mean {text}m?" if hint == "cpu" and text.isdigit() else ""))
        return text

    return AfterValidator(check)


_AMOUNT = WithJsonSchema({"type": "string", "maxLength": 40})

CpuText = Annotated[str, BeforeValidator(_quantity_text), _between("1m", "256", "cpu"), _AMOUNT]
MemoryText = Annotated[str, BeforeValidator(_quantity_text), _between("16Mi", "24Ti", "memory"), _AMOUNT]
DiskText = Annotated[str, BeforeValidator(_quantity_text), _between("1Mi", "64Ti", "disk"), _AMOUNT]


def _image(text: str) -> str:
    if not _IMAGE.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not an image: write repository:tag in lower case, like spacemeshos/go-spacemesh-dev:v1.2.3")
    return text


ImageText = Annotated[str, AfterValidator(_image)]


def _file(text: str) -> str:
    if not text:
        raise ValueError("is empty: leave it out, or give the path of a JSON file")
    return _no_control_characters(text)


FilePath = Annotated[str, AfterValidator(_file)]


def _url(text: str) -> str:
    _no_control_characters(text)
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0) and " " not in text
    except ValueError:
        usable = False
        parts = urlsplit("")
    if not usable:
        raise ValueError(f"{text[:80]!r} is not an http or https address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user name or password: parameters are stored and shown, so give an address that needs none")
    return text


HttpUrl = Annotated[str, AfterValidator(_url)]


_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def _accelerator(text: str) -> str:
    if not _LABEL_VALUE.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a type of GPU: write it as the cluster's nodes are labelled, like nvidia-tesla-t4")
    return text


AcceleratorType = Annotated[str, AfterValidator(_accelerator)]


def _json_object(value: dict[str, Any]) -> dict[str, Any]:
    fault = node_config.document_fault(value)
    if fault:
        raise ValueError(fault)
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_json_object)]
