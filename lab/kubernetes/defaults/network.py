"""Defaults of services, endpoints, ingress and network policies. Addresses and node ports are allocated elsewhere."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.defaults.pods import fill

Obj = dict[str, Any]


def service_spec(spec: Obj) -> None:
    """A Service of any type."""
    fill(spec, sessionAffinity="None", type="ClusterIP")
    for port in spec.get("ports", ()):
        fill(port, protocol="TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port")
    if spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        fill(config, timeoutSeconds=10800)
    if spec["type"] == "ExternalName":
        return
    fill(spec, internalTrafficPolicy="Cluster")
    if spec["type"] in ("NodePort", "LoadBalancer") or spec.get("externalIPs"):
        fill(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        fill(spec, allocateLoadBalancerNodePorts=True)


def endpoint_port(port: Obj) -> None:
    """A port of an Endpoints subset."""
    fill(port, protocol="TCP")


def slice_port(port: Obj) -> None:
    """A port of an EndpointSlice."""
    fill(port, name="", protocol="TCP")


def network_policy_spec(spec: Obj) -> None:
    """Ingress always, Egress when something is said about it."""
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def policy_port(port: Obj) -> None:
    """A port in a NetworkPolicy."""
    fill(port, protocol="TCP")


def balanced(obj: Obj) -> None:
    """Kinds that may have a load balancer show its state, be it empty."""
    fill(obj, status={})
    fill(obj["status"], loadBalancer={})


DEFAULTS = {
    "core.v1.Service": balanced,
    "networking.v1.Ingress": balanced,
    "core.v1.ServiceSpec": service_spec,
    "core.v1.EndpointPort": endpoint_port,
    "discovery.v1.EndpointPort": slice_port,
    "networking.v1.NetworkPolicySpec": network_policy_spec,
    "networking.v1.NetworkPolicyPort": policy_port,
}
