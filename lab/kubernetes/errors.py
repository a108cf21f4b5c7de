"""What the API server answers when it refuses: `Status` bodies, as recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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
