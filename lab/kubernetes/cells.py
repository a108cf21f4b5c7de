"""The cells of Table rows, kind by kind: durations, ready counts, what a Pod's status is called."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from lab.kubernetes.selectors import selector_text

Obj = dict[str, Any]
Cells = Callable[[Obj, datetime], list[Any]]

NONE = "<none>"


# Up to so many seconds: the larger unit, and the smaller one shown with it.
_UNITS = (
    (600, (60, "m"), (1, "s")),
    (3 * 3600, (60, "m"), None),
    (8 * 3600, (3600, "h"), (60, "m")),
    (48 * 3600, (3600, "h"), None),
    (8 * 86400, (86400, "d"), (3600, "h")),
    (730 * 86400, (86400, "d"), None),
    (2920 * 86400, (365 * 86400, "y"), (86400, "d")),
)


def duration(seconds: float) -> str:
    """`5s`, `3m20s`, `74m`, `5h`, `2d3h`, `400d`: as kubectl prints ages."""
    total = int(seconds)
    if total < 120:
        return f"{max(total, 0)}s" if total >= -1 else "<invalid>"
    for limit, (size, unit), smaller in _UNITS:
        if total < limit:
            rest = total % size // smaller[0] if smaller else 0
            return f"{total // size}{unit}" + (f"{rest}{smaller[1]}" if smaller and rest else "")
    return f"{total // (365 * 86400)}y"


def age(text: str | None, now: datetime) -> str:
    """How long ago a timestamp is."""
    if not text:
        return "<unknown>"
    return duration((now - datetime.fromisoformat(text).astimezone(UTC)).total_seconds())


def _age(obj: Obj, now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def _name(obj: Obj) -> str:
    return str(obj["metadata"]["name"])


def _containers(spec: Obj) -> tuple[str, str]:
    containers = (spec.get("template") or {}).get("spec", {}).get("containers") or ()
    return ",".join(one["name"] for one in containers), ",".join(one.get("image", "") for one in containers)


def _initializing(spec: Obj, status: Obj) -> tuple[str, int] | None:
    """`Init:0/2` and the like, with its restarts, while init containers run; None after."""
    kinds = {one["name"]: one for one in spec.get("initContainers") or ()}
    restarts = 0
    for index, one in enumerate(status.get("initContainerStatuses") or ()):
        state = one.get("state") or {}
        restarts += one.get("restartCount", 0)
        sidecar = kinds.get(one["name"], {}).get("restartPolicy") == "Always"
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if (ended and ended.get("exitCode") == 0) or (sidecar and one.get("started")):
            continue
        if ended:
            code = f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode')}"
            return f"Init:{ended.get('reason') or code}", restarts
        if waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}", restarts
        return f"Init:{index}/{len(kinds)}", restarts
    return None


def _pod_reason(obj: Obj) -> tuple[str, int, int]:
    """What kubectl calls a Pod's status; ready containers; restarts."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    reason = str(status.get("reason") or status.get("phase") or "")
    ready = restarts = 0
    starting = _initializing(spec, status)
    if starting:
        reason, restarts = starting
    else:
        running = False
        for one in reversed(status.get("containerStatuses") or ()):
            state = one.get("state") or {}
            restarts += one.get("restartCount", 0)
            ended = state.get("terminated")
            if (state.get("waiting") or {}).get("reason"):
                reason = state["waiting"]["reason"]
            elif ended:
                reason = ended.get("reason") or (f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode')}")
            elif one.get("ready") and state.get("running"):
                running = True
                ready += 1
        if reason == "Completed" and running:
            reason = "Running" if _condition(obj, "Ready") == "True" else "NotReady"
    if obj["metadata"].get("deletionTimestamp"):
        reason = "Unknown" if status.get("reason") == "NodeLost" else reason if reason in ("Completed", "Error") else "Terminating"
    return reason, ready, restarts


def _condition(obj: Obj, kind: str) -> str:
    return next((one["status"] for one in (obj.get("status") or {}).get("conditions") or () if one["type"] == kind), "")


def _pod(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    reason, ready, restarts = _pod_reason(obj)
    last = max(
        ((one.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or "" for one in [{}, *(status.get("containerStatuses") or ())]
    )
    shown = f"{restarts} ({age(last, now)} ago)" if restarts and last else str(restarts)
    ips = status.get("podIPs") or ()
    return [
        _name(obj), f"{ready}/{len(spec.get('containers') or ())}", reason, shown, _age(obj, now),
        ips[0]["ip"] if ips else NONE, spec.get("nodeName") or NONE, status.get("nominatedNodeName") or NONE, _gates(obj),
    ]  # fmt: skip


def _gates(obj: Obj) -> str:
    gates = (obj.get("spec") or {}).get("readinessGates") or ()
    return f"{sum(_condition(obj, gate['conditionType']) == 'True' for gate in gates)}/{len(gates)}" if gates else NONE


def _deployment(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    numbers = [status.get("updatedReplicas", 0), status.get("availableReplicas", 0)]
    return [_name(obj), ready, *numbers, _age(obj, now), *_containers(spec), selector_text(spec.get("selector")) or NONE]


def _replica_set(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    numbers = [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [_name(obj), *numbers, _age(obj, now), *_containers(spec), selector_text(spec.get("selector")) or NONE]


def _stateful_set(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [_name(obj), f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}", _age(obj, now), *_containers(spec)]


def _daemon_set(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    names = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable")
    where = selector_text(spec.get("template", {}).get("spec", {}).get("nodeSelector")) or NONE
    return [_name(obj), *(status.get(name, 0) for name in names), where, _age(obj, now), *_containers(spec), selector_text(spec.get("selector"))]


def _job(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    done, parallel = status.get("succeeded", 0), spec.get("parallelism", 1)
    wanted = f"{spec['completions']}" if "completions" in spec else f"1 of {parallel}" if parallel > 1 else "1"
    word = "Running"
    for kind, name in (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended"), ("FailureTarget", "FailureTarget")):
        if _condition(obj, kind) == "True":
            word = name
            break
    else:
        word = "Terminating" if obj["metadata"].get("deletionTimestamp") else word
    took = ""
    if status.get("startTime"):
        start = datetime.fromisoformat(status["startTime"])
        end = datetime.fromisoformat(status["completionTime"]) if status.get("completionTime") else now
        took = duration((end - start).total_seconds())
    return [_name(obj), word, f"{done}/{wanted}", took, _age(obj, now), *_containers(spec), selector_text(spec.get("selector")) or NONE]


def _cron_job(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    last = age(status["lastScheduleTime"], now) if status.get("lastScheduleTime") else NONE
    job = spec.get("jobTemplate", {}).get("spec", {})
    suspended, active = "True" if spec.get("suspend") else "False", len(status.get("active") or ())
    head = [_name(obj), spec.get("schedule"), spec.get("timeZone") or NONE, suspended, active]
    return [*head, last, _age(obj, now), *_containers(job), selector_text(job.get("selector")) or NONE]


def _external_ip(spec: Obj, status: Obj) -> str:
    given = spec.get("externalIPs") or []
    kind = spec.get("type", "ClusterIP")
    if kind == "ExternalName":
        return spec.get("externalName") or NONE
    if kind == "LoadBalancer":
        there = [one.get("ip") or one.get("hostname") for one in (status.get("loadBalancer") or {}).get("ingress") or ()]
        return ",".join([*there, *given]) or "<pending>"
    return ",".join(given) or NONE


def _service(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    ports = ",".join(
        f"{port['port']}{':' + str(port['nodePort']) if port.get('nodePort') else ''}/{port.get('protocol', 'TCP')}"
        for port in spec.get("ports") or ()
    )
    external = _external_ip(spec, obj.get("status") or {})
    selector = selector_text(spec.get("selector")) or NONE
    return [_name(obj), spec.get("type"), spec.get("clusterIP") or NONE, external, ports or NONE, _age(obj, now), selector]


def _endpoints(obj: Obj, now: datetime) -> list[Any]:
    found = []
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or [{}]:
            found += [f"{one['ip']}:{port['port']}" if port else one["ip"] for one in subset.get("addresses") or ()]
    return [_name(obj), _few(found), _age(obj, now)]


def _few(values: list[str], most: int = 3) -> str:
    if not values:
        return NONE
    return ",".join(values[:most]) + (f" + {len(values) - most} more..." if len(values) > most else "")


def _endpoint_slice(obj: Obj, now: datetime) -> list[Any]:
    ports = [str(port.get("port", "*")) for port in obj.get("ports") or ()]
    found = [address for one in obj.get("endpoints") or () for address in one.get("addresses") or ()]
    return [_name(obj), obj.get("addressType"), _few(ports) if ports else "<unset>", _few(found) if found else "<unset>", _age(obj, now)]


def _node(obj: Obj, now: datetime) -> list[Any]:
    status, info = obj.get("status") or {}, (obj.get("status") or {}).get("nodeInfo") or {}
    ready = {"True": "Ready", "False": "NotReady", "Unknown": "NotReady"}.get(_condition(obj, "Ready"), "Unknown")
    if (obj.get("spec") or {}).get("unschedulable"):
        ready += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    roles = sorted(key.removeprefix(prefix) for key in obj["metadata"].get("labels") or {} if key.startswith(prefix))
    addresses = {one["type"]: one["address"] for one in reversed(status.get("addresses") or ())}
    kernel = f"{info['kernelVersion']} ({info.get('architecture', '')})" if info.get("kernelVersion") else "<unknown>"
    return [
        _name(obj), ready, ",".join(roles) or NONE, _age(obj, now), info.get("kubeletVersion", ""), addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE), info.get("osImage") or "<unknown>", kernel,
        info.get("containerRuntimeVersion") or "<unknown>",
    ]  # fmt: skip


def _event(obj: Obj, now: datetime) -> list[Any]:
    series = obj.get("series") or {}
    first = obj.get("firstTimestamp") or obj.get("eventTime")
    last = series.get("lastObservedTime") or obj.get("lastTimestamp") or first
    about = obj.get("involvedObject") or {}
    source = obj.get("source") or {}
    where = ", ".join(part for part in (source.get("component") or obj.get("reportingComponent") or "", source.get("host") or "") if part)
    return [
        age(last, now), obj.get("type"), obj.get("reason"), f"{about.get('kind', '').lower()}/{about.get('name', '')}", about.get("fieldPath", ""),
        where, (obj.get("message") or "").strip(), age(first, now), series.get("count") or obj.get("count") or 1, _name(obj),
    ]  # fmt: skip


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _claim(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    bound = spec.get("volumeName")
    phase = "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase")
    capacity = (status.get("capacity") or {}).get("storage", "") if bound else ""
    modes = ",".join(_MODES.get(mode, mode) for mode in status.get("accessModes") or ()) if bound else ""
    return [
        _name(obj), phase, bound or "", capacity, modes, spec.get("storageClassName") or "", spec.get("volumeAttributesClassName") or "<unset>",
        _age(obj, now), spec.get("volumeMode") or "<unset>",
    ]  # fmt: skip


def _budget(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    least, most = (str(spec[key]) if key in spec else "N/A" for key in ("minAvailable", "maxUnavailable"))
    return [_name(obj), least, most, status.get("disruptionsAllowed", 0), _age(obj, now)]


def _storage_class(obj: Obj, now: datetime) -> list[Any]:
    default = (obj["metadata"].get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    name = _name(obj) + (" (default)" if default else "")
    mode, expand = obj.get("volumeBindingMode"), bool(obj.get("allowVolumeExpansion"))
    return [name, obj.get("provisioner"), obj.get("reclaimPolicy"), mode, expand, _age(obj, now)]


def _role_binding(obj: Obj, now: datetime) -> list[Any]:
    role, subjects = obj.get("roleRef") or {}, obj.get("subjects") or ()
    users = ", ".join(one["name"] for one in subjects if one["kind"] == "User")
    groups = ", ".join(one["name"] for one in subjects if one["kind"] == "Group")
    accounts = ", ".join(f"{one.get('namespace', '')}/{one['name']}" for one in subjects if one["kind"] == "ServiceAccount")
    return [_name(obj), f"{role.get('kind')}/{role.get('name')}", _age(obj, now), users, groups, accounts]


def _quota(obj: Obj, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    texts = {name: f"{name}: {used.get(name, '0')}/{hard[name]}" for name in sorted(hard)}
    requests = ", ".join(text for name, text in texts.items() if not name.startswith("limits"))
    limits = ", ".join(text for name, text in texts.items() if name.startswith("limits"))
    return [_name(obj), requests, limits, _age(obj, now)]


def _ingress(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    there = [one.get("ip") or one.get("hostname") for one in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()]
    return [
        _name(obj), spec.get("ingressClassName") or NONE, _few(hosts) if hosts else "*", ",".join(there), "80, 443" if spec.get("tls") else "80",
        _age(obj, now),
    ]  # fmt: skip


def _autoscaler(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    target = spec.get("scaleTargetRef") or {}
    wanted = [
        f"{(metric.get('resource') or {}).get('name')}: <unknown>/{(metric.get('resource') or {}).get('target', {}).get('averageUtilization')}%"
        for metric in spec.get("metrics") or ()
    ]
    numbers = [str(spec.get("minReplicas", "<unset>")), spec.get("maxReplicas"), status.get("currentReplicas", 0)]
    return [_name(obj), f"{target.get('kind')}/{target.get('name')}", ", ".join(wanted) or NONE, *numbers, _age(obj, now)]


def _namespace(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), (obj.get("status") or {}).get("phase"), _age(obj, now)]


def _policy(obj: Obj, now: datetime) -> list[Any]:
    return [_name(obj), selector_text((obj.get("spec") or {}).get("podSelector")) or NONE, _age(obj, now)]


CELLS: dict[str, Cells] = {
    "v1 pods": _pod,
    "v1 services": _service,
    "v1 endpoints": _endpoints,
    "v1 nodes": _node,
    "v1 events": _event,
    "v1 namespaces": _namespace,
    "v1 persistentvolumeclaims": _claim,
    "v1 resourcequotas": _quota,
    "v1 replicationcontrollers": _replica_set,
    "v1 configmaps": lambda obj, now: [_name(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), _age(obj, now)],
    "v1 secrets": lambda obj, now: [_name(obj), obj.get("type"), len(obj.get("data") or ()), _age(obj, now)],
    "v1 serviceaccounts": lambda obj, now: [_name(obj), _age(obj, now)],
    "v1 limitranges": lambda obj, now: [_name(obj), obj["metadata"].get("creationTimestamp")],
    "apps/v1 deployments": _deployment,
    "apps/v1 replicasets": _replica_set,
    "apps/v1 statefulsets": _stateful_set,
    "apps/v1 daemonsets": _daemon_set,
    "batch/v1 jobs": _job,
    "batch/v1 cronjobs": _cron_job,
    "autoscaling/v2 horizontalpodautoscalers": _autoscaler,
    "coordination.k8s.io/v1 leases": lambda obj, now: [_name(obj), (obj.get("spec") or {}).get("holderIdentity") or "", _age(obj, now)],
    "discovery.k8s.io/v1 endpointslices": _endpoint_slice,
    "networking.k8s.io/v1 ingresses": _ingress,
    "networking.k8s.io/v1 networkpolicies": _policy,
    "policy/v1 poddisruptionbudgets": _budget,
    "rbac.authorization.k8s.io/v1 rolebindings": _role_binding,
    "storage.k8s.io/v1 storageclasses": _storage_class,
}
