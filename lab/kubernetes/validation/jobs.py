"""Jobs and CronJobs."""

from __future__ import annotations

import re
from typing import Any

from lab.kubernetes.gotext import Struct, plain
from lab.kubernetes.validation.faults import IMMUTABLE, Faults, dns_label
from lab.kubernetes.validation.metadata import as_struct, matches
from lab.kubernetes.validation.workloads import check_template

Obj = dict[str, Any]

_FIELD = re.compile(r"(\*|\?|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(/[0-9]+)?")
COUNTS = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes",
)  # fmt: skip
_UID_LABEL = "batch.kubernetes.io/controller-uid"


def check_job(obj: Obj, faults: Faults) -> None:
    """A Job."""
    spec, meta = obj.get("spec") or {}, obj["metadata"]
    selector = spec.get("selector") or {}
    if not spec.get("manualSelector") and set(selector.get("matchLabels") or {}) != {_UID_LABEL}:
        faults.invalid("spec.selector", as_struct(selector), "`selector` not auto-generated")
    _check_spec(spec, faults)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if selector and not matches(selector, labels):
        faults.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    if spec.get("completionMode") == "Indexed" and spec.get("completions"):
        pod = f"{meta.get('name', '')}-{spec['completions'] - 1}"
        if dns_label(pod):
            faults.invalid("metadata.name", meta.get("name", ""), f"will not able to create pod with invalid DNS label: {pod}")


def _check_spec(spec: Obj, faults: Faults, path: str = "spec") -> None:
    for key in COUNTS:
        faults.not_negative(f"{path}.{key}", spec.get(key))
    _check_indexes(spec, path, faults)
    if spec.get("podFailurePolicy"):
        _check_failure_policy(spec, path, faults)
    check_template(spec, path, faults)
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy", "")
    where = f"{path}.template.spec.restartPolicy"
    if policy not in ("OnFailure", "Never"):
        faults.required(where, 'valid values: "OnFailure", "Never"')
    elif policy == "OnFailure" and spec.get("podFailurePolicy"):
        faults.invalid(where, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _check_indexes(spec: Obj, path: str, faults: Faults) -> None:
    indexed = spec.get("completionMode") == "Indexed"
    per_index = spec.get("backoffLimitPerIndex")
    if indexed and spec.get("completions") is None:
        faults.required(f"{path}.completions", "when completion mode is Indexed")
    if per_index is not None and not indexed:
        faults.invalid(f"{path}.backoffLimitPerIndex", per_index, "requires indexed completion mode")
    if spec.get("maxFailedIndexes") is not None and per_index is None:
        faults.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if spec.get("successPolicy") is not None and not indexed:
        rules = [
            Struct(SucceededIndexes=rule.get("succeededIndexes"), SucceededCount=rule.get("succeededCount"))
            for rule in spec["successPolicy"].get("rules") or []
        ]
        faults.invalid(f"{path}.successPolicy", {"Rules": rules}, "requires indexed completion mode")


def _check_failure_policy(spec: Obj, path: str, faults: Faults) -> None:
    for i, rule in enumerate(spec["podFailurePolicy"].get("rules") or []):
        where = f"{path}.podFailurePolicy.rules[{i}]"
        action = rule.get("action", "")
        if action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            faults.invalid(f"{where}.action", action, "requires the backoffLimitPerIndex to be set")
        elif action not in ("Count", "FailIndex", "FailJob", "Ignore"):
            faults.unsupported(f"{where}.action", action, ("Count", "FailIndex", "FailJob", "Ignore"))
        codes = rule.get("onExitCodes") or {}
        for j, code in enumerate(codes.get("values") or []):
            if code == 0 and codes.get("operator") == "In":
                faults.invalid(f"{where}.onExitCodes.values[{j}]", code, "must not be 0 for the In operator")


def job_unchanged(old: Obj, new: Obj, faults: Faults) -> None:
    """What of a Job stays: completions (unless elastic), selector, template (unless suspended and not begun)."""
    before, after = old.get("spec") or {}, new.get("spec") or {}
    elastic = after.get("completionMode") == "Indexed" and after.get("completions") == after.get("parallelism")
    if before.get("completions") != after.get("completions") and not elastic:
        faults.invalid("spec.completions", after.get("completions"), IMMUTABLE)
    if before.get("selector") != after.get("selector"):
        faults.invalid("spec.selector", as_struct(after.get("selector") or {}), IMMUTABLE)
    pods_before, pods_after = (before.get("template") or {}).get("spec"), (after.get("template") or {}).get("spec")
    if pods_before != pods_after and not _only_placement(pods_before or {}, pods_after or {}, bool(before.get("suspend"))):
        faults.invalid("spec.template.spec", pods_after, IMMUTABLE)
    for key in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "successPolicy"):
        if before.get(key) != after.get(key):
            faults.invalid(f"spec.{key}", after.get(key), IMMUTABLE)


def _only_placement(old: Obj, new: Obj, suspended: bool) -> bool:
    """Whether only that differs which may while a Job is suspended: where its pods go."""
    free = {"nodeSelector", "tolerations", "affinity", "schedulingGates"}
    return suspended and all(old.get(key) == new.get(key) for key in (old.keys() | new.keys()) - free)


def check_cron_job(obj: Obj, faults: Faults) -> None:
    """A CronJob: the schedule, and the job it makes."""
    spec = obj.get("spec") or {}
    schedule = spec.get("schedule", "")
    fields = schedule.split()
    if not schedule:
        faults.required("spec.schedule")
    elif not schedule.startswith("@"):
        if len(fields) != 5:
            faults.invalid("spec.schedule", schedule, f"expected exactly 5 fields, found {len(fields)}: {plain(fields)}")
        else:
            for field in fields:
                if not all(_FIELD.fullmatch(part) for part in field.split(",")):
                    faults.invalid("spec.schedule", schedule, f"failed to parse int from {field}: strconv.Atoi: parsing {field!r}: invalid syntax")
                    break
    faults.choice("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
    _check_spec((spec.get("jobTemplate") or {}).get("spec") or {}, faults, "spec.jobTemplate.spec")
    name = obj["metadata"].get("name") or ""
    if len(name) > 52:
        faults.invalid("metadata.name", name, "must be no more than 52 characters")
