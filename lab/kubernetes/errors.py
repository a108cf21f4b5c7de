"""What the API server answers when it refuses: `Status` bodies, as recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.kubernetes.kind import Kind

Obj = dict[str, Any]


@dataclass(frozen=True)
class FieldError:
    """One fault in one field, as it stands in `details.causes` of a 422."""

    reason: str  # FieldValueRequired | FieldValueInvalid | FieldValueNotSupported | FieldValueForbidden | FieldValueDuplicate | FieldValueTooLong ...
    message: str  # without the field's path: 'Required value', 'Invalid value: "x": must ...'
    field: str


@dataclass
class ApiError(Exception):
    """A refused request. `body` is the whole Status; helpers below make the usual ones."""

    code: int
    message: str
    reason: str | None = None
    details: Obj | None = None
    headers: dict[str, str] = field(default_factory=dict)
    text: str | None = None  # some errors are sent as text/plain instead of a Status

    def __str__(self) -> str:
        return f"{self.code} {self.reason}: {self.message}"

    @property
    def body(self) -> Obj:
        """The Status object as clients get it."""
        status: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message}
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status


def _details(kind: Kind, name: str, by_kind: bool = False) -> Obj:
    """`details` of the usual refusals: the plural resource, or the Kind, and the group unless it is the core one."""
    details: Obj = {"name": name} if name else {}
    if kind.group:
        details["group"] = kind.group
    details["kind"] = kind.kind if by_kind else kind.plural
    return details


def not_found(kind: Kind, name: str) -> ApiError:
    """404: no such object."""
    return ApiError(404, f'{kind.resource} "{name}" not found', "NotFound", _details(kind, name))


def no_such_resource() -> ApiError:
    """404: the group version is served, the resource is not."""
    return ApiError(404, "the server could not find the requested resource", "NotFound", {})


def no_such_path() -> ApiError:
    """404 as plain text: nothing at all is served there."""
    return ApiError(404, "404 page not found", "NotFound", text="404 page not found\n")


def already_exists(kind: Kind, name: str, why: str = "") -> ApiError:
    """409: the name is taken."""
    return ApiError(409, why or f'{kind.resource} "{name}" already exists', "AlreadyExists", _details(kind, name))


STALE = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(kind: Kind, name: str, why: str = STALE, by_kind: bool = False) -> ApiError:
    """409: written by somebody else in between, or a precondition that does not hold."""
    resource = kind.qualified if by_kind else kind.resource
    return ApiError(409, f'Operation cannot be fulfilled on {resource} "{name}": {why}', "Conflict", _details(kind, name, by_kind))


def invalid(kind: Kind, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422: fields are wrong, all of them named."""
    return invalid_as(kind.qualified, kind.group, kind.kind, name, errors)


def invalid_as(qualified: str, group: str, kind: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422 for what has no row in the table: options, reviews."""
    texts = list(dict.fromkeys(f"{error.field}: {error.message}" for error in errors))
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details: Obj = {"name": name} if name else {}
    if group:
        details["group"] = group
    details["kind"] = kind
    details["causes"] = [{"reason": error.reason, "message": error.message, "field": error.field} for error in errors]
    return ApiError(422, f'{qualified} "{name}" is invalid: {text}', "Invalid", details)


def forbidden(kind: Kind, name: str, why: str) -> ApiError:
    """403: admission says no."""
    named = f' "{name}"' if name else ""
    return ApiError(403, f"{kind.resource}{named} is forbidden: {why}", "Forbidden", _details(kind, name))


def bad_request(message: str) -> ApiError:
    """400: the request cannot be understood."""
    return ApiError(400, message, "BadRequest")


def method_not_allowed() -> ApiError:
    """405: the path exists, the method is not for it."""
    return ApiError(405, "the server does not allow this method on the requested resource", "MethodNotAllowed", {})


def expired(message: str) -> ApiError:
    """410: the history asked for is gone."""
    return ApiError(410, message, "Expired")
