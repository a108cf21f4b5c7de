"""Containers: names, images, ports, environment, mounts, resources, probes."""

from __future__ import annotations

from typing import Any

from lab.kubernetes import quantity
from lab.kubernetes.validation.faults import DATA_KEY, NOT_A_DATA_KEY, Faults

Obj = dict[str, Any]

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def check_containers(spec: Obj, volumes: set[str], path: str, faults: Faults) -> None:
    """All containers of a pod spec, init containers last, as the server goes."""
    containers = spec.get("containers") or []
    if not containers:
        faults.required(f"{path}.containers")
    names: set[str] = set()
    for i, container in enumerate(containers):
        _check_container(container, volumes, f"{path}.containers[{i}]", names, faults)
    _check_host_ports(containers, f"{path}.containers", faults)
    for i, container in enumerate(spec.get("initContainers") or []):
        where = f"{path}.initContainers[{i}]"
        _check_container(container, volumes, where, names, faults, init=True)


def _check_container(container: Obj, volumes: set[str], path: str, names: set[str], faults: Faults, init: bool = False) -> None:
    name = container.get("name", "")
    if not name:
        faults.required(f"{path}.name")
    else:
        faults.label_name(f"{path}.name", name)
    image = container.get("image", "")
    if not image:
        faults.required(f"{path}.image")
    elif image != image.strip():
        faults.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    faults.choice(f"{path}.terminationMessagePolicy", container.get("terminationMessagePolicy"), ("File", "FallbackToLogsOnError"))
    _check_ports(container.get("ports") or [], f"{path}.ports", faults)
    for i, variable in enumerate(container.get("env") or []):
        _check_variable(variable, f"{path}.env[{i}]", faults)
    _check_mounts(container.get("volumeMounts") or [], volumes, f"{path}.volumeMounts", faults)
    faults.choice(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), PULL_POLICIES)
    check_resources(container.get("resources") or {}, f"{path}.resources", faults)
    if name and name in names:
        faults.duplicate(f"{path}.name", name)
    names.add(name)
    if init and container.get("restartPolicy") != "Always":
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            if probe in container:
                faults.forbidden(f"{path}.{probe}", "may not be set for init containers without restartPolicy=Always")
        return
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _check_probe(container[probe], f"{path}.{probe}", faults, once=probe != "readinessProbe")


def _check_ports(ports: list[Obj], path: str, faults: Faults) -> None:
    names: set[str] = set()
    for i, port in enumerate(ports):
        where = f"{path}[{i}]"
        if name := port.get("name"):
            _check_port_name(name, f"{where}.name", faults)
            if name in names:
                faults.duplicate(f"{where}.name", name)
            names.add(name)
        if not port.get("containerPort"):
            faults.required(f"{where}.containerPort")
        else:
            faults.port_number(f"{where}.containerPort", port["containerPort"])
        if port.get("hostPort"):
            faults.port_number(f"{where}.hostPort", port["hostPort"])
        faults.choice(f"{where}.protocol", port.get("protocol"), PROTOCOLS)


