"""What the API server has to know of a kind of object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, eq=False)
class Kind:
    """One resource of one group version, and how it differs from the plain case. Compared by identity: there is one object per row."""

    group: str  # "" is the core group
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    singular: str = ""  # "" is the kind in lower case
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    status: bool = False  # has a status subresource: the main path ignores status
    scale: bool = False
    subresources: tuple[str, ...] = ()  # besides status and scale
    # What makes metadata.generation grow: nothing, a changed spec, a changed spec or annotations, anything but metadata and status.
    generation: Literal["never", "spec", "spec+annotations", "all"] = "never"
    # Whether DELETE answers the object itself rather than a Status.
    delete_answers_object: bool = False
    # Field selectors beyond metadata.name and metadata.namespace.
    selectable: tuple[str, ...] = ()
    storage_version_hash: str = ""
    # The api version under which objects are kept, when the same objects are served in two.
    stored_as: str = ""
    custom: bool = False  # defined by a CustomResourceDefinition

    @property
    def api_version(self) -> str:
        """`v1`, `apps/v1`: as it stands in an object."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """`configmaps`, `deployments.apps`: as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified(self) -> str:
        """`ConfigMap`, `Deployment.apps`: as messages about an invalid object name it."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def list_kind(self) -> str:
        """`PodList`."""
        return f"{self.kind}List"

    @property
    def stored(self) -> bool:
        """Whether objects of this kind are kept at all (reviews and bindings are not)."""
        return "get" in self.verbs
