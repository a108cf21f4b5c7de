"""Validation rules of schemas: `x-kubernetes-validations`, in the Common Expression Language.

The evaluator is the `common-expression-language` package with its extended library. Kubernetes' own functions for quantities, URLs, IP addresses and
formats, optional values and `optionalOldSelf` are not there: a definition that uses them is refused when it is made, never ignored.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import cel
from cel.stdlib import add_stdlib_to_context

from lab.kubernetes.custom.formats import read_date_time, read_duration
from lab.kubernetes.custom.values import MISSING, partner, plain_value
from lab.kubernetes.errors import FieldError

Obj = dict[str, Any]

_BUILT_IN = {
    "size", "has", "all", "exists", "exists_one", "map", "filter", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double",
    "string", "bytes", "bool", "type", "dyn", "duration", "timestamp", "getFullYear", "getMonth", "getDate", "getDayOfMonth",
    "getDayOfYear", "getDayOfWeek", "getHours", "getMinutes", "getSeconds", "getMilliseconds",
}  # fmt: skip
_GLOBALS = {
    "self", "oldSelf", "math", "sets", "lists", "strings", "base64", "string", "int", "uint", "double", "bool", "bytes", "list", "map",
    "null_type", "type",
}  # fmt: skip
_BOUND = re.compile(r"\.(?:all|exists|exists_one|existsOne|map|filter)\(\s*(\w+)\s*,")  # a macro's own variable
_OPERATOR = re.compile(r"[^A-Za-z]|@|_$|^_")
_REASONS = ("FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate")
_PREFIX = {"FieldValueForbidden": "Forbidden: ", "FieldValueRequired": "Required value: "}


def _context(variables: Obj) -> cel.Context:
    context = cel.Context(variables=variables)
    add_stdlib_to_context(context)
    return context


@lru_cache(maxsize=1)
def _functions() -> frozenset[str]:
    return frozenset(_BUILT_IN) | frozenset(name.rpartition(".")[2] for name in _context({}).functions)


@lru_cache(maxsize=2048)
def compiled(rule: str) -> cel.Program:
    """A rule made ready; ValueError says why it cannot be."""
    try:
        program = cel.compile(rule)
    except ValueError as error:
        raise ValueError(f"compilation failed: {str(error).partition(': ')[2] or error}") from None
    strange = [name for name in program.functions() if not _OPERATOR.search(name) and name not in _functions()]
    if strange:
        raise ValueError(f"compilation failed: this lab's CEL has no function {', '.join(sorted(strange))}")
    unknown = set(program.variables()) - _GLOBALS - set(_BOUND.findall(rule))
    if unknown:
        raise ValueError(f"compilation failed: undeclared reference to '{sorted(unknown)[0]}' (in container '')")
    return program


def rule_faults(schema: Obj, new: Any, old: Any = MISSING, path: str = "", resource: bool = True) -> Iterator[FieldError]:
    """What the rules at and below a place say. `old`: what stood there before; rules about it hold for changes only."""
    if new is None:
        return
    changed = old is MISSING or old != new
    for rule in schema.get("x-kubernetes-validations") or ():
        transition = "oldSelf" in compiled(rule["rule"]).variables()
        if (old is not MISSING) if transition else changed:
            yield from _judge(schema, rule, new, old if transition else MISSING, path)
    if isinstance(new, dict):
        known, others = schema.get("properties") or {}, schema.get("additionalProperties")
        for key in sorted(new):
            below = known.get(key, others)
            if isinstance(below, dict) and not (resource and key == "metadata"):
                before = old.get(key, MISSING) if isinstance(old, dict) else MISSING
                yield from rule_faults(below, new[key], before, f"{path}.{key}" if path else key, False)
    elif isinstance(new, list) and isinstance(schema.get("items"), dict):
        for position, item in enumerate(new):
            yield from rule_faults(schema["items"], item, partner(schema, item, old), f"{path}[{position}]", False)


def _judge(schema: Obj, rule: Obj, new: Any, old: Any, path: str) -> Iterator[FieldError]:
    variables = {"self": cel_value(schema, new)}
    if old is not MISSING:
        variables["oldSelf"] = cel_value(schema, old)
    where = path + (rule.get("fieldPath") or "") if path else (rule.get("fieldPath") or "").removeprefix(".") or "<nil>"
    try:
        verdict = compiled(rule["rule"]).execute(_context(variables))
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError, IndexError, AttributeError) as error:
        text = f"rule evaluation error: {_reason(error)} evaluating rule: {rule.get('message') or rule['rule']}"
        yield FieldError("FieldValueInvalid", f"Invalid value: {plain_value(new)}: {text}", where)
        return
    if verdict is True:
        return
    reason = rule.get("reason") or "FieldValueInvalid"
    message = _message(rule, variables)
    if reason == "FieldValueDuplicate":
        yield FieldError(reason, f"Duplicate value: {plain_value(new)}", where)
    else:
        yield FieldError(reason, f"{_PREFIX.get(reason) or f'Invalid value: {plain_value(new)}: '}{message}", where)


def _reason(error: Exception) -> str:
    return f"no such key: {error.args[0]}" if isinstance(error, KeyError) and error.args else str(error)


def _message(rule: Obj, variables: Obj) -> str:
    if rule.get("messageExpression"):
        try:
            told = compiled(rule["messageExpression"]).execute(_context(variables))
        except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError, IndexError, AttributeError):
            told = ""
        if isinstance(told, str) and told.strip() and "\n" not in told:
            return told
    return str(rule.get("message") or f"failed rule: {rule['rule'].strip()}")


def cel_value(schema: Obj, value: Any) -> Any:
    """A value as rules see it: times and bytes by their formats, and names that are no identifiers escaped."""
    if isinstance(value, dict):
        known, others = schema.get("properties"), schema.get("additionalProperties")
        if isinstance(others, dict):
            return {key: cel_value(others, item) for key, item in value.items()}
        return {_identifier(key): cel_value((known or {}).get(key) or {}, item) for key, item in value.items()}
    if isinstance(value, list):
        return [cel_value(schema.get("items") or {}, item) for item in value]
    if isinstance(value, str) and schema.get("type") == "string":
        return _typed_text(schema.get("format"), value)
    return float(value) if schema.get("type") == "number" and isinstance(value, int) and not isinstance(value, bool) else value


def _typed_text(form: str | None, value: str) -> Any:
    try:
        if form in ("date-time", "datetime"):
            return read_date_time(value)
        if form == "duration":
            return read_duration(value)
        if form == "byte":
            return base64.b64decode(value)
    except ValueError:
        return value
    return value


_RESERVED = {
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
    "namespace", "return", "var", "void", "while",
}  # fmt: skip


def _identifier(name: str) -> str:
    if name in _RESERVED:
        return f"__{name}__"
    if name.isidentifier() and "__" not in name:
        return name
    for sign, word in (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")):
        name = name.replace(sign, word)
    return name


def check_rule(rule: Obj) -> str | None:
    """Why a rule cannot be taken; None when it can."""
    if not str(rule.get("rule") or "").strip():
        return "rule is not specified"
    if rule.get("optionalOldSelf"):
        return "compilation failed: this lab's CEL has no optional values (optionalOldSelf)"
    if rule.get("reason") not in (None, *_REASONS):
        return f"reason has to be one of {', '.join(_REASONS)}"
    try:
        compiled(rule["rule"])
        if rule.get("messageExpression"):
            compiled(rule["messageExpression"])
    except ValueError as error:
        return str(error)
    return None
