"""Defaults of what makes pods: deployments, sets, jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.kubernetes.defaults.pods import fill

Obj = dict[str, Any]
FOREVER = 2147483647


def deployment_spec(spec: Obj) -> None:
    """`apps/v1` Deployment."""
    fill(spec, replicas=1, strategy={}, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec["strategy"]
    fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill(strategy, rollingUpdate={})
        fill(strategy["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")


def replica_set_spec(spec: Obj) -> None:
    """`apps/v1` ReplicaSet."""
    fill(spec, replicas=1)


def stateful_set_spec(spec: Obj) -> None:
    """`apps/v1` StatefulSet."""
    fill(spec, serviceName="", podManagementPolicy="OrderedReady", updateStrategy={}, replicas=1, revisionHistoryLimit=10)
    update = spec["updateStrategy"]
    fill(update, type="RollingUpdate")
    if update["type"] == "RollingUpdate":
        fill(update, rollingUpdate={})
        fill(update["rollingUpdate"], partition=0)
    fill(spec, persistentVolumeClaimRetentionPolicy={})
    fill(spec["persistentVolumeClaimRetentionPolicy"], whenDeleted="Retain", whenScaled="Retain")
    for claim in spec.get("volumeClaimTemplates", ()):
        fill(claim, apiVersion="v1", kind="PersistentVolumeClaim")


def daemon_set(obj: Obj) -> None:
    """`apps/v1` DaemonSet: the template's generation still travels as an annotation."""
    spec = obj.setdefault("spec", {})
    fill(spec, updateStrategy={}, revisionHistoryLimit=10)
    update = spec["updateStrategy"]
    fill(update, type="RollingUpdate")
    if update["type"] == "RollingUpdate":
        fill(update, rollingUpdate={})
        fill(update["rollingUpdate"], maxUnavailable=1, maxSurge=0)


def job_spec(spec: Obj) -> None:
    """`batch/v1` Job; parallelism without completions is a work queue."""
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    per_index = "backoffLimitPerIndex" in spec
    fill(spec, parallelism=1, completionMode="NonIndexed", suspend=False, manualSelector=False)
    fill(spec, backoffLimit=FOREVER if per_index else 6, podReplacementPolicy="Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    if spec["completionMode"] == "Indexed":
        fill(spec, completions=spec["parallelism"])
    for rule in (spec.get("podFailurePolicy") or {}).get("rules", ()):
        for condition in rule.get("onPodConditions", ()):
            fill(condition, status="True")


def job(obj: Obj) -> None:
    """Labels of a Job default to those of its pods."""
    _labels_from_template(obj)
    job_spec(obj.setdefault("spec", {}))


def cron_job_spec(spec: Obj) -> None:
    """`batch/v1` CronJob."""
    fill(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)


def replication_controller(obj: Obj) -> None:
    """`v1` ReplicationController takes selector and labels from its template."""
    spec = obj.setdefault("spec", {})
    labels = (((spec.get("template") or {}).get("metadata")) or {}).get("labels") or {}
    if labels and not spec.get("selector"):
        spec["selector"] = dict(labels)
    _labels_from_template(obj)
    fill(spec, replicas=1)


def _labels_from_template(obj: Obj) -> None:
    labels = (((obj.get("spec") or {}).get("template") or {}).get("metadata") or {}).get("labels") or {}
    if labels and not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = dict(labels)


def autoscaler_spec(spec: Obj) -> None:
    """`autoscaling/v2` HorizontalPodAutoscaler: 80 % of the CPU asked for."""
    fill(spec, minReplicas=1)
    if not spec.get("metrics"):
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]


def template(obj: Obj) -> None:
    """Pod and job templates always show their metadata."""
    fill(obj, metadata={})


def status(**zeros: Any) -> Callable[[Obj], None]:
    """Kinds that always show their status, with the counts that are written even when 0."""

    def fill_status(obj: Obj) -> None:
        fill(obj, status={})
        fill(obj["status"], **zeros)

    return fill_status


def both(first: Callable[[Obj], None], second: Callable[[Obj], None]) -> Callable[[Obj], None]:
    """One after the other."""

    def apply(obj: Obj) -> None:
        first(obj)
        second(obj)

    return apply


DEFAULTS = {
    "core.v1.PodTemplateSpec": template,
    "batch.v1.JobTemplateSpec": template,
    "apps.v1.Deployment": status(),
    "apps.v1.ReplicaSet": status(replicas=0),
    "apps.v1.StatefulSet": status(replicas=0, availableReplicas=0),
    "autoscaling.v2.HorizontalPodAutoscaler": status(desiredReplicas=0, currentMetrics=None),
    "batch.v1.CronJob": status(),
    "apps.v1.DeploymentSpec": deployment_spec,
    "apps.v1.ReplicaSetSpec": replica_set_spec,
    "apps.v1.StatefulSetSpec": stateful_set_spec,
    "apps.v1.DaemonSet": both(daemon_set, status(currentNumberScheduled=0, numberMisscheduled=0, desiredNumberScheduled=0, numberReady=0)),
    "batch.v1.Job": both(job, status()),
    "batch.v1.CronJobSpec": cron_job_spec,
    "core.v1.ReplicationController": both(replication_controller, status(replicas=0)),
    "autoscaling.v2.HorizontalPodAutoscalerSpec": autoscaler_spec,
}
