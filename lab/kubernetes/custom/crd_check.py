"""Whether a CustomResourceDefinition makes sense: names, versions, structural schemas, rules, paths."""

from __future__ import annotations

import re
from typing import Any

from lab.kubernetes.custom.cel_rules import check_rule
from lab.kubernetes.custom.jsonpath import steps
from lab.kubernetes.custom.structural import walk
from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.gotext import json_kind
from lab.kubernetes.validation.faults import Faults, dns_label

Obj = dict[str, Any]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_SIMPLE_PATH = re.compile(r"(\.[A-Za-z_][\w-]*)+")


def check_definition(obj: Obj, faults: Faults) -> None:
    """A new definition (after defaults)."""
    spec = obj.get("spec") or {}
    names, versions = spec.get("names") or {}, spec.get("versions") or []
    wanted = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if obj["metadata"].get("name") != wanted:
        faults.invalid("metadata.name", obj["metadata"].get("name", ""), 'must be spec.names.plural+"."+spec.group')
    _check_group(spec.get("group") or "", faults)
    if not spec.get("scope"):
        faults.required("spec.scope")
    else:
        faults.choice("spec.scope", spec["scope"], ("Cluster", "Namespaced"))
    _check_names(names, faults)
    _check_versions(versions, faults)
    _check_conversion(spec, versions, faults)
    several = len(versions) > 1
    for position, version in enumerate(versions):
        _check_version(version, f"spec.versions[{position}]", several, faults)


def check_definition_change(old: Obj, new: Obj, faults: Faults) -> None:
    """What may not change any more."""
    before, after = old["spec"], new["spec"]
    faults.unchanged("spec.group", before.get("group"), after.get("group"))
    faults.unchanged("spec.scope", before.get("scope"), after.get("scope"))
    names, others = before.get("names") or {}, after.get("names") or {}
    faults.unchanged("spec.names.plural", names.get("plural"), others.get("plural"))
    faults.unchanged("spec.names.kind", names.get("kind"), others.get("kind"))
    stored = (new.get("status") or {}).get("storedVersions") or []
    there = {version.get("name") for version in after.get("versions") or ()}
    for position, name in enumerate(stored):
        if name not in there:
            faults.invalid(f"status.storedVersions[{position}]", name, "missing from spec.versions; must be kept until its objects are migrated")


def _check_group(group: str, faults: Faults) -> None:
    if not group:
        faults.required("spec.group")
        return
    faults.subdomain_name("spec.group", group)
    if "." not in group:
        faults.invalid("spec.group", group, "should be a domain with at least one dot")


def _check_names(names: Obj, faults: Faults) -> None:
    for key in ("plural", "singular", "kind", "listKind"):
        where, name = f"spec.names.{key}", names.get(key) or ""
        if not name:
            faults.required(where)
            continue
        for why in dns_label(name.lower() if "ind" in key else name):
            faults.invalid(where, name, why)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        faults.invalid("spec.names.listKind", names["listKind"], "kind and listKind may not be the same")
    for key in ("shortNames", "categories"):
        for position, name in enumerate(names.get(key) or ()):
            faults.label_name(f"spec.names.{key}[{position}]", name)


def _check_versions(versions: list[Obj], faults: Faults) -> None:
    if not versions:
        faults.required("spec.versions", "must have at least one version")
    seen: set[str] = set()
    for position, version in enumerate(versions):
        name = version.get("name") or ""
        faults.label_name(f"spec.versions[{position}].name", name)
        if name in seen:
            faults.invalid("spec.versions", name, "must contain unique version names")
        seen.add(name)
    if versions and sum(bool(version.get("storage")) for version in versions) != 1:
        faults.invalid("spec.versions", versions, "must have exactly one version marked as storage version")


