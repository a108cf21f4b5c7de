"""Ephemeral volumes: a claim for each, made for its pod and owned by it."""

from __future__ import annotations

from typing import Any

from lab.controllers.controller import Controller, Key, key_of
from lab.controllers.events import Recorder
from lab.controllers.objects import controller_reference, is_deleting, is_finished, uid_of
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import POD, PVC
from lab.kubernetes.registry import Registry
from lab.kubernetes.store import Event

Obj = dict[str, Any]


class EphemeralVolumeController(Controller):
    """Makes the claims that pods carry as templates; the garbage collector takes them away with the pod."""

    watches = (POD,)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._recorder = Recorder(registry, "ephemeral_volume")

    def on_event(self, event: Event) -> None:
        """New pods with such volumes."""
        if event.type == "ADDED" and any("ephemeral" in volume for volume in event.object["spec"].get("volumes") or ()):
            self.queue.add(key_of(event.object))

    def sync(self, key: Key) -> None:
        """Make the claims of one pod."""
        pod = self.registry.find(POD, *key)
        if pod is None or is_deleting(pod) or is_finished(pod):
            return
        for volume in pod["spec"].get("volumes") or ():
            if "ephemeral" in volume:
                self._make_claim(pod, volume)

    def _make_claim(self, pod: Obj, volume: Obj) -> None:
        namespace, name = key_of(pod)
        claim_name = f"{name}-{volume['name']}"
        there = self.registry.find(PVC, namespace, claim_name)
        if there is not None:
            if any(owner["uid"] == uid_of(pod) for owner in there["metadata"].get("ownerReferences") or ()):
                return
            message = f'PVC "{namespace}/{claim_name}" was not created for pod "{namespace}/{name}" (pod is not owner)'
            self._recorder.event(pod, "Warning", "EphemeralVolumeConflict", message)
            return
        template = volume["ephemeral"]["volumeClaimTemplate"]
        meta = template.get("metadata") or {}
        copied = {part: meta[part] for part in ("labels", "annotations") if meta.get(part)}
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": claim_name, "namespace": namespace, **copied, "ownerReferences": [controller_reference(POD, pod)]},
            "spec": template["spec"],
        }
        try:
            self.registry.create(PVC, claim, namespace)
        except ApiError as error:
            message = f"ephemeral volume controller failed to create PVC: {error.message}"
            self._recorder.event(pod, "Warning", "FailedEphemeralVolumeClaim", message)
            raise
