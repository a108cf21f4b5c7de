"""Services, configuration, storage, access rights, events and the rest."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.gotext import Struct
from lab.kubernetes.validation.containers import PROTOCOLS
from lab.kubernetes.validation.faults import DATA_KEY, NOT_A_DATA_KEY, Faults
from lab.kubernetes.validation.metadata import check_labels, check_selector

Obj = dict[str, Any]

_RBAC = "rbac.authorization.k8s.io"

DATA_LIMIT = 1024 * 1024
SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
KEYS_OF_TYPE = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def check_service(obj: Obj, faults: Faults) -> None:
    """A Service's ports, type and selector. Its addresses are checked where they are given out."""
    spec = obj.get("spec") or {}
    ports = spec.get("ports") or []
    headless = spec.get("clusterIP") == "None"
    if not ports and not headless and spec.get("type") != "ExternalName":
        faults.required("spec.ports")
    names: set[str] = set()
    for i, port in enumerate(ports):
        _check_service_port(port, f"spec.ports[{i}]", len(ports) > 1, headless, names, faults)
    check_labels("spec.selector", spec.get("selector") or {}, faults)
    faults.choice("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    faults.choice("spec.type", spec.get("type"), SERVICE_TYPES)
    if spec.get("type") == "ExternalName":
        if not spec.get("externalName"):
            faults.required("spec.externalName")
        else:
            faults.subdomain_name("spec.externalName", spec["externalName"].rstrip("."))
    faults.choice("spec.externalTrafficPolicy", spec.get("externalTrafficPolicy"), ("Cluster", "Local"))
    taken: set[tuple[Any, Any]] = set()
    for i, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port"))
        if key in taken:
            faults.duplicate(f"spec.ports[{i}]", Struct(protocol=key[0], port=key[1]))
        taken.add(key)


def _check_service_port(port: Obj, path: str, named: bool, headless: bool, names: set[str], faults: Faults) -> None:
    name = port.get("name", "")
    if named and not name:
        faults.required(f"{path}.name")
    elif name:
        faults.label_name(f"{path}.name", name)
        if name in names:
            faults.duplicate(f"{path}.name", name)
        names.add(name)
    faults.port_number(f"{path}.port", port.get("port", 0))
    faults.choice(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    target = port.get("targetPort")
    if isinstance(target, int):
        faults.port_number(f"{path}.targetPort", target)


def service_unchanged(old: Obj, new: Obj, faults: Faults) -> None:
    """An address, once given, stays as long as the Service has one."""
    before, after = old.get("spec") or {}, new.get("spec") or {}
    was, wanted = before.get("clusterIPs") or [], after.get("clusterIPs") or []
    if before.get("type") != "ExternalName" and after.get("type") != "ExternalName" and was and was[:1] != wanted[:1]:
        faults.invalid("spec.clusterIPs[0]", wanted, "may not change once set")


def check_service_status(obj: Obj, faults: Faults) -> None:
    """Only a LoadBalancer has a load balancer's address."""
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    if ingress and (obj.get("spec") or {}).get("type") != "LoadBalancer":
        faults.forbidden("status.loadBalancer.ingress", "may only be used when `spec.type` is 'LoadBalancer'")


def _check_keys(path: str, data: Obj, faults: Faults) -> int:
    for key in sorted(data):
        if len(key) > 253:
            faults.invalid(f"{path}[{key}]", key, "must be no more than 253 characters")
        if not DATA_KEY.fullmatch(key):
            faults.invalid(f"{path}[{key}]", key, NOT_A_DATA_KEY)
    return sum(len(key) for key in data)


def check_config_map(obj: Obj, faults: Faults) -> None:
    """Keys and size."""
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    _check_keys("data", data, faults)
    _check_keys("binaryData", binary, faults)
    for key in sorted(data.keys() & binary.keys()):
        faults.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    if sum(len(value.encode()) for value in data.values()) + sum(_decoded(value) for value in binary.values()) > DATA_LIMIT:
        faults.too_long("[]", DATA_LIMIT)


def _decoded(value: str) -> int:
    return len(value) * 3 // 4 - value[-2:].count("=")


def check_secret(obj: Obj, faults: Faults) -> None:
    """Keys, size, and what the type wants."""
    data = obj.get("data") or {}
    _check_keys("data", data, faults)
    if sum(_decoded(value) for value in data.values()) > DATA_LIMIT:
        faults.too_long("data", DATA_LIMIT)
    for key in KEYS_OF_TYPE.get(obj.get("type", ""), ()):
        if key not in data:
            faults.required(f"data[{key}]")
    if obj.get("type") == "kubernetes.io/basic-auth" and not {"username", "password"} & data.keys():
        faults.required("data[username]")
        faults.required("data[password]")


def check_account_token(obj: Obj, faults: Faults) -> None:
    """A token Secret names its account."""
    annotations = obj["metadata"].get("annotations") or {}
    if obj.get("type") == "kubernetes.io/service-account-token" and not annotations.get("kubernetes.io/service-account.name"):
        faults.required("metadata.annotations[kubernetes.io/service-account.name]")


def immutable_data(old: Obj, new: Obj, faults: Faults) -> None:
    """ConfigMaps and Secrets that were made immutable."""
    if not old.get("immutable"):
        return
    why = "field is immutable when `immutable` is set"
    if not new.get("immutable"):
        faults.forbidden("immutable", why)
    for key in ("data", "binaryData"):
        if (old.get(key) or {}) != (new.get(key) or {}):
            faults.forbidden(key, why)


def secret_unchanged(old: Obj, new: Obj, faults: Faults) -> None:
    """A Secret's type stays."""
    faults.unchanged("type", old.get("type"), new.get("type"))
    immutable_data(old, new, faults)


def check_claim(obj: Obj, faults: Faults) -> None:
    """A volume claim: how it is used, and how large it is."""
    spec = obj.get("spec") or {}
    modes = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
    if not spec.get("accessModes"):
        faults.required("spec.accessModes", "at least 1 access mode is required")
    for mode in spec.get("accessModes") or []:
        faults.choice("spec.accessModes", mode, modes)
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        faults.required("spec.resources[storage]")
    if spec.get("storageClassName"):
        faults.subdomain_name("spec.storageClassName", spec["storageClassName"])


def claim_unchanged(old: Obj, new: Obj, faults: Faults) -> None:
    """A claim's spec stays, but for its binding and the size of a bound one."""
    before, after = dict(old.get("spec") or {}), dict(new.get("spec") or {})
    if not before.get("volumeName"):
        after.pop("volumeName", None)
        before.pop("volumeName", None)
    if before.get("storageClassName") is None:
        after.pop("storageClassName", None)
    free = {"resources", "volumeAttributesClassName"} if (old.get("status") or {}).get("phase") == "Bound" else set()
    if any(before.get(key) != after.get(key) for key in (before.keys() | after.keys()) - free):
        why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        faults.forbidden("spec", why)


def check_volume(obj: Obj, faults: Faults) -> None:
    """A persistent volume."""
    spec = obj.get("spec") or {}
    if not spec.get("accessModes"):
        faults.required("spec.accessModes")
    if not spec.get("capacity"):
        faults.required("spec.capacity")
    plain = {
        "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy", "storageClassName", "volumeMode",
        "volumeAttributesClassName",
    }  # fmt: skip
    if not spec.keys() - plain:
        faults.required("spec", "must specify a volume type")


def check_storage_class(obj: Obj, faults: Faults) -> None:
    """A storage class names who makes its volumes."""
    if not obj.get("provisioner"):
        faults.required("provisioner")
    faults.choice("reclaimPolicy", obj.get("reclaimPolicy"), ("Delete", "Retain"))
    faults.choice("volumeBindingMode", obj.get("volumeBindingMode"), ("Immediate", "WaitForFirstConsumer"))


def storage_class_unchanged(old: Obj, new: Obj, faults: Faults) -> None:
    """Only expansion and topologies of a storage class may change."""
    for key in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
        if old.get(key) != new.get(key):
            if key in ("parameters", "provisioner"):
                faults.forbidden(key, f"updates to {key} are forbidden.")
            else:
                faults.unchanged(key, old.get(key), new.get(key))


def check_binding(obj: Obj, faults: Faults) -> None:
    """A binding of a role, or of a cluster role."""
    ref, clusterwide = obj.get("roleRef") or {}, obj.get("kind") == "ClusterRoleBinding"
    faults.choice("roleRef.apiGroup", ref.get("apiGroup", ""), (_RBAC,))
    faults.choice("roleRef.kind", ref.get("kind", ""), ("ClusterRole",) if clusterwide else ("Role", "ClusterRole"))
    if not ref.get("name"):
        faults.required("roleRef.name")
    for position, subject in enumerate(obj.get("subjects") or ()):
        where, kind = f"subjects[{position}]", subject.get("kind", "")
        if not subject.get("name"):
            faults.required(f"{where}.name")
        faults.choice(f"{where}.kind", kind, ("ServiceAccount", "User", "Group"))
        if kind == "ServiceAccount" and clusterwide and not subject.get("namespace"):
            faults.required(f"{where}.namespace")
        if kind in ("User", "Group"):
            faults.choice(f"{where}.apiGroup", subject.get("apiGroup", ""), (_RBAC,))


def role_unchanged(old: Obj, new: Obj, faults: Faults) -> None:
    """A binding keeps its role."""
    if old.get("roleRef") != new.get("roleRef"):
        ref = new.get("roleRef") or {}
        shown = Struct(APIGroup=ref.get("apiGroup", ""), Kind=ref.get("kind", ""), Name=ref.get("name", ""))
        faults.invalid("roleRef", shown, "cannot change roleRef")


def check_budget(obj: Obj, faults: Faults) -> None:
    """A disruption budget says one thing, not two."""
    spec = obj.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        shown = Struct(
            MinAvailable=spec["minAvailable"],
            Selector=spec.get("selector"),
            MaxUnavailable=spec["maxUnavailable"],
            UnhealthyPodEvictionPolicy=spec.get("unhealthyPodEvictionPolicy"),
        )
        faults.invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set")
    check_selector("spec.selector", spec.get("selector") or {}, faults)


def check_ingress(obj: Obj, faults: Faults) -> None:
    """An Ingress's rules."""
    spec = obj.get("spec") or {}
    if not spec.get("rules") and not spec.get("defaultBackend"):
        faults.invalid("spec", Struct(spec), "either `defaultBackend` or `rules` must be specified")
    for i, rule in enumerate(spec.get("rules") or []):
        if rule.get("host") and not rule["host"].startswith("*."):
            faults.subdomain_name(f"spec.rules[{i}].host", rule["host"])
        for j, path in enumerate((rule.get("http") or {}).get("paths") or []):
            where = f"spec.rules[{i}].http.paths[{j}]"
            if not path.get("pathType"):
                faults.required(f"{where}.pathType", "pathType must be specified")
            elif path["pathType"] in ("Exact", "Prefix") and not path.get("path", "").startswith("/"):
                faults.invalid(f"{where}.path", path.get("path", ""), "must be an absolute path")


def check_event(obj: Obj, faults: Faults) -> None:
    """An event is in the namespace of what it is about."""
    about, own = (obj.get("involvedObject") or {}).get("namespace", ""), obj["metadata"].get("namespace", "")
    if (about and about != own) or (not about and own not in ("", "default")):
        faults.invalid("involvedObject.namespace", about, "does not match event.namespace")


def check_lease(obj: Obj, faults: Faults) -> None:
    """A lease's times."""
    spec = obj.get("spec") or {}
    if spec.get("leaseDurationSeconds") is not None and spec["leaseDurationSeconds"] <= 0:
        faults.invalid("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0")
    faults.not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))