def _check_conversion(spec: Obj, versions: list[Obj], faults: Faults) -> None:
    """The lab converts nothing: webhooks are only taken where there is nothing to convert."""
    conversion = spec.get("conversion") or {}
    strategy = conversion.get("strategy")
    if strategy not in ("None", "Webhook"):
        faults.unsupported("spec.conversion.strategy", strategy or "", ("None", "Webhook"))
    elif strategy == "Webhook" and not conversion.get("webhook"):
        faults.required("spec.conversion.webhook", "required when strategy is set to Webhook")
    elif strategy == "Webhook" and sum(bool(version.get("served")) for version in versions) > 1:
        faults.forbidden("spec.conversion.strategy", "this lab calls no conversion webhooks; serve one version, or use strategy None")


def _check_version(version: Obj, where: str, several: bool, faults: Faults) -> None:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        faults.required(f"{where}.schema.openAPIV3Schema")
    else:
        _check_schema(schema, f"{where}.schema.openAPIV3Schema" if several else "spec.validation.openAPIV3Schema", faults)
    above = where if several else "spec"
    _check_columns(version.get("additionalPrinterColumns") or [], f"{above}.additionalPrinterColumns", faults)
    _check_scale((version.get("subresources") or {}).get("scale"), f"{above}.subresources.scale", faults)
    fields = version.get("selectableFields") or []
    if fields and schema is None:
        faults.invalid(f"{above}.selectableFields", "", "may only be set when validations.schema is included")
        return
    for position, field in enumerate(fields):
        path = field.get("jsonPath") or ""
        if not _SIMPLE_PATH.fullmatch(path) or not _leads_to_a_value(schema or {}, path):
            faults.invalid(f"{above}.selectableFields[{position}].jsonPath", path, "is an invalid path: does not refer to a valid field")


def _leads_to_a_value(schema: Obj, path: str) -> bool:
    for name in path.removeprefix(".").split("."):
        below = (schema.get("properties") or {}).get(name)
        if not isinstance(below, dict):
            return False
        schema = below
    return schema.get("type") in ("string", "integer", "boolean")


def _check_schema(schema: Obj, root: str, faults: Faults) -> None:
    """Whether it is structural: every value has a type, every list an item. What is wrong at the root itself is told last."""
    _check_types(schema)
    below, above = Faults(), Faults()
    for one, path in walk(schema, root):
        _check_node(one, path, path == root, above if path == root else below)
    faults.found += below.found + above.found


_BOOL, _NUMBER, _TEXT, _LIST, _MAP = (bool,), (int, float), (str,), (list,), (dict,)
_GO_TYPES: dict[tuple[type, ...], str] = {_BOOL: "bool", _NUMBER: "float64", _TEXT: "string", _LIST: "[]string", _MAP: "JSONSchemaProps"}
_FIELDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("type", "format", "pattern", "title", "description", "$ref", "x-kubernetes-list-type", "x-kubernetes-map-type"), _TEXT),
    **dict.fromkeys(("nullable", "uniqueItems", "exclusiveMinimum", "exclusiveMaximum", "x-kubernetes-int-or-string"), _BOOL),
    **dict.fromkeys(("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"), _BOOL),
    **dict.fromkeys(("minimum", "maximum", "multipleOf", "minLength", "maxLength"), _NUMBER),
    **dict.fromkeys(("minItems", "maxItems", "minProperties", "maxProperties"), _NUMBER),
    **dict.fromkeys(("required", "enum", "allOf", "anyOf", "oneOf", "x-kubernetes-list-map-keys", "x-kubernetes-validations"), _LIST),
    **dict.fromkeys(("properties", "items", "not"), _MAP),
    "additionalProperties": (bool, dict),
}


