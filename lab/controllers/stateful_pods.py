"""What pods of a stateful set are called, look like and keep their data in. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lab.controllers.histories import REVISION_LABEL, template_of
from lab.controllers.objects import condition, controller_reference, is_deleting
from lab.kubernetes.kinds import STATEFUL_SET
from lab.kubernetes.selectors import labels_of

Obj = dict[str, Any]

NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"(.*)-([0-9]+)$")


def first_ordinal(stateful_set: Obj) -> int:
    """The number of the first pod."""
    return int((stateful_set["spec"].get("ordinals") or {}).get("start", 0))


def ordinals(stateful_set: Obj) -> range:
    """The numbers of all pods that should be there."""
    first = first_ordinal(stateful_set)
    return range(first, first + int(stateful_set["spec"].get("replicas", 1)))


def ordinal_of(pod: Obj) -> int:
    """The number in a pod's name; -1 if there is none."""
    found = _NAME.fullmatch(pod["metadata"]["name"])
    return int(found[2]) if found else -1


def parent_of(pod: Obj) -> str:
    """The name of the stateful set that a pod's name points to."""
    found = _NAME.fullmatch(pod["metadata"]["name"])
    return found[1] if found else ""


def revision_of(pod: Obj) -> str:
    """The name of the revision that a pod was made from."""
    return str(labels_of(pod).get(REVISION_LABEL, ""))


def is_running_and_ready(pod: Obj) -> bool:
    """Whether a pod does its work."""
    return pod["status"].get("phase") == "Running" and (condition(pod, "Ready") or {}).get("status") == "True"


def is_healthy(pod: Obj) -> bool:
    """Whether a pod does its work and is to stay."""
    return is_running_and_ready(pod) and not is_deleting(pod)


def identity_labels(pod_name: str, ordinal: int) -> dict[str, str]:
    """The labels that tell a pod of a stateful set from the others."""
    return {NAME_LABEL: pod_name, INDEX_LABEL: str(ordinal)}


def new_pod(stateful_set: Obj, revision: Obj, ordinal: int) -> Obj:
    """The pod with this number, by the template of a revision."""
    template, name = template_of(revision), stateful_set["metadata"]["name"]
    meta, pod_name = template.get("metadata") or {}, f"{name}-{ordinal}"
    labels = {**(meta.get("labels") or {}), **identity_labels(pod_name, ordinal), REVISION_LABEL: revision["metadata"]["name"]}
    spec = {**template["spec"], "hostname": pod_name}
    if stateful_set["spec"].get("serviceName"):
        spec["subdomain"] = stateful_set["spec"]["serviceName"]
    if volumes := [*_claim_volumes(stateful_set, pod_name), *_other_volumes(stateful_set, template["spec"])]:
        spec["volumes"] = volumes
    wanted = {"annotations": meta.get("annotations"), "finalizers": meta.get("finalizers")}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name,
            "generateName": f"{name}-",
            "labels": labels,
            **{key: value for key, value in wanted.items() if value},
            "ownerReferences": [controller_reference(STATEFUL_SET, stateful_set)],
        },
        "spec": spec,
    }


def claim_templates(stateful_set: Obj) -> list[Obj]:
    """The volumes that every pod has of its own."""
    return stateful_set["spec"].get("volumeClaimTemplates") or []


def claim_name(template: Obj, pod_name: str) -> str:
    """What a pod's claim is called."""
    return f"{template['metadata']['name']}-{pod_name}"


def _claim_volumes(stateful_set: Obj, pod_name: str) -> Iterator[Obj]:
    for template in claim_templates(stateful_set):
        yield {"name": template["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim_name(template, pod_name)}}


def _other_volumes(stateful_set: Obj, spec: Obj) -> list[Obj]:
    own = {template["metadata"]["name"] for template in claim_templates(stateful_set)}
    return [volume for volume in spec.get("volumes") or () if volume["name"] not in own]


def new_claim(stateful_set: Obj, template: Obj, pod_name: str) -> Obj:
    """A pod's claim."""
    meta = template["metadata"]
    labels = {**(meta.get("labels") or {}), **(stateful_set["spec"]["selector"].get("matchLabels") or {})}
    notes = {"annotations": meta["annotations"]} if meta.get("annotations") else {}
    return {"metadata": {"name": claim_name(template, pod_name), "labels": labels, **notes}, "spec": template["spec"]}


def retention(stateful_set: Obj, condemned: bool) -> tuple[bool, bool]:
    """Whose end ends a claim: that of the set, that of the pod."""
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    with_set, with_pod = policy.get("whenDeleted") == "Delete", policy.get("whenScaled") == "Delete" and condemned
    return with_set and not with_pod, with_pod
