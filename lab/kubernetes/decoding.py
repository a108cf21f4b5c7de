"""From a request's body to an object: types checked, unknown fields dropped and reported, values in the server's own form.

Refusals have the texts of the API server's Go decoder, which clients show to people.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from lab.kubernetes import quantity
from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.gotext import json_kind, quoted
from lab.kubernetes.kind import Kind
from lab.kubernetes.schema import ANY, Node, open_root, root

Obj = dict[str, Any]

# Empty lists that are written out; all other empty lists and maps are as good as absent.
KEEP_EMPTY = {("rbac.v1.Role", "rules"), ("rbac.v1.ClusterRole", "rules"), ("discovery.v1.EndpointSlice", "endpoints")}
# Fields whose zero value means the same as their absence, so that the server drops it (Go: omitempty without a pointer).
DROP_ZERO = {
    "hostNetwork", "hostPID", "hostIPC", "readOnly", "stdin", "stdinOnce", "tty", "paused", "publishNotReadyAddresses", "unschedulable",
    "globalDefault", "minReadySeconds", "hostPort", "nodePort", "initialDelaySeconds", "healthCheckNodePort", "clusterIP", "loadBalancerIP",
    "externalName", "nodeName", "hostname", "subdomain", "schedulerName", "priorityClassName", "serviceAccountName", "serviceAccount",
    "workingDir", "generateName", "namespace", "selfLink", "volumeName", "subPath", "restartPolicy", "dnsPolicy", "imagePullPolicy",
    "terminationMessagePath", "terminationMessagePolicy", "sessionAffinity", "externalTrafficPolicy",
}  # fmt: skip
DROP_EMPTY_VALUE = {("core.v1.EnvVar", "value"), ("core.v1.Toleration", "value"), ("core.v1.EmptyDirVolumeSource", "medium")}


class _Reader:
    """Walks one body; collects unknown fields on the way."""

    def __init__(self) -> None:
        self.unknown: list[str] = []

    def struct(self, node: Node, value: Any, names: str, path: str, owner: str) -> Obj:
        if not isinstance(value, dict):
            raise _mismatch(value, owner, names, node.go_type)
        name = node.struct.rsplit(".", 1)[-1]
        result: Obj = {}
        for key, entry in value.items():
            below = node.fields.get(key)
            where = f"{path}.{key}" if path else key
            if below is None:
                if node.open:
                    result[key] = entry
                else:
                    self.unknown.append(f'unknown field "{where}"')
            elif entry is not None:
                read = self.value(below, entry, f"{names}.{key}" if names else key, where, name)
                if not _as_good_as_absent(node, key, below, read):
                    result[key] = read
        return result

    def value(self, node: Node, value: Any, names: str, path: str, owner: str) -> Any:
        if node.shape == "struct":
            return self.struct(node, value, names, path, owner)
        if node.shape == "map":
            if not isinstance(value, dict):
                raise _mismatch(value, owner, names, node.go_type)
            element = node.element or ANY
            zero: Any = "" if element.scalar in ("string", "bytes") else None
            return {key: zero if item is None else self.value(element, item, names, f"{path}.{key}", owner) for key, item in value.items()}
        if node.shape == "list":
            if not isinstance(value, list):
                raise _mismatch(value, owner, names, node.go_type)
            element = node.element or ANY
            return [self.value(element, item, names, f"{path}[{i}]", owner) for i, item in enumerate(value) if item is not None]
        return value if node.shape == "any" else _scalar(node, value, names, owner)


def _as_good_as_absent(node: Node, key: str, below: Node, value: Any) -> bool:
    if value or below.shape in ("struct", "any"):
        return False
    if below.shape in ("list", "map"):
        return (node.struct, key) not in KEEP_EMPTY
    return key in DROP_ZERO or (node.struct, key) in DROP_EMPTY_VALUE


def _mismatch(value: Any, owner: str, names: str, wanted: str) -> ValueError:
    field = f"Go struct field {owner}.{names}" if names else "Go value"
    got = f"number {value}" if isinstance(value, float) and wanted.startswith("int") else json_kind(value)
    return ValueError(f"json: cannot unmarshal {got} into {field} of type {wanted}")


_INTEGERS = {"int32": 2**31, "int64": 2**63}


def _scalar(node: Node, value: Any, names: str, owner: str) -> Any:
    kind = node.scalar
    if kind == "quantity":
        return _quantity(value)
    if kind in _LAYOUTS:
        return _time(value, kind)
    if kind == "bytes":
        _check_base64(value, owner, names)
    elif kind in _INTEGERS:
        _check_integer(value, kind, owner, names)
    elif isinstance(value, bool) != (kind == "bool") or not isinstance(value, _PYTHON[kind]):
        raise _mismatch(value, owner, names, node.go_type)
    return value


_PYTHON: dict[str, tuple[type, ...]] = {"string": (str,), "bool": (bool,), "double": (int, float), "intorstring": (str, int)}


def _quantity(value: Any) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ValueError(quantity.WRONG_FORMAT)
    return quantity.canonical(value)


def _check_integer(value: Any, kind: str, owner: str, names: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mismatch(value, owner, names, kind)
    if not -_INTEGERS[kind] <= value < _INTEGERS[kind]:
        raise ValueError(f"json: cannot unmarshal number {value} into Go struct field {owner}.{names} of type {kind}")


def _check_base64(value: Any, owner: str, names: str) -> None:
    if not isinstance(value, str):
        raise _mismatch(value, owner, names, "[]uint8")
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        match = re.match(r"[A-Za-z0-9+/]*", value)
        position = len(match[0]) if match else 0
        raise ValueError(f"illegal base64 data at input byte {position if position < len(value) else position - position % 4}") from None


_LAYOUTS = {"time": "2006-01-02T15:04:05Z07:00", "microtime": "2006-01-02T15:04:05.000000Z07:00"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d")
_ZONE = re.compile(r"Z|[+-]\d\d:\d\d")


def _time(value: Any, kind: str) -> str:
    """A time in UTC: whole seconds, or exactly six decimals for a MicroTime."""
    if not isinstance(value, str):
        raise ValueError(f"json: cannot unmarshal {json_kind(value)} into Go value of type string")
    layout = _LAYOUTS[kind]
    date = _DATE.match(value)
    if not date:
        raise ValueError(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"')
    rest = value[date.end() :]
    fraction = re.match(r"\.\d{6}(?!\d)" if kind == "microtime" else r"(\.\d+)?", rest)
    if not fraction:
        raise ValueError(f'parsing time "{value}" as "{layout}": cannot parse "{rest}" as ".000000"')
    zone = rest[fraction.end() :]
    if not _ZONE.fullmatch(zone):
        raise ValueError(f'parsing time "{value}" as "{layout}": cannot parse "{zone}" as "Z07:00"')
    moment = datetime.fromisoformat(date[0] + fraction[0][:7] + ("+00:00" if zone == "Z" else zone)).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S" + (".%fZ" if kind == "microtime" else "Z"))


def read(kind: Kind, body: Obj) -> tuple[Obj, list[str]]:
    """The object in the server's form and its unknown fields; ValueError with the decoder's text when a type is wrong."""
    reader = _Reader()
    result = reader.struct(open_root(kind) if kind.custom else root(kind), body, "", "", kind.kind)
    return result, reader.unknown


def decode_patched(kind: Kind, patched: Obj, shown: Callable[[], str], field_validation: str = "Ignore") -> tuple[Obj, list[str]]:
    """An object that a patch has made, and the warnings; faults are 422 here. `shown`: the text that stands for the patch in the refusal."""
    try:
        obj, unknown = _settled(kind, patched)
    except ValueError as error:
        raise _bad_patch(shown(), str(error)) from None
    if field_validation == "Strict" and unknown:
        raise _bad_patch(shown(), f"strict decoding error: {', '.join(unknown)}")
    twice = single_owners(obj)
    return obj, twice if field_validation == "Ignore" else unknown + twice


def _settled(kind: Kind, patched: Obj) -> tuple[Obj, list[str]]:
    if not kind.custom:
        return read(kind, patched)
    from lab.kubernetes.custom.reading import settle

    return settle(kind, patched)


def _bad_patch(shown: str, why: str) -> ApiError:
    message = f"Invalid value: {quoted(shown)}: {why}"
    causes = [{"reason": "FieldValueInvalid", "message": message, "field": "patch"}]
    return ApiError(422, f' "" is invalid: patch: {message}', "Invalid", {"causes": causes})


def decode(kind: Kind, body: Any, field_validation: str = "Ignore", duplicates: list[str] | None = None) -> tuple[Obj, list[str]]:
    """An object from the parsed body of a create or replace, and the warnings for the client. `duplicates`: what `doubled` found.

    ApiError 400 for another kind, wrong types, and, with field validation Strict, unknown or doubled fields.
    """
    _check_kind(kind, body)
    try:
        obj, unknown = read(kind, body)
    except ValueError as error:
        raise unreadable(kind, kind.kind, kind.version, str(error)) from None
    faults = [*(duplicates or ()), *unknown]
    twice = single_owners(obj)
    if field_validation == "Ignore":
        return obj, twice
    if field_validation == "Strict" and faults:
        raise unreadable(kind, kind.kind, kind.version, f"strict decoding error: {', '.join(faults)}")
    return obj, faults + twice


def single_owners(obj: Obj) -> list[str]:
    """Take out owners that are there twice, in place; gives the warning."""
    meta = obj.get("metadata") or {}
    owners = meta.get("ownerReferences") or []
    single = [owner for i, owner in enumerate(owners) if owner not in owners[:i]]
    if len(single) == len(owners):
        return []
    meta["ownerReferences"] = single
    uids = ", ".join(dict.fromkeys(str(owner.get("uid", "")) for i, owner in enumerate(owners) if owner in owners[:i]))
    text = "API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests"
    return [f".metadata.ownerReferences contains duplicate entries; {text}; duplicate UID(s) observed: {uids}"]


def unreadable(kind: Kind, name: str, version: str, why: str) -> ApiError:
    """400: a body that is no object of its kind."""
    return bad_request(f'{name} in version "{version}" cannot be handled as a {kind.kind}: {why}')


def _check_kind(kind: Kind, body: Obj) -> None:
    """A body may leave kind and apiVersion out (built-in kinds only); if they are there, they must be right."""
    from lab.kubernetes.kinds import Kinds

    api_version, name = body.get("apiVersion") or kind.api_version, body.get("kind") or kind.kind
    if (api_version, name) == (kind.api_version, kind.kind):
        return
    version = api_version.rpartition("/")[2] if isinstance(api_version, str) else str(api_version)
    other = Kinds.default().by_kind(api_version, name) if isinstance(api_version, str) and isinstance(name, str) else None
    if other is None:
        scheme = 'in scheme "pkg/api/legacyscheme/scheme.go:30"'
        raise unreadable(kind, name, version, f'no kind "{name}" is registered for version "{api_version}" {scheme}')
    source, target = f"{version}.{name}", f"{(kind.group or 'core').partition('.')[0]}.{kind.kind}"
    raise unreadable(kind, name, version, f"converting ({source}) to ({target}): unknown conversion")
