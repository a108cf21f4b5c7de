"""Whether a value fits its schema, in the words of the server's OpenAPI validator.

On an update only what has changed is judged: what was wrong before, and was left alone, stays accepted (ratcheting).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any

from lab.kubernetes.custom.formats import fits_format
from lab.kubernetes.errors import FieldError
from lab.kubernetes.gotext import go_json, quoted
from lab.kubernetes.validation.faults import shown

Obj = dict[str, Any]

MISSING = object()


def faults(schema: Obj, new: Any, old: Any = MISSING, path: str = "") -> Iterator[FieldError]:
    """What is wrong with a value. `old`: what stood there before."""
    if old is not MISSING and old == new and type(old) is type(new):
        return
    kind = _kind(new)
    if new is None and schema.get("nullable"):
        return
    if not _type_fits(schema, new, kind):
        wanted = schema.get("type", "")
        yield FieldError("FieldValueTypeInvalid", f'Invalid value: "{kind}": {_in_body(path)} must be of type {wanted}: "{kind}"', path)
        return
    yield from _choices(schema, new, path)
    if isinstance(new, dict):
        yield from _object_faults(schema, new, old if isinstance(old, dict) else MISSING, path)
    elif isinstance(new, list):
        yield from _list_faults(schema, new, old if isinstance(old, list) else MISSING, path)
    elif isinstance(new, str):
        yield from _string_faults(schema, new, path)
    elif isinstance(new, int | float) and not isinstance(new, bool):
        yield from _number_faults(schema, new, path)
    yield from _combined_faults(schema, new, path)


def _in_body(path: str) -> str:
    return f"{path} in body" if path else "in body"


def _kind(value: Any) -> str:
    """JSON's name of a type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    return {float: "number", str: "string", dict: "object", list: "array"}[type(value)]


def _type_fits(schema: Obj, value: Any, kind: str) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return kind in ("integer", "string")
    wanted = schema.get("type")
    return not wanted or wanted == kind or (wanted == "number" and kind == "integer")


def _invalid(path: str, value: Any, why: str) -> FieldError:
    return FieldError("FieldValueInvalid", f"Invalid value: {plain_value(value)}: {why}", path)


