"""Persistent volumes: binding claims to them, making them for claims of the lab's own storage class, and keeping both while they are in use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.controllers.controller import Controller, Key, key_of
from lab.controllers.events import Recorder
from lab.controllers.objects import is_deleting
from lab.controllers.volume_match import best_volume, claims_of, is_bound, volume_for
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import POD, PV, PVC, STORAGE_CLASS
from lab.kubernetes.registry import Registry
from lab.kubernetes.store import Event

Obj = dict[str, Any]

PROVISIONER = "lab.cosmodrome.dev/directory"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
_COMPLETED = "pv.kubernetes.io/bind-completed"
_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_PROVISIONER_NOTES = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")
_PVC_FINALIZER = "kubernetes.io/pvc-protection"
_PV_FINALIZER = "kubernetes.io/pv-protection"


def standard_storage_class(name: str = "standard") -> Obj:
    """A default storage class whose volumes the lab makes, with the rules of GKE's standard-rwo: a volume is made when its first pod is scheduled."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }


class VolumeController(Controller):
    """Keys are claims (namespace, name) and volumes ("", name)."""

    watches = (PVC, PV, STORAGE_CLASS)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._recorder = Recorder(registry, "persistentvolume-controller")
        self._provisioner = Recorder(registry, PROVISIONER)
        self._unbound = self.index(PVC, lambda claim: () if is_bound(claim) else (claim["spec"].get("storageClassName", ""),))

    def on_event(self, event: Event) -> None:
        """A claim, a volume (and claims that may want it), a class."""
        if event.kind is STORAGE_CLASS:
            self._wake_claims(event.object["metadata"]["name"])
            return
        self.queue.add(key_of(event.object))
        if event.kind is PVC:
            if name := event.object["spec"].get("volumeName"):
                self.queue.add(("", name))
            return
        claim = event.object["spec"].get("claimRef")
        if claim:
            self.queue.add((claim["namespace"], claim["name"]))
        else:
            self._wake_claims(event.object["spec"].get("storageClassName", ""))

    def _wake_claims(self, class_name: str) -> None:
        for claim in self._unbound.get(class_name):
            self.queue.add(key_of(claim))

    def sync(self, key: Key) -> None:
        """Look at a claim or a volume."""
        if key[0]:
            claim = self.registry.find(PVC, *key)
            if claim is not None and not is_deleting(claim):
                self._sync_claim(claim)
        else:
            volume = self.registry.find(PV, *key)
            if volume is not None:
                self._sync_volume(volume)

    # Volumes

    def _sync_volume(self, volume: Obj) -> None:
        reference = volume["spec"].get("claimRef")
        if not reference or not reference.get("uid"):
            if not is_deleting(volume):
                self._set_volume_phase(volume, "Available")
            return
        claim = self.registry.find(PVC, reference["namespace"], reference["name"])
        if claim is None or claim["metadata"]["uid"] != reference["uid"]:
            if volume["status"].get("phase") == "Released" and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
                self._reclaim(volume)
            else:
                self._set_volume_phase(volume, "Released")
        elif is_bound(claim) and claim["spec"].get("volumeName") == volume["metadata"]["name"]:
            self._set_volume_phase(volume, "Bound")

    def _reclaim(self, volume: Obj) -> None:
        """The lab can delete what it made; others stay Released until somebody cleans up."""
        made_here = (volume["metadata"].get("annotations") or {}).get(_PROVISIONED_BY) == PROVISIONER
        if made_here and not is_deleting(volume):
            self.registry.delete(PV, "", volume["metadata"]["name"])

    def _set_volume_phase(self, volume: Obj, phase: str) -> Obj:
        if volume.get("status", {}).get("phase") == phase:
            return volume
        status = {**volume.get("status", {}), "phase": phase, "lastPhaseTransitionTime": self.registry.now()}
        return self.registry.modify(PV, "", volume["metadata"]["name"], lambda some: some.update(status=status), "status")

    # Claims

    def _sync_claim(self, claim: Obj) -> None:
        name = claim["spec"].get("volumeName")
        if is_bound(claim):
            self._check_bound(claim, name)
            return
        if name:
            volume = self.registry.find(PV, "", name)
            if volume is not None and volume_for(volume, claim):
                self._bind(volume, claim, by_controller=False)
            return
        volumes = self.store.items(PV)
        promised = next((one for one in volumes if (one["spec"].get("claimRef") or {}).get("uid") == claim["metadata"]["uid"]), None)
        if promised is not None:
            self._bind(promised, claim, by_controller=True)
            return
        storage_class = self._class_of(claim)
        late = storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
        selected = (claim["metadata"].get("annotations") or {}).get(SELECTED_NODE)
        if late and not selected:
            self._say(claim, "Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
        elif not late and (volume := best_volume(volumes, claim)) is not None:
            self._bind(volume, claim, by_controller=True)
        else:
            self._provision(claim, storage_class)

    def _check_bound(self, claim: Obj, name: str) -> None:
        volume = self.registry.find(PV, "", name)
        if volume is None:
            if claim["status"].get("phase") != "Lost":
                self._set_claim_status(claim, {**claim["status"], "phase": "Lost"})
                self._say(claim, "Warning", "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
        elif claim["status"].get("phase") == "Pending":
            self._finish_claim(claim, volume)

    def _class_of(self, claim: Obj) -> Obj | None:
        name = claim["spec"].get("storageClassName")
        return self.registry.find(STORAGE_CLASS, "", name) if name else None

    def _bind(self, volume: Obj, claim: Obj, by_controller: bool) -> None:
        """Tie a volume and a claim together: four writes, in the recorded order."""
        meta = claim["metadata"]
        reference = {
            "kind": "PersistentVolumeClaim", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"], "apiVersion": "v1",
            "resourceVersion": meta["resourceVersion"],
        }  # fmt: skip
        name = volume["metadata"]["name"]
        asked_for = bool(volume["spec"].get("claimRef"))

        def tie_volume(some: Obj) -> None:
            if some["spec"].get("claimRef", {}).get("uid") != meta["uid"]:
                some["spec"]["claimRef"] = reference
            if not asked_for:
                some["metadata"].setdefault("annotations", {})[_BY_CONTROLLER] = "yes"

        def tie_claim(some: Obj) -> None:
            some["spec"]["volumeName"] = name
            notes = some["metadata"].setdefault("annotations", {})
            notes[_COMPLETED] = "yes"
            if by_controller:
                notes[_BY_CONTROLLER] = "yes"

        volume = self.registry.modify(PV, "", name, tie_volume)
        self._set_volume_phase(volume, "Bound")
        self._finish_claim(self.registry.modify(PVC, meta["namespace"], meta["name"], tie_claim), volume)

    def _finish_claim(self, claim: Obj, volume: Obj) -> None:
        capacity = {"storage": volume["spec"]["capacity"]["storage"]}
        self._set_claim_status(claim, {**claim["status"], "phase": "Bound", "accessModes": volume["spec"]["accessModes"], "capacity": capacity})

    def _set_claim_status(self, claim: Obj, status: Obj) -> None:
        meta = claim["metadata"]
        self.registry.modify(PVC, meta["namespace"], meta["name"], lambda some: some.update(status=status), "status")

    def _say(self, claim: Obj, kind: Any, reason: str, message: str) -> None:
        self._recorder.event(claim, kind, reason, message)

    def _provision(self, claim: Obj, storage_class: Obj | None) -> None:
        wanted = claim["spec"].get("storageClassName")
        if storage_class is None:
            if wanted:
                self._say(claim, "Warning", "ProvisioningFailed", f'storageclass.storage.k8s.io "{wanted}" not found')
            else:
                self._say(claim, "Normal", "FailedBinding", "no persistent volumes available for this claim and no storage class is set")
            return
        provisioner = storage_class["provisioner"]
        if provisioner == "kubernetes.io/no-provisioner":
            return
        message = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator. "
            "If volume creation is delayed, please verify that the provisioner is running and correctly registered."
        )
        self._say(claim, "Normal", "ExternalProvisioning", message)
        notes = {key: provisioner for key in _PROVISIONER_NOTES}
        meta = claim["metadata"]
        claim = self.registry.modify(PVC, meta["namespace"], meta["name"], lambda some: some["metadata"].setdefault("annotations", {}).update(notes))
        if provisioner == PROVISIONER:
            self._make_volume(claim, storage_class)

    def _make_volume(self, claim: Obj, storage_class: Obj) -> None:
        meta, spec = claim["metadata"], claim["spec"]
        name = f"pvc-{meta['uid']}"
        where = f"{meta['namespace']}/{meta['name']}"
        self._provisioner.event(claim, "Normal", "Provisioning", f'External provisioner is provisioning volume for claim "{where}"')
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name, "annotations": {_PROVISIONED_BY: PROVISIONER}},
            "spec": {
                "capacity": {"storage": spec["resources"]["requests"]["storage"]},
                "csi": {"driver": PROVISIONER, "volumeHandle": name, "fsType": "ext4"},
                "accessModes": spec["accessModes"],
                "claimRef": {"kind": "PersistentVolumeClaim", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"],
                             "apiVersion": "v1", "resourceVersion": meta["resourceVersion"]},
                "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
                "storageClassName": storage_class["metadata"]["name"],
                "volumeMode": spec.get("volumeMode", "Filesystem"),
            },
        }  # fmt: skip
        try:
            self.registry.create(PV, volume)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                self._provisioner.event(claim, "Warning", "ProvisioningFailed", f"failed to provision volume: {error.message}")
                raise
        self._provisioner.event(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}")


