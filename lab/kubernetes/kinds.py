"""Every kind the lab serves, a table row each: what a further kind needs is a further row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Kind:
    """One resource of one group version, and how it differs from the plain case."""

    group: str  # "" is the core group
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    status: bool = False  # has a status subresource: the main path ignores status
    scale: bool = False
    subresources: tuple[str, ...] = ()  # besides status and scale
    # What makes metadata.generation grow: nothing, a changed spec, a changed spec or annotations.
    generation: Literal["never", "spec", "spec+annotations"] = "never"
    # Whether DELETE answers the object itself rather than a Status.
    delete_answers_object: bool = False
    # Field selectors beyond metadata.name and metadata.namespace.
    selectable: tuple[str, ...] = ()
    storage_version_hash: str = ""

    @property
    def api_version(self) -> str:
        """`v1`, `apps/v1`: as it stands in an object."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """`configmaps`, `deployments.apps`: as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def list_kind(self) -> str:
        """`PodList`."""
        return f"{self.kind}List"