def plain_value(value: Any) -> str:
    """A value as messages quote it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else shown(value)


def _choices(schema: Obj, value: Any, path: str) -> Iterator[FieldError]:
    choices = schema.get("enum")
    if choices is None or any(choice == value and isinstance(choice, bool) == isinstance(value, bool) for choice in choices):
        return
    texts = ", ".join(quoted(choice if isinstance(choice, str) else go_json(choice)) for choice in choices)
    yield FieldError("FieldValueNotSupported", f"Unsupported value: {plain_value(value)}: supported values: {texts}", path)


def _object_faults(schema: Obj, value: Obj, old: Any, path: str) -> Iterator[FieldError]:
    known, others = schema.get("properties") or {}, schema.get("additionalProperties")
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    if least is not None and len(value) < least:
        yield _invalid(path, value, f"{_in_body(path)} should have at least {least} properties")
    if most is not None and len(value) > most:
        yield FieldError("FieldValueTooMany", f"Too many: {len(value)}: must have at most {most} items", path)
    required = schema.get("required") or ()
    for key in sorted(value.keys() | set(required)):
        where = f"{path}.{key}" if path else key
        if key not in value:
            if key in required:
                yield FieldError("FieldValueRequired", "Required value", where)
            continue
        below = known.get(key, others)
        if isinstance(below, dict):
            yield from faults(below, value[key], MISSING if old is MISSING else old.get(key, MISSING), where)


def _list_faults(schema: Obj, items: list[Any], old: Any, path: str) -> Iterator[FieldError]:
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and len(items) < least:
        yield _invalid(path, items, f"{_in_body(path)} should have at least {least} items")
    if most is not None and len(items) > most:
        yield FieldError("FieldValueTooMany", f"Too many: {len(items)}: must have at most {most} items", path)
    if schema.get("uniqueItems") and len({go_json(item) for item in items}) < len(items):
        yield _invalid(path, items, f"{_in_body(path)} shouldn't contain duplicates")
    below = schema.get("items")
    if not isinstance(below, dict):
        return
    for position, item in enumerate(items):
        yield from faults(below, item, partner(schema, item, old), f"{path}[{position}]")


def partner(schema: Obj, item: Any, old: Any) -> Any:
    """The item that stood in the old list for this one: only lists with keys tell."""
    keys = schema.get("x-kubernetes-list-map-keys")
    if old is MISSING or not isinstance(old, list) or schema.get("x-kubernetes-list-type") != "map" or not keys or not isinstance(item, dict):
        return MISSING
    return next((one for one in old if isinstance(one, dict) and all(one.get(key) == item.get(key) for key in keys)), MISSING)


@lru_cache(maxsize=512)
def pattern(text: str) -> re.Pattern[str] | None:
    """A pattern of a schema; None when it cannot be read."""
    try:
        return re.compile(text)
    except re.error:
        return None


def _string_faults(schema: Obj, value: str, path: str) -> Iterator[FieldError]:
    least, most = schema.get("minLength"), schema.get("maxLength")
    if most is not None and len(value) > most:
        yield FieldError("FieldValueTooLong", f"Too long: may not be more than {most} bytes", path)
    if least is not None and len(value) < least:
        yield _invalid(path, value, f"{_in_body(path)} should be at least {least} chars long")
    if (text := schema.get("pattern")) and (compiled := pattern(text)) and not compiled.search(value):
        yield _invalid(path, value, f"{_in_body(path)} should match '{text}'")
    if (form := schema.get("format")) and schema.get("type") == "string" and not fits_format(form, value):
        yield _invalid(path, value, f"{_in_body(path)} must be of type {form}: {quoted(value)}")


_INTEGERS = {"int32": 2**31, "int64": 2**63}


def _number_faults(schema: Obj, value: float, path: str) -> Iterator[FieldError]:
    least, most, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if most is not None and (value > most or (schema.get("exclusiveMaximum") and value == most)):
        than = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield _invalid(path, value, f"{_in_body(path)} should be {than} {_number(most)}")
    if least is not None and (value < least or (schema.get("exclusiveMinimum") and value == least)):
        than = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield _invalid(path, value, f"{_in_body(path)} should be {than} {_number(least)}")
    if step and Decimal(str(value)) % Decimal(str(step)):
        yield _invalid(path, value, f"{_in_body(path)} should be a multiple of {_number(step)}")
    limit = _INTEGERS.get(schema.get("format", ""))
    if limit and not -limit <= value < limit:
        yield _invalid(path, value, f"{_in_body(path)} must be of type {schema['format']}: {quoted(str(value))}")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _combined_faults(schema: Obj, value: Any, path: str) -> Iterator[FieldError]:
    def fits(one: Obj) -> bool:
        return next(faults(one, value, MISSING, path), None) is None

    name = path or "<nil>"
    if (several := schema.get("anyOf")) and not any(map(fits, several)):
        yield _invalid(path, value, f"{_in_body(path)} must validate at least one schema (anyOf)")
    if several := schema.get("oneOf"):
        count = sum(map(fits, several))
        if count != 1:
            found = f"Found {count} valid alternatives" if count else "Found none valid"
            yield _invalid(path, value, f'"{name}" must validate one and only one schema (oneOf). {found}')
    if (several := schema.get("allOf")) and not all(map(fits, several)):
        yield _invalid(path, value, f'"{name}" must validate all the schemas (allOf)')
    if (never := schema.get("not")) is not None and fits(never):
        yield _invalid(path, value, f'"{name}" must not validate the schema (not)')


def double_items(schema: Obj, value: Any, path: str = "") -> Iterator[FieldError]:
    """Items that a list with keys, or a set, holds twice."""
    if isinstance(value, dict):
        known, others = schema.get("properties") or {}, schema.get("additionalProperties")
        for key in sorted(value):
            below = known.get(key, others)
            if isinstance(below, dict):
                yield from double_items(below, value[key], f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        seen: set[str] = set()
        for position, item in enumerate(value):
            where = f"{path}[{position}]"
            if (told := _identity(schema, item)) is not None:
                text = go_json(told)
                if text in seen:
                    yield FieldError("FieldValueDuplicate", f"Duplicate value: {plain_value(told)}", where)
                seen.add(text)
            yield from double_items(schema.get("items") or {}, item, where)


def _identity(schema: Obj, item: Any) -> Any:
    kind = schema.get("x-kubernetes-list-type")
    if kind == "map" and isinstance(item, dict):
        return {key: item[key] for key in schema.get("x-kubernetes-list-map-keys") or () if key in item}
    return item if kind == "set" else None
