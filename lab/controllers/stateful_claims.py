"""The claims of a stateful set's pods: made before the pod, and owned as the retention policy says."""

from __future__ import annotations

from typing import Any

from lab.controllers.controller import key_of
from lab.controllers.events import Recorder
from lab.controllers.objects import controller_reference, is_deleting, uid_of
from lab.controllers.stateful_pods import claim_name, claim_templates, new_claim, retention
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import POD, PVC, STATEFUL_SET
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]


class Claims:
    """Works for the stateful set controller."""

    def __init__(self, registry: Registry, recorder: Recorder) -> None:
        self._registry = registry
        self._recorder = recorder

    def create(self, stateful_set: Obj, pod_name: str) -> None:
        """What is missing of a pod's claims; ApiError when one cannot be had."""
        namespace, name = key_of(stateful_set)
        for template in claim_templates(stateful_set):
            called = claim_name(template, pod_name)
            there = self._registry.find(PVC, namespace, called)
            if there is not None and is_deleting(there):
                raise ApiError(500, f"pvc {called} is being deleted")
            if there is not None:
                continue
            body = new_claim(stateful_set, template, pod_name)
            if owners := self._owners(stateful_set, None, condemned=False):
                body["metadata"]["ownerReferences"] = owners
            try:
                self._registry.create(PVC, body, namespace)
            except ApiError as error:
                message = f"Create Claim {called} for Pod {pod_name} in StatefulSet {name} failed error: {error.message}"
                self._recorder.event(stateful_set, "Warning", "FailedCreate", message)
                raise
            message = f"Create Claim {called} Pod {pod_name} in StatefulSet {name} success"
            self._recorder.event(stateful_set, "Normal", "SuccessfulCreate", message)

    def keep(self, stateful_set: Obj, pod: Obj, condemned: bool) -> bool:
        """Sets the owners of a pod's claims right; says whether that changed anything."""
        changed = False
        for template in claim_templates(stateful_set):
            there = self._registry.find(PVC, key_of(pod)[0], claim_name(template, pod["metadata"]["name"]))
            if there is None:
                continue
            ours = {uid_of(stateful_set), uid_of(pod)}
            before = there["metadata"].get("ownerReferences") or []
            after = [one for one in before if one["uid"] not in ours] + self._owners(stateful_set, pod, condemned)
            if {one["uid"] for one in before} != {one["uid"] for one in after}:
                self._registry.modify(PVC, *key_of(there), lambda claim, after=after: _own(claim, after))  # type: ignore[misc]
                changed = True
        return changed

    @staticmethod
    def _owners(stateful_set: Obj, pod: Obj | None, condemned: bool) -> list[Obj]:
        with_set, with_pod = retention(stateful_set, condemned)
        if with_set:
            return [controller_reference(STATEFUL_SET, stateful_set)]
        return [controller_reference(POD, pod)] if with_pod and pod is not None else []


def _own(claim: Obj, owners: list[Obj]) -> None:
    claim["metadata"].pop("ownerReferences", None)
    if owners:
        claim["metadata"]["ownerReferences"] = owners
