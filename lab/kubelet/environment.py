"""A container's environment: values, references to ConfigMaps, Secrets, the pod itself and its resources, and the variables of services."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from decimal import ROUND_CEILING
from functools import lru_cache
from typing import Any

from lab.kubernetes.kinds import CONFIG_MAP, NODE, SECRET, SERVICE
from lab.kubernetes.quantity import parse
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

_REFERENCE = re.compile(r"\$(\$|\(([^()$\s]+)\))")


class ConfigError(Exception):
    """A reference leads nowhere: CreateContainerConfigError with this text."""


def expand(text: str, env: dict[str, str]) -> str:
    """`$(NAME)` replaced by its value; `$$` is a dollar sign; what is not known stays as it is."""

    def value(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return env.get(match[2], match[0])

    return _REFERENCE.sub(value, text) if "$" in text else text


def make_environment(registry: Registry, pod: Obj, container: Obj, status: Obj) -> dict[str, str]:
    """Everything that a pod gives to a container, services' variables first so that the pod's own win."""
    namespace = pod["metadata"]["namespace"]
    env = service_environment(registry, namespace, pod["spec"].get("enableServiceLinks", True))
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix", "")
        for key, value in _whole_source(registry, namespace, source):
            env[prefix + key] = value
    for entry in container.get("env") or ():
        if "valueFrom" in entry:
            found = _referenced(registry, pod, container, status, entry["valueFrom"])
            if found is not None:
                env[entry["name"]] = found
        else:
            env[entry["name"]] = expand(entry.get("value", ""), env)
    return env


def _whole_source(registry: Registry, namespace: str, source: Obj) -> Iterator[tuple[str, str]]:
    for field, kind, label in (("configMapRef", CONFIG_MAP, "configmap"), ("secretRef", SECRET, "secret")):
        if field not in source:
            continue
        found = registry.find(kind, namespace, source[field].get("name", ""))
        if found is None:
            if not source[field].get("optional"):
                raise ConfigError(f'{label} "{source[field].get("name", "")}" not found')
            return
        for key, value in (found.get("data") or {}).items():
            yield key, base64.b64decode(value).decode("utf-8", "surrogateescape") if kind is SECRET else value


def _referenced(registry: Registry, pod: Obj, container: Obj, status: Obj, source: Obj) -> str | None:
    namespace = pod["metadata"]["namespace"]
    if "configMapKeyRef" in source:
        return _key(registry, namespace, source["configMapKeyRef"], secret=False)
    if "secretKeyRef" in source:
        return _key(registry, namespace, source["secretKeyRef"], secret=True)
    if "fieldRef" in source:
        return field_value(pod, status, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        return resource_value(registry, pod, container, source["resourceFieldRef"])
    return None


def _key(registry: Registry, namespace: str, ref: Obj, secret: bool) -> str | None:
    name, key = ref.get("name", ""), ref["key"]
    found = registry.find(SECRET if secret else CONFIG_MAP, namespace, name)
    if found is None:
        if ref.get("optional"):
            return None
        raise ConfigError(f'{"secret" if secret else "configmap"} "{name}" not found')
    value: str | None = (found.get("data") or {}).get(key)
    if value is None:
        if ref.get("optional"):
            return None
        raise ConfigError(f"couldn't find key {key} in {'Secret' if secret else 'ConfigMap'} {namespace}/{name}")
    return base64.b64decode(value).decode("utf-8", "surrogateescape") if secret else value


def field_value(pod: Obj, status: Obj, path: str) -> str:
    """A field of the pod as text; labels and annotations as a whole in the form `key="value"`."""
    meta = pod["metadata"]
    keyed = re.fullmatch(r"metadata\.(labels|annotations)\['([^']*)'\]", path)
    if keyed:
        return str((meta.get(keyed[1]) or {}).get(keyed[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        found = meta.get(path.partition(".")[2]) or {}
        return "\n".join(f'{key}="{_escape(value)}"' for key, value in sorted(found.items()))
    if path == "status.podIPs":
        return ",".join(one["ip"] for one in status.get("podIPs") or ())
    if path == "status.hostIPs":
        return ",".join(one["ip"] for one in status.get("hostIPs") or ())
    part: Any = {"metadata": meta, "spec": pod["spec"], "status": status}
    for step in path.split("."):
        part = part.get(step, "") if isinstance(part, dict) else ""
    if path == "spec.serviceAccountName" and not part:
        return "default"
    return str(part)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource_value(registry: Registry, pod: Obj, container: Obj, ref: Obj) -> str:
    """A request or limit in units of the divisor, rounded up; without a limit what the node has."""
    wanted = ref.get("containerName")
    for some in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
        if wanted and some["name"] == wanted:
            container = some
    part, _, name = ref["resource"].partition(".")
    resources = container.get("resources") or {}
    amount = (resources.get(part) or {}).get(name)
    if amount is None and part == "limits":
        node = registry.find(NODE, "", pod["spec"].get("nodeName", "")) or {}
        amount = ((node.get("status") or {}).get("allocatable") or {}).get(name)
    divisor = parse(ref.get("divisor") or "1") or parse("1")
    return str(int((parse(amount or "0") / divisor).to_integral_value(ROUND_CEILING)))


def service_environment(registry: Registry, namespace: str, links: bool) -> dict[str, str]:
    """Variables of every service with a cluster IP in the namespace (if links are on), and always of `kubernetes`."""
    services = {"kubernetes": registry.find(SERVICE, "default", "kubernetes")}
    if links:
        services |= {service["metadata"]["name"]: service for service in registry.list(SERVICE, namespace)}
    env: dict[str, str] = {}
    for name, service in services.items():
        if service is None or service["spec"].get("clusterIP", "None") in ("None", ""):
            continue
        ports = tuple((port.get("name", ""), port["port"], port.get("protocol", "TCP")) for port in service["spec"].get("ports") or ())
        env |= _service_variables(name, service["spec"]["clusterIP"], ports)
    return env


@lru_cache(maxsize=8192)
def _service_variables(name: str, address: str, ports: tuple[tuple[str, int, str], ...]) -> dict[str, str]:
    # Cached so that hundreds of containers share the texts.
    prefix = name.upper().replace("-", "_")
    if not ports:
        return {}
    env = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0][1])}
    for port_name, port, _ in ports:
        if port_name:
            env[f"{prefix}_SERVICE_PORT_{port_name.upper().replace('-', '_')}"] = str(port)
    env[f"{prefix}_PORT"] = f"{ports[0][2].lower()}://{address}:{ports[0][1]}"
    for _, port, protocol in ports:
        start = f"{prefix}_PORT_{port}_{protocol}"
        env |= {
            start: f"{protocol.lower()}://{address}:{port}", f"{start}_PROTO": protocol.lower(), f"{start}_PORT": str(port), f"{start}_ADDR": address,
        }  # fmt: skip
    return env
