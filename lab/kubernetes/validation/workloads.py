"""Deployments and the like: selectors that fit their templates, strategies, what may not change."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.validation.faults import Faults
from lab.kubernetes.validation.metadata import as_struct, check_labels, check_selector, matches
from lab.kubernetes.validation.pods import check_pod_spec

Obj = dict[str, Any]

STATEFUL_SET_MAY_CHANGE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip


def check_template(spec: Obj, path: str, faults: Faults, claims: frozenset[str] = frozenset()) -> None:
    """A pod template by itself."""
    template = spec.get("template") or {}
    meta = template.get("metadata") or {}
    check_labels(f"{path}.template.labels", meta.get("labels") or {}, faults)
    check_pod_spec(template.get("spec") or {}, f"{path}.template.spec", faults, claims)


def _check_selected_template(spec: Obj, faults: Faults, kind: str, claims: frozenset[str] = frozenset()) -> None:
    """Selector and template of what keeps pods running: they must fit, and the pods must be restarted."""
    selector = spec.get("selector")
    if selector is None:
        faults.required("spec.selector")
    else:
        check_selector("spec.selector", selector, faults)
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            faults.invalid("spec.selector", as_struct(selector), f"empty selector is invalid for {kind}")
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector is None or ((selector.get("matchLabels") or selector.get("matchExpressions")) and not matches(selector, labels)):
        faults.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    check_template(spec, "spec", faults, claims)
    policy = (template.get("spec") or {}).get("restartPolicy", "Always")
    if policy != "Always" and policy in ("OnFailure", "Never"):
        faults.unsupported("spec.template.spec.restartPolicy", policy, ("Always",))
    if (template.get("spec") or {}).get("activeDeadlineSeconds") is not None:
        faults.forbidden("spec.template.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {kind} is not Supported")


def check_deployment(obj: Obj, faults: Faults) -> None:
    """A Deployment's spec."""
    spec = obj.get("spec") or {}
    faults.not_negative("spec.replicas", spec.get("replicas"))
    _check_selected_template(spec, faults, "deployment")
    strategy = spec.get("strategy") or {}
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate":
        if rolling is not None:
            faults.forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    elif strategy.get("type") != "RollingUpdate":
        faults.unsupported("spec.strategy.type", strategy.get("type", ""), ("Recreate", "RollingUpdate"))
    elif rolling is not None:
        _check_rolling(rolling, faults)
    for key in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        faults.not_negative(f"spec.{key}", spec.get(key))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and 0 <= deadline <= spec.get("minReadySeconds", 0):
        faults.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _check_rolling(rolling: Obj, faults: Faults) -> None:
    path = "spec.strategy.rollingUpdate"
    for key in ("maxUnavailable", "maxSurge"):
        check_amount(f"{path}.{key}", rolling.get(key), faults)
    if all(rolling.get(key) in (0, "0", "0%") for key in ("maxUnavailable", "maxSurge")):
        faults.invalid(f"{path}.maxUnavailable", rolling.get("maxUnavailable"), "may not be 0 when `maxSurge` is 0")


def check_amount(path: str, value: Any, faults: Faults) -> None:
    """A number or a percentage."""
    if isinstance(value, str) and not (value.endswith("%") and value[:-1].isdigit()):
        why = "a valid percent string must be a numeric string followed by an ending '%' "
        why += "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
        faults.invalid(path, value, why)
    faults.not_negative(path, value)


def check_replica_set(obj: Obj, faults: Faults) -> None:
    """A ReplicaSet's spec."""
    spec = obj.get("spec") or {}
    for key in ("replicas", "minReadySeconds"):
        faults.not_negative(f"spec.{key}", spec.get(key))
    _check_selected_template(spec, faults, "ReplicaSet")


def check_replication_controller(obj: Obj, faults: Faults) -> None:
    """A ReplicationController's spec, whose selector is plain labels."""
    spec = obj.get("spec") or {}
    for key in ("minReadySeconds", "replicas"):
        faults.not_negative(f"spec.{key}", spec.get(key))
    if not spec.get("selector"):
        faults.required("spec.selector")
    if not spec.get("template"):
        faults.required("spec.template")
        return
    check_template(spec, "spec", faults)


def check_stateful_set(obj: Obj, faults: Faults) -> None:
    """A StatefulSet's spec; its claim templates count as volumes."""
    spec = obj.get("spec") or {}
    faults.choice("spec.podManagementPolicy", spec.get("podManagementPolicy"), ("OrderedReady", "Parallel"))
    faults.not_negative("spec.replicas", spec.get("replicas"))
    claims = frozenset((claim.get("metadata") or {}).get("name", "") for claim in spec.get("volumeClaimTemplates") or ())
    _check_selected_template(spec, faults, "statefulset", claims)


def check_daemon_set(obj: Obj, faults: Faults) -> None:
    """A DaemonSet's spec."""
    _check_selected_template(obj.get("spec") or {}, faults, "daemonset")


def selector_unchanged(old: Obj, new: Obj, faults: Faults) -> None:
    """A selector says which pods are whose: it stays."""
    before, after = (old.get("spec") or {}).get("selector"), (new.get("spec") or {}).get("selector")
    if before != after:
        faults.unchanged("spec.selector", before, as_struct(after or {}))


def stateful_set_unchanged(old: Obj, new: Obj, faults: Faults) -> None:
    """Only a few fields of a StatefulSet may change."""
    before, after = old.get("spec") or {}, new.get("spec") or {}
    if any(before.get(key) != after.get(key) for key in (before.keys() | after.keys()) - set(STATEFUL_SET_MAY_CHANGE)):
        names = [f"'{name}'" for name in STATEFUL_SET_MAY_CHANGE]
        allowed = f"{', '.join(names[:-1])} and {names[-1]}"
        faults.forbidden("spec", f"updates to statefulset spec for fields other than {allowed} are forbidden")
