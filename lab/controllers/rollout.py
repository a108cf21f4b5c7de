"""One look at one deployment: everything between its replica sets as they are and its status.

The steps and their order are those of the real controller, so that clients see the same writes in the same order. A status is computed from the
replica sets as they were when the look began, even if the look has changed them: what came of that is told by the next look.
"""

from __future__ import annotations

from typing import Any

from lab.controllers import deployment_status as progress
from lab.controllers import revisions as rev
from lab.controllers.events import Recorder
from lab.controllers.objects import condition, controller_of, controller_reference, is_deleting, namespace_terminates, uid_of
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import DEPLOYMENT, REPLICA_SET
from lab.kubernetes.registry import Registry
from lab.kubernetes.values import clone

Obj = dict[str, Any]
Pods = dict[str, list[Obj]]  # by the uid of their replica set


def _own(replica_set: Obj) -> Obj:
    """A replica set with metadata and spec of its own, to change; what is deeper is shared."""
    return {**replica_set, "metadata": clone(replica_set["metadata"]), "spec": dict(replica_set["spec"])}


class Rollout:
    """A deployment (with metadata and status that are ours to change), its replica sets and their pods."""

    def __init__(self, registry: Registry, recorder: Recorder, deployment: Obj, sets: list[Obj], pods: Pods, since_progress: float) -> None:
        self.registry = registry
        self.recorder = recorder
        self.deployment = deployment
        self.sets = sets
        self.pods = pods
        self.since_progress = since_progress
        self.spec = deployment["spec"]
        self.name = deployment["metadata"]["name"]
        self.namespace = deployment["metadata"]["namespace"]

    def run(self) -> None:
        """Do what is next."""
        if not any(self.spec["selector"].values()):
            self._refuse_empty_selector()
        elif is_deleting(self.deployment):
            new, old = self._divide(create=False)
            self._write_status(self._status(new, old))
        else:
            self._note_pause()
            if self.spec.get("paused") or self._is_resized():
                self._resize()
            elif rev.is_rolling(self.deployment):
                self._roll()
            else:
                self._recreate()

    # Which replica set is the new one

    def _divide(self, create: bool) -> tuple[Obj | None, list[Obj]]:
        """The new replica set (made when asked to) with its revision right, and the old ones."""
        new = rev.find_new(self.deployment, self.sets)
        old = rev.find_old(self.sets, new)
        number = max((rev.revision(one) for one in old), default=0) + 1
        if new is not None:
            return self._renew(new, number), old
        return (self._create_new(old, number) if create else None), old

    def _renew(self, new: Obj, number: int) -> Obj:
        """Give an existing replica set its place as the newest."""
        changed = _own(new)
        ready_seconds = self.spec.get("minReadySeconds", 0)
        if rev.set_annotations(self.deployment, changed, number, exists=True) or new["spec"].get("minReadySeconds", 0) != ready_seconds:
            if ready_seconds:
                changed["spec"]["minReadySeconds"] = ready_seconds
            else:
                changed["spec"].pop("minReadySeconds", None)
            return self.registry.replace(REPLICA_SET, changed)
        update = self._set_revision(rev.notes_of(new).get(rev.REVISION, ""))
        if progress.has_deadline(self.deployment) and condition(self.deployment, "Progressing") is None:
            self._set_condition("Progressing", "True", "FoundNewReplicaSet", f'Found new replica set "{new["metadata"]["name"]}"')
            update = True
        if update:
            self._update_status()
        return new

    def _create_new(self, old: list[Obj], number: int) -> Obj:
        wanted = self._new_replica_set()
        size = rev.size_of_new(self.deployment, [*old, wanted], wanted)
        wanted["spec"]["replicas"] = size
        rev.set_annotations(self.deployment, wanted, number, exists=False)
        try:
            new = self.registry.create(REPLICA_SET, wanted, self.namespace)
        except ApiError as error:
            return self._not_created(wanted, error)
        name = new["metadata"]["name"]
        update = self._set_revision(str(number))
        if progress.has_deadline(self.deployment):
            self._set_condition("Progressing", "True", "NewReplicaSetCreated", f'Created new replica set "{name}"')
            update = True
        try:
            if update:
                self._update_status()
        finally:  # even when the status was changed by somebody else meanwhile, the replica set is there
            if size:
                self._tell("ScalingReplicaSet", f"Scaled up replica set {name} from 0 to {size}")
        return new

    def _new_replica_set(self) -> Obj:
        template = clone(self.spec["template"])
        number = rev.template_hash(template, self.deployment.get("status", {}).get("collisionCount"))
        labels = {**(template.setdefault("metadata", {}).get("labels") or {}), rev.HASH_LABEL: number}
        template["metadata"]["labels"] = labels
        selector = clone(self.spec["selector"])
        selector.setdefault("matchLabels", {})[rev.HASH_LABEL] = number
        ready_seconds = {"minReadySeconds": self.spec["minReadySeconds"]} if self.spec.get("minReadySeconds") else {}
        return {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{self.name}-{number}", "namespace": self.namespace, "labels": dict(labels),
                "ownerReferences": [controller_reference(DEPLOYMENT, self.deployment)],
            },
            "spec": {"replicas": 0, **ready_seconds, "selector": selector, "template": template},
        }  # fmt: skip

    def _not_created(self, wanted: Obj, error: ApiError) -> Obj:
        """A name that is taken may be the same replica set after all, or a clash of hashes: then the next look tries another name."""
        name = wanted["metadata"]["name"]
        if error.reason == "AlreadyExists":
            there = self.registry.get(REPLICA_SET, self.namespace, name)
            owner = controller_of(there)
            same = rev.same_template(there["spec"]["template"], self.spec["template"])
            if owner and owner["uid"] == uid_of(self.deployment) and same:
                return there
            status = self.deployment.setdefault("status", {})
            status["collisionCount"] = status.get("collisionCount", 0) + 1
            self._update_status()
        elif not namespace_terminates(error):
            message = f'Failed to create new replica set "{name}": {error.message}'
            if progress.has_deadline(self.deployment):
                self._set_condition("Progressing", "False", "ReplicaSetCreateError", message)
                self._update_status()
            self.recorder.event(self.deployment, "Warning", "ReplicaSetCreateError", message)
        raise error

    # The two strategies

    def _roll(self) -> None:
        """RollingUpdate: up as far as maxSurge, down as far as maxUnavailable, one of both in one look."""
        new, old = self._divide(create=True)
        assert new is not None
        changed = self._grow_new(new, old) or self._shrink_old(new, old)
        if not changed and progress.is_complete(self.deployment, self.deployment.get("status", {})):
            self._clean_up(old)
        self._report(new, old)

    def _recreate(self) -> None:
        """Recreate: nothing new before the last old pod has ended."""
        new, old = self._divide(create=False)
        scaled_down = [self._scale(one, 0) for one in rev.active(old)]
        if not any(scaled_down) and not self._old_pods_run(new, old):
            if new is None:
                new, old = self._divide(create=True)
                assert new is not None
            self._scale(new, rev.wanted(self.deployment))
            if progress.is_complete(self.deployment, self.deployment.get("status", {})):
                self._clean_up(old)
        self._report(new, old)

    def _old_pods_run(self, new: Obj | None, old: list[Obj]) -> bool:
        if rev.total(old, "replicas") > 0:
            return True
        pods = (pod for uid, some in self.pods.items() if new is None or uid != uid_of(new) for pod in some)
        return any(pod["status"].get("phase") not in ("Succeeded", "Failed") for pod in pods)

    def _grow_new(self, new: Obj, old: list[Obj]) -> bool:
        size = rev.wanted(self.deployment)
        if rev.wanted(new) == size:
            return False
        return self._scale(new, size if rev.wanted(new) > size else rev.size_of_new(self.deployment, [*old, new], new))

    def _shrink_old(self, new: Obj, old: list[Obj]) -> bool:
        """Take down old pods: those that are not available first, then as many others as may be missing."""
        if rev.total_wanted(old) == 0:
            return False
        least = rev.wanted(self.deployment) - rev.max_unavailable(self.deployment)
        missing_of_new = rev.wanted(new) - new.get("status", {}).get("availableReplicas", 0)
        spare = rev.total_wanted([*old, new]) - least - missing_of_new
        if spare <= 0:
            return False
        sizes = {uid_of(one): rev.wanted(one) for one in old}
        taken = self._shrink_unavailable(old, sizes, spare)
        available = rev.total([*old, new], "availableReplicas") - least
        for one in old:
            if available <= 0:
                break
            step = min(sizes[uid_of(one)], available)
            if step > 0:
                self._scale(self.registry.get(REPLICA_SET, self.namespace, one["metadata"]["name"]), sizes[uid_of(one)] - step)
                available -= step
                taken += step
        return taken > 0

    def _shrink_unavailable(self, old: list[Obj], sizes: dict[str, int], spare: int) -> int:
        taken = 0
        for one in old:
            unavailable = rev.wanted(one) - one.get("status", {}).get("availableReplicas", 0)
            step = min(spare - taken, unavailable)
            if step > 0:
                self._scale(one, rev.wanted(one) - step)
                sizes[uid_of(one)] -= step
                taken += step
        return taken

    # A changed number of replicas, or a pause

    def _is_resized(self) -> bool:
        new, old = self._divide(create=False)
        sets = rev.active([*old, *([new] if new else [])])
        return any(rev.notes_of(one).get(rev.DESIRED, str(rev.wanted(self.deployment))) != str(rev.wanted(self.deployment)) for one in sets)

    def _resize(self) -> None:
        new, old = self._divide(create=False)
        self._spread(new, old)
        if self.spec.get("paused"):
            self._clean_up(old)
        self._write_status(self._status(new, old))

    def _spread(self, new: Obj | None, old: list[Obj]) -> None:
        """Give the number of replicas to the replica sets: to the only one that has pods, else each its share."""
        sets = rev.active([*old, *([new] if new else [])])
        size = rev.wanted(self.deployment)
        if len(sets) <= 1:
            only = sets[0] if sets else new or (old[-1] if old else None)
            if only is not None:
                self._scale(only, size)
        elif new is not None and self._is_saturated(new):
            for one in rev.active(old):
                self._scale(one, 0)
        elif rev.is_rolling(self.deployment):
            self._spread_shares(sets)

    def _is_saturated(self, new: Obj) -> bool:
        size = rev.wanted(self.deployment)
        desired = rev.notes_of(new).get(rev.DESIRED)
        return rev.wanted(new) == size and desired == str(size) and new.get("status", {}).get("availableReplicas", 0) == size

    def _spread_shares(self, sets: list[Obj]) -> None:
        size = rev.wanted(self.deployment)
        allowed = size + rev.max_surge(self.deployment) if size else 0
        to_add = allowed - rev.total_wanted(sets)
        newest_first = to_add > 0
        sets = sorted(sets, key=lambda one: one["metadata"]["creationTimestamp"], reverse=newest_first)
        sets.sort(key=rev.wanted, reverse=True)
        added, sizes = 0, []
        for one in sets:
            part = rev.share_of_change(self.deployment, one, to_add, added)
            added += part
            sizes.append(rev.wanted(one) + part)
        if to_add:
            sizes[0] = max(0, sizes[0] + to_add - added)  # what rounding left over
        for one, number in zip(sets, sizes, strict=True):
            self._scale(one, number, quiet=True)

    def _scale(self, replica_set: Obj, size: int, quiet: bool = False) -> bool:
        """Write a replica set's size; says whether it changed."""
        before = rev.wanted(replica_set)
        changed = _own(replica_set)
        changed["spec"]["replicas"] = size
        noted = rev.set_size_annotations(self.deployment, changed)
        if size == before and not (quiet and noted):
            return False
        self.registry.replace(REPLICA_SET, changed)
        if size != before:
            direction = "up" if size > before else "down"
            self._tell("ScalingReplicaSet", f"Scaled {direction} replica set {replica_set['metadata']['name']} from {before} to {size}")
        return True

    def _clean_up(self, old: list[Obj]) -> None:
        """Forget the oldest revisions beyond the history limit."""
        limit = self.spec.get("revisionHistoryLimit", 10)
        candidates = sorted((one for one in old if not is_deleting(one)), key=rev.revision)
        for one in candidates[: max(0, len(candidates) - limit)]:
            status, meta = one.get("status", {}), one["metadata"]
            idle = not status.get("replicas") and rev.wanted(one) == 0
            if idle and meta["generation"] <= status.get("observedGeneration", 0):
                self.registry.delete(REPLICA_SET, self.namespace, meta["name"])

    # Status

    def _status(self, new: Obj | None, old: list[Obj]) -> Obj:
        return progress.calculate(self.deployment, [*old, *([new] if new else [])], new, self.registry.now())

    def _report(self, new: Obj | None, old: list[Obj]) -> None:
        """Write the status with what it says of progress."""
        status = self._status(new, old)
        progress.set_progress(self.deployment, status, new, self._is_late(), self.registry.now())
        progress.set_replica_failure(status, [*old, *([new] if new else [])], new)
        self._write_status(status)

    def _is_late(self) -> bool:
        current = condition(self.deployment, "Progressing")
        if current is None or current["reason"] == "NewReplicaSetAvailable":
            return False
        return bool(current["reason"] == "ProgressDeadlineExceeded" or self.since_progress > self.spec["progressDeadlineSeconds"])

    def _note_pause(self) -> None:
        current = condition(self.deployment, "Progressing") or {}
        paused, noted = bool(self.spec.get("paused")), current.get("reason") == "DeploymentPaused"
        if not progress.has_deadline(self.deployment) or current.get("reason") == "ProgressDeadlineExceeded" or paused == noted:
            return
        reason, message = ("DeploymentPaused", "Deployment is paused") if paused else ("DeploymentResumed", "Deployment is resumed")
        self._set_condition("Progressing", "Unknown", reason, message)
        self._update_status()

    def _refuse_empty_selector(self) -> None:
        self.recorder.event(self.deployment, "Warning", "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required.")
        status = self.deployment.setdefault("status", {})
        if status.get("observedGeneration", 0) < self.deployment["metadata"]["generation"]:
            status["observedGeneration"] = self.deployment["metadata"]["generation"]
            self._update_status()

    def _set_revision(self, number: str) -> bool:
        if rev.notes_of(self.deployment).get(rev.REVISION) == number:
            return False
        self.deployment["metadata"].setdefault("annotations", {})[rev.REVISION] = number
        return True

    def _set_condition(self, kind: str, status: str, reason: str, message: str) -> None:
        condition_ = progress.new_condition(kind, status, reason, message, self.registry.now())
        progress.set_condition(self.deployment.setdefault("status", {}), condition_)

    def _write_status(self, status: Obj) -> None:
        if status != self.deployment.get("status", {}):
            self.deployment["status"] = status
            self._update_status()

    def _update_status(self) -> None:
        """Write the status, on the version of the beginning: a second write in one look is a conflict and leads to another look, as for real."""
        self.registry.replace(DEPLOYMENT, self.deployment, "status")

    def _tell(self, reason: str, message: str) -> None:
        self.recorder.event(self.deployment, "Normal", reason, message)
