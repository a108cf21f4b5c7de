"""What admission and the kinds' own strategies add to a write, or refuse: they look at other objects, so they are no pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.kubernetes import limit_ranges, pod_admission, pod_security, quota
from lab.kubernetes.allocation import ServiceAllocator
from lab.kubernetes.context import Context
from lab.kubernetes.errors import ApiError, forbidden, not_found
from lab.kubernetes.kinds import (
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    JOB,
    NAMESPACE,
    POD,
    PVC,
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    RESOURCE_QUOTA,
    SERVICE,
    STATEFUL_SET,
    STORAGE_CLASS,
    Kind,
)

if TYPE_CHECKING:
    from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

# Reviews are answered, not kept: they may name a namespace that is going.
_ALLOWED_IN_TERMINATING = ("LocalSubjectAccessReview",)


class Admission:
    """The chain of checks around every write."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.services = ServiceAllocator(registry)

    def check_namespace(self, kind: Kind, obj: Obj, namespace: str, ctx: Context) -> None:
        """Nothing is made in a namespace that is not there (404) or on its way out (403)."""
        if not kind.namespaced:
            return
        found = self._registry.find(NAMESPACE, "", namespace)
        if found is None:
            raise not_found(NAMESPACE, namespace)
        if found["metadata"].get("deletionTimestamp") and kind.kind not in _ALLOWED_IN_TERMINATING:
            raise self._terminating(kind, obj["metadata"].get("name", ""), namespace)

    @staticmethod
    def _terminating(kind: Kind, name: str, namespace: str) -> ApiError:
        error = forbidden(kind, name, f"unable to create new content in namespace {namespace} because it is being terminated")
        cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated", "field": "metadata.namespace"}
        error.details = {**(error.details or {}), "causes": [cause]}
        return error

    def mutate(self, kind: Kind, obj: Obj, ctx: Context) -> None:
        """Add to a new object what depends on the cluster."""
        if kind.definition is not None and kind.definition.terminating:
            raise forbidden(kind, obj["metadata"].get("name", ""), "create not allowed while custom resource definition is terminating")
        if kind is NAMESPACE:
            _name_label(obj)
        elif kind is POD:
            pod_admission.admit(self._registry, obj)
        elif kind is PVC and "storageClassName" not in obj.get("spec", {}):
            self._default_storage_class(obj)

    def mutate_update(self, kind: Kind, old: Obj, new: Obj, ctx: Context) -> None:
        """Add to a changed object what depends on the cluster."""
        if kind is NAMESPACE:
            _name_label(new)
        elif kind is POD:
            pod_admission.add_tolerations(new)

    def keep(self, kind: Kind, old: Obj, new: Obj) -> None:
        """Take over from the old object what the server alone decides."""
        if kind is SERVICE:
            self.services.keep(old, new)
        elif kind is DAEMON_SET:
            _count_template(old, new)

    def check_create(self, kind: Kind, obj: Obj, ctx: Context) -> None:
        """Complete or refuse a new, valid object: addresses, limits, quota."""
        if kind is SERVICE:
            self.services.allocate(obj, ctx.dry_run)
        elif kind in (POD, PVC):
            limit_ranges.check(self._registry, kind, obj)
        self._check_pod_security(kind, obj, ctx)
        quota.check(self._registry, kind, obj)

    def check_update(self, kind: Kind, old: Obj, new: Obj, ctx: Context) -> None:
        """Complete or refuse a changed, valid object."""
        if kind is SERVICE:
            self.services.allocate(new, ctx.dry_run)

    def _check_pod_security(self, kind: Kind, obj: Obj, ctx: Context) -> None:
        """403 for a Pod that its namespace does not want; a warning for what would make such Pods."""
        spec = pod_spec(kind, obj)
        namespace = self._registry.find(NAMESPACE, "", obj["metadata"].get("namespace", "")) if spec is not None else None
        if spec is None or namespace is None:
            return
        level, version = pod_security.level_of(namespace, "enforce")
        if kind is POD and (text := pod_security.violations(level, spec)):
            raise forbidden(kind, obj["metadata"].get("name", ""), f'violates PodSecurity "{level}:{version}": {text}')
        level, version = pod_security.level_of(namespace, "warn")
        if text := pod_security.violations(level, spec):
            ctx.warn(f'would violate PodSecurity "{level}:{version}": {text}')

    def settled(self, kind: Kind, namespace: str) -> None:
        """After a write or a removal: quotas show what is used now."""
        if namespace and self._registry.store.count(RESOURCE_QUOTA, namespace):
            quota.refresh(self._registry, namespace)

    def _default_storage_class(self, claim: Obj) -> None:
        """A claim that names no class gets the default one; the newest when there are several."""
        classes = [one for one in self._registry.list(STORAGE_CLASS) if (one["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"]
        if classes:
            newest = max(classes, key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"]))
            claim.setdefault("spec", {})["storageClassName"] = newest["metadata"]["name"]


_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def _name_label(namespace: Obj) -> None:
    labels = namespace["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = namespace["metadata"].get("name", "")


def _count_template(old: Obj, new: Obj) -> None:
    """A DaemonSet's template is numbered, in an annotation, since before there were revisions."""
    notes = new["metadata"].setdefault("annotations", {})
    number = int((old["metadata"].get("annotations") or {}).get(_TEMPLATE_GENERATION, "1"))
    notes[_TEMPLATE_GENERATION] = str(number + (old["spec"].get("template") != new["spec"].get("template")))


def pod_spec(kind: Kind, obj: Obj) -> Obj | None:
    """The Pod that an object is, or makes."""
    spec: Obj = obj.get("spec") or {}
    if kind is POD:
        return spec
    if kind is CRON_JOB:
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    template = spec.get("template") if kind in _WORKLOADS else None
    return (template.get("spec") or {}) if isinstance(template, dict) else None


_WORKLOADS = (DEPLOYMENT, REPLICA_SET, STATEFUL_SET, DAEMON_SET, JOB, CRON_JOB, REPLICATION_CONTROLLER)
