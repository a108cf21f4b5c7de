"""What the API server has to know of a kind of object."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lab.kubernetes.custom.definition import Definition

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(eq=False)
class Kind:
    """One resource of one group version, and how it differs from the plain case. Compared by identity: there is one object per row.

    Rows of built-in kinds never change. Those of custom kinds follow their definition, in place: objects, watches and history hang on the row.
    """

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
    listed_as: str = ""  # the kind of its lists, where that is not the kind with List behind it
    definition: Definition | None = None  # what the CustomResourceDefinition says of a custom kind

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
        return self.listed_as or f"{self.kind}List"

    @property
    def stored(self) -> bool:
        """Whether objects of this kind are kept at all (reviews and bindings are not)."""
        return "get" in self.verbs

    def become(self, other: Kind) -> None:
        """Take over everything from a newer row for the same objects."""
        for one in fields(self):
            setattr(self, one.name, getattr(other, one.name))


def version_order(version: str) -> tuple[int, int, int, str]:
    """Versions as Kubernetes orders them: v2, v1, v1beta2, v1alpha1, then everything else by name."""
    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if not match:
        return 3, 0, 0, version
    major, stage, minor = match.groups()
    return {None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0), version