def _check_port_name(name: str, path: str, faults: Faults) -> None:
    """An IANA service name."""
    if len(name) > 15:
        faults.invalid(path, name, "must be no more than 15 characters")
    if not all(sign.isascii() and (sign.islower() or sign.isdigit() or sign == "-") for sign in name):
        faults.invalid(path, name, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any(sign.isalpha() for sign in name):
        faults.invalid(path, name, "must contain at least one letter (a-z)")
    if "--" in name:
        faults.invalid(path, name, "must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        faults.invalid(path, name, "must not begin or end with a hyphen")


def _check_host_ports(containers: list[Obj], path: str, faults: Faults) -> None:
    taken: set[tuple[str, str, int]] = set()
    for i, container in enumerate(containers):
        for j, port in enumerate(container.get("ports") or []):
            if host := port.get("hostPort"):
                key = (port.get("protocol", "TCP"), port.get("hostIP", ""), host)
                if key in taken:
                    faults.duplicate(f"{path}[{i}].ports[{j}].hostPort", f"{key[0]}/{key[1]}/{key[2]}")
                taken.add(key)


def _check_variable(variable: Obj, path: str, faults: Faults) -> None:
    name = variable.get("name", "")
    if not name:
        faults.required(f"{path}.name")
    elif "=" in name or not name.isprintable():
        why = "a valid environment variable name must consist only of printable ASCII characters other than '='"
        faults.invalid(f"{path}.name", name, why)
    source = variable.get("valueFrom")
    if source is None:
        return
    given = [key for key in SOURCES if key in source]
    if not given:
        faults.invalid(f"{path}.valueFrom", "", f"must specify one of: `{'`, `'.join(SOURCES[:-1])}` or `{SOURCES[-1]}`")
    elif variable.get("value"):
        faults.invalid(f"{path}.valueFrom", "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        faults.invalid(f"{path}.valueFrom", "", "may not have more than one field specified at a time")
    for key in ("configMapKeyRef", "secretKeyRef"):
        if key in source:
            _check_key_ref(source[key], f"{path}.valueFrom.{key}", faults)


def _check_key_ref(ref: Obj, path: str, faults: Faults) -> None:
    key = ref.get("key", "")
    if not key:
        faults.required(f"{path}.key")
    elif not DATA_KEY.fullmatch(key):
        faults.invalid(f"{path}.key", key, NOT_A_DATA_KEY)


def _check_mounts(mounts: list[Obj], volumes: set[str], path: str, faults: Faults) -> None:
    places: set[str] = set()
    for i, mount in enumerate(mounts):
        where = f"{path}[{i}]"
        name = mount.get("name", "")
        if not name:
            faults.required(f"{where}.name")
        elif name not in volumes:
            faults.not_found(f"{where}.name", name)
        place = mount.get("mountPath", "")
        if not place:
            faults.required(f"{where}.mountPath")
        elif place in places:
            faults.invalid(f"{where}.mountPath", place, "must be unique")
        places.add(place)
        sub = mount.get("subPath", "")
        if sub.startswith("/"):
            faults.invalid(f"{where}.subPath", sub, "must be a relative path")
        elif ".." in sub.split("/"):
            faults.invalid(f"{where}.subPath", sub, "must not contain '..'")


def check_resources(resources: Obj, path: str, faults: Faults) -> None:
    """Requests within limits, and none of them negative."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name, amount in sorted(limits.items()):
        _check_amount(f"{path}.limits[{name}]", amount, faults)
    for name, amount in sorted(requests.items()):
        _check_amount(f"{path}.requests[{name}]", amount, faults)
        if name in limits and quantity.parse(amount) > quantity.parse(limits[name]):
            why = f"must be less than or equal to {name} limit of {quantity.canonical(limits[name])}"
            faults.invalid(f"{path}.requests", quantity.canonical(amount), why)


def _check_amount(path: str, amount: Any, faults: Faults) -> None:
    if quantity.parse(amount) < 0:
        faults.invalid(path, quantity.canonical(amount), "must be greater than or equal to 0")


HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")


def _check_probe(probe: Obj, path: str, faults: Faults, once: bool) -> None:
    given = [handler for handler in HANDLERS if handler in probe]
    if not given:
        faults.required(path, "must specify a handler type")
    for handler in given[1:]:
        faults.forbidden(f"{path}.{handler}", "may not specify more than 1 handler type")
    if "httpGet" in probe:
        _check_target(probe["httpGet"], f"{path}.httpGet", faults)
    if "tcpSocket" in probe:
        _check_target(probe["tcpSocket"], f"{path}.tcpSocket", faults)
    if "exec" in probe and not probe["exec"].get("command"):
        faults.required(f"{path}.exec.command")
    for key in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        faults.not_negative(f"{path}.{key}", probe.get(key))
    if once and probe.get("successThreshold", 1) != 1:
        faults.invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def _check_target(target: Obj, path: str, faults: Faults) -> None:
    port = target.get("port")
    if isinstance(port, int):
        faults.port_number(f"{path}.port", port)
    else:
        _check_port_name(port or "", f"{path}.port", faults)
