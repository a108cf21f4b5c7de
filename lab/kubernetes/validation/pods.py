"""Pod specs, in pods and templates, and what of a pod may change."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.defaults.pods import qos_class
from lab.kubernetes.gotext import Struct
from lab.kubernetes.validation.containers import check_containers
from lab.kubernetes.validation.faults import Faults
from lab.kubernetes.validation.metadata import check_labels

Obj = dict[str, Any]

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
MAY_CHANGE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously "
    "negative)"
)


def check_pod_spec(spec: Obj, path: str, faults: Faults, claims: frozenset[str] = frozenset()) -> None:
    """A pod's spec. `claims`: volumes that come from a StatefulSet's claim templates."""
    volumes = _check_volumes(spec.get("volumes") or [], f"{path}.volumes", faults)
    check_containers(spec, volumes | claims, path, faults)
    faults.choice(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    faults.choice(f"{path}.dnsPolicy", spec.get("dnsPolicy"), DNS_POLICIES)
    check_labels(f"{path}.nodeSelector", spec.get("nodeSelector") or {}, faults)
    for i, secret in enumerate(spec.get("imagePullSecrets") or []):
        if not secret.get("name"):
            faults.required(f"{path}.imagePullSecrets[{i}].name")
    _check_affinity(spec.get("affinity") or {}, f"{path}.affinity", faults)
    for key in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        if spec.get(key):
            faults.subdomain_name(f"{path}.{key}", spec[key])
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline < 2**31:
        faults.invalid(f"{path}.activeDeadlineSeconds", deadline, f"must be between 1 and {2**31 - 1}, inclusive")
    for key in ("hostname", "subdomain"):
        if spec.get(key):
            faults.label_name(f"{path}.{key}", spec[key])
    for i, toleration in enumerate(spec.get("tolerations") or []):
        _check_toleration(toleration, f"{path}.tolerations[{i}]", faults)
    faults.not_negative(f"{path}.terminationGracePeriodSeconds", spec.get("terminationGracePeriodSeconds"))


def _check_volumes(volumes: list[Obj], path: str, faults: Faults) -> set[str]:
    """The volumes; gives the names of those that are right, which mounts may use."""
    names: set[str] = set()
    for i, volume in enumerate(volumes):
        where, before = f"{path}[{i}]", len(faults.found)
        _check_source(volume, where, faults)
        name = volume.get("name", "")
        if not name:
            faults.required(f"{where}.name")
        else:
            faults.label_name(f"{where}.name", name)
        if name in names:
            faults.duplicate(f"{where}.name", name)
        if len(faults.found) == before:
            names.add(name)
    return names


# In the order in which the server looks at them: the first is the volume's type, every further one a fault.
SOURCES = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi", "glusterfs",
    "persistentVolumeClaim", "rbd", "cinder", "cephfs", "flocker", "downwardAPI", "fc", "azureFile", "configMap", "vsphereVolume", "quobyte",
    "azureDisk", "portworxVolume", "scaleIO", "storageos", "projected", "csi", "ephemeral", "image",
)  # fmt: skip


def _check_source(volume: Obj, path: str, faults: Faults) -> None:
    given = [source for source in SOURCES if source in volume]
    if not given:
        faults.required(path, "must specify a volume type")
    for more in given[1:]:
        faults.forbidden(f"{path}.{more}", "may not specify more than 1 volume type")
    if not given:
        return
    source: Obj = volume[given[0]] or {}
    needed = {"secret": "secretName", "persistentVolumeClaim": "claimName", "configMap": "name", "hostPath": "path"}.get(given[0])
    if needed and not source.get(needed):
        faults.required(f"{path}.{given[0]}.{needed}")
    if given[0] in ("secret", "configMap"):
        for j, item in enumerate(source.get("items") or []):
            for key in ("key", "path"):
                if not item.get(key):
                    faults.required(f"{path}.{given[0]}.items[{j}].{key}")


def _check_affinity(affinity: Obj, path: str, faults: Faults) -> None:
    for sort in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(sort) or {}
        needed = "requiredDuringSchedulingIgnoredDuringExecution"
        for i, term in enumerate(terms.get(needed) or []):
            if not term.get("topologyKey"):
                faults.required(f"{path}.{sort}.{needed}[{i}].topologyKey", "can not be empty")
        wished = "preferredDuringSchedulingIgnoredDuringExecution"
        for i, weighted in enumerate(terms.get(wished) or []):
            where, weight = f"{path}.{sort}.{wished}[{i}]", weighted.get("weight", 0)
            if not 1 <= weight <= 100:
                faults.invalid(f"{where}.weight", weight, "must be in the range 1-100")
            if not (weighted.get("podAffinityTerm") or {}).get("topologyKey"):
                faults.required(f"{where}.podAffinityTerm.topologyKey", "can not be empty")


def _check_toleration(toleration: Obj, path: str, faults: Faults) -> None:
    operator = toleration.get("operator", "Equal")
    if operator == "Exists" and toleration.get("value"):
        faults.invalid(f"{path}.operator", _shown(toleration), "value must be empty when `operator` is 'Exists'")
    if operator not in ("Equal", "Exists", "Lt", "Gt"):
        faults.unsupported(f"{path}.operator", operator, ("Equal", "Exists", "Gt", "Lt"))
    if not toleration.get("key") and operator != "Exists":
        faults.invalid(f"{path}.operator", operator, 'operator must be Exists when `key` is empty, which means "match all values and all keys"')
    if toleration.get("effect"):
        faults.choice(f"{path}.effect", toleration["effect"], EFFECTS)


def _shown(value: Obj) -> Struct:
    return Struct((key[0].upper() + key[1:], value.get(key, "")) for key in ("key", "operator", "value", "effect"))


def check_pod_update(old: Obj, new: Obj, path: str, faults: Faults) -> None:
    """What of a running pod's spec has changed, and may not."""
    if old == new:
        return
    if len(old.get("containers") or ()) != len(new.get("containers") or ()):
        faults.forbidden(path, "pod updates may not add or remove containers")
        return
    allowed = {**new}
    for key in ("containers", "initContainers"):
        allowed[key] = [
            {**after, "image": before.get("image")} for before, after in zip(old.get(key) or [], new.get(key) or [], strict=False)
        ] or new.get(key)
    before, after = old.get("activeDeadlineSeconds"), new.get("activeDeadlineSeconds")
    if before is not None and (after is None or after > before):
        faults.invalid(f"{path}.activeDeadlineSeconds", after, "must be less than or equal to previous value")
    allowed["activeDeadlineSeconds"] = before
    tolerations = old.get("tolerations") or []
    if all(each in (new.get("tolerations") or []) for each in tolerations):
        allowed["tolerations"] = tolerations
    if old.get("schedulingGates"):  # gates may be taken away, and with them node selectors narrowed
        allowed["schedulingGates"] = old["schedulingGates"]
        allowed["nodeSelector"] = old.get("nodeSelector")
    if (old.get("terminationGracePeriodSeconds") or 0) < 0 and new.get("terminationGracePeriodSeconds") == 1:
        allowed["terminationGracePeriodSeconds"] = old["terminationGracePeriodSeconds"]
    if _plain(allowed) != _plain(old):
        faults.forbidden(path, MAY_CHANGE)


def check_resize(old: Obj, new: Obj, faults: Faults) -> None:
    """A running pod may get other resources, but stays in its class."""
    before = (old.get("status") or {}).get("qosClass")
    if before and qos_class(new["spec"]) != before:
        faults.invalid("spec", before, "Pod QOS Class may not change as a result of resizing")


def _plain(spec: Obj) -> Obj:
    return {key: value for key, value in spec.items() if value not in (None, [], {})}
