"""The pure rules about objects that the registry calls: defaults, validation, managed fields."""

from __future__ import annotations

from lab.kubernetes.apply import track_update
from lab.kubernetes.defaults import apply_defaults, apply_status_defaults, prepare_create
from lab.kubernetes.validation import check_create, check_update

__all__ = ["apply_defaults", "apply_status_defaults", "check_create", "check_update", "prepare_create", "track_update"]