def _check_types(schema: Any) -> None:
    """400 for a schema whose own fields are of wrong types: nothing can be said of such a one."""
    if not isinstance(schema, dict):
        raise _unreadable(schema, "JSONSchemaProps", "JSONSchemaProps")
    for key, kinds in _FIELDS.items():
        value = schema.get(key)
        if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            raise _unreadable(value, key, _GO_TYPES.get(kinds, "JSONSchemaPropsOrBool"))
    for key in ("required", "x-kubernetes-list-map-keys"):
        for item in schema.get(key) or ():
            if not isinstance(item, str):
                raise _unreadable(item, key, "string")
    for rule in schema.get("x-kubernetes-validations") or ():
        if not isinstance(rule, dict) or any(not isinstance(value, str | bool) for value in rule.values()):
            raise _unreadable(rule, "x-kubernetes-validations", "ValidationRule")
        if not isinstance(rule.get("rule", ""), str) or not isinstance(rule.get("messageExpression", ""), str):
            raise _unreadable(rule, "x-kubernetes-validations", "ValidationRule")
    inner = [*(schema.get("properties") or {}).values(), *(one for key in ("allOf", "anyOf", "oneOf") for one in schema.get(key) or ())]
    inner += [schema[key] for key in ("items", "not", "additionalProperties") if schema.get(key) is not None and not isinstance(schema[key], bool)]
    for one in inner:
        _check_types(one)


def _unreadable(value: Any, field: str, wanted: str) -> ApiError:
    why = f"json: cannot unmarshal {json_kind(value)} into Go struct field JSONSchemaProps.{field} of type {wanted}"
    name = "CustomResourceDefinition"
    return bad_request(f'{name} in version "v1" cannot be handled as a {name}: {why}')


def _check_node(schema: Obj, path: str, root: bool, faults: Faults) -> None:
    kind = schema.get("type") or ""
    free = schema.get("x-kubernetes-int-or-string") or (schema.get("x-kubernetes-preserve-unknown-fields") and not root)
    if not kind and not free:
        why = "must not be empty at the root" if root else _why_typed(path)
        faults.required(f"{path}.type", why)
    elif kind and kind not in _TYPES:
        faults.unsupported(f"{path}.type", kind, _TYPES)
    elif root and kind != "object":
        faults.invalid(f"{path}.type", kind, "must be object at the root")
    if kind == "array" and not isinstance(schema.get("items"), dict):
        faults.required(f"{path}.items", "must be specified")
    if schema.get("properties") and schema.get("additionalProperties") not in (None, False):
        faults.forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if schema.get("x-kubernetes-list-type") == "map" and not schema.get("x-kubernetes-list-map-keys"):
        faults.required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
    if schema.get("$ref"):
        faults.forbidden(f"{path}.$ref", "$ref is not supported")
    for position, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        if why_not := check_rule(rule):
            faults.invalid(f"{path}.x-kubernetes-validations[{position}].rule", rule.get("rule", ""), why_not)


def _why_typed(path: str) -> str:
    return "must not be empty for specified array items" if path.endswith(".items") else "must not be empty for specified object fields"


def _check_columns(columns: list[Obj], where: str, faults: Faults) -> None:
    for position, column in enumerate(columns):
        at = f"{where}[{position}]"
        if not column.get("name"):
            faults.required(f"{at}.name")
        if not column.get("type"):
            faults.required(f"{at}.type", f"must be one of {','.join(_COLUMN_TYPES)}")
        elif column["type"] not in _COLUMN_TYPES:
            faults.invalid(f"{at}.type", column["type"], f"must be one of {','.join(_COLUMN_TYPES)}")
        _check_path(column.get("jsonPath") or "", f"{at}.JSONPath", faults)


def _check_path(path: str, where: str, faults: Faults) -> None:
    if not path:
        faults.required(where)
        return
    try:
        steps(path)
    except ValueError as error:
        faults.invalid(where, path, str(error))


def _check_scale(scale: Obj | None, where: str, faults: Faults) -> None:
    if scale is None:
        return
    for key, above in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status."), ("labelSelectorPath", "")):
        path = scale.get(key) or ""
        if not path:
            if above:
                faults.required(f"{where}.{key}")
        elif not _SIMPLE_PATH.fullmatch(path):
            faults.invalid(f"{where}.{key}", path, "should be a json path without array notation")
        elif above and not path.startswith(above):
            faults.invalid(f"{where}.{key}", path, f"should be a json path under {above[:-1]}")