class VolumeProtection(Controller):
    """Takes the finalizers off claims that no pod uses and volumes that no claim is bound to, once they are to go."""

    watches = (PVC, PV, POD)

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._users = self.index(POD, _claims_in_use)

    def on_event(self, event: Event) -> None:
        """A claim or volume that is to go, or the end of a pod that used one."""
        if event.kind is POD:
            if event.type == "DELETED":
                for key in _claims_in_use(event.object):
                    self.queue.add(key)
        elif event.type != "DELETED" and is_deleting(event.object):
            self.queue.add(key_of(event.object))

    def sync(self, key: Key) -> None:
        """Let it go if nothing holds it."""
        kind, finalizer = (PVC, _PVC_FINALIZER) if key[0] else (PV, _PV_FINALIZER)
        obj = self.registry.find(kind, *key)
        if obj is None or not is_deleting(obj) or finalizer not in (obj["metadata"].get("finalizers") or ()):
            return
        if self._users.get(key) if key[0] else obj.get("status", {}).get("phase") == "Bound":
            return

        def release(some: Obj) -> None:
            some["metadata"]["finalizers"] = [one for one in some["metadata"]["finalizers"] if one != finalizer]

        self.registry.modify(kind, *key, release)


def _claims_in_use(pod: Obj) -> Iterable[Key]:
    """Claims of a scheduled pod: one without a node cannot start on a claim that is to go."""
    return [(pod["metadata"]["namespace"], name) for name in claims_of(pod)] if pod["spec"].get("nodeName") else ()
