"""Endpoints and endpoint slices as pods come and go."""

from __future__ import annotations

from typing import Any

from lab.controllers.endpoints import TRIGGER
from lab.kubernetes.kinds import DEPLOYMENT, ENDPOINT_SLICE, ENDPOINTS, NODE, POD, SERVICE
from tests.lab.controllers.world import Cluster, cluster

Obj = dict[str, Any]


def serve(lab: Cluster, name: str = "web", **spec: Any) -> Obj:
    body = {
        "metadata": {"name": name, "labels": {"s": "1"}},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}], **spec},
    }
    return lab.registry.create(SERVICE, body, "demo")


def slices(lab: Cluster) -> list[Obj]:
    return lab.registry.list(ENDPOINT_SLICE, "demo")


def listed(lab: Cluster) -> list[Obj]:
    return [end for one in slices(lab) for end in one["endpoints"] or ()]


def endpoints(lab: Cluster, name: str = "web") -> Obj:
    return lab.registry.get(ENDPOINTS, "demo", name)


async def test_a_service_without_pods_has_an_empty_slice_and_empty_endpoints() -> None:
    async with cluster() as lab:
        service = serve(lab)
        await lab.settle()
        (one,) = slices(lab)
        meta = one["metadata"]
        assert (one["endpoints"], one["ports"], one["addressType"]) == (None, None, "IPv4")
        assert meta["generateName"] == "web-"
        assert meta["labels"] == {
            "s": "1", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io", "kubernetes.io/service-name": "web",
        }  # fmt: skip
        assert meta["ownerReferences"][0]["uid"] == service["metadata"]["uid"]
        assert "subsets" not in endpoints(lab)
        assert endpoints(lab)["metadata"]["labels"] == {"s": "1", "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
        assert endpoints(lab)["metadata"]["annotations"] == {TRIGGER: service["metadata"]["creationTimestamp"]}


async def test_ready_pods_are_addresses_and_others_are_not() -> None:
    async with cluster() as lab:
        serve(lab)
        lab.deploy(replicas=2)
        await lab.until(lambda: len(listed(lab)) == 2)
        await lab.settle()
        first, second = lab.pods()
        lab.registry.modify(POD, "demo", first["metadata"]["name"], lambda pod: pod["status"]["conditions"][0].update(status="False"), "status")
        await lab.settle()
        (subset,) = endpoints(lab)["subsets"]
        assert [one["ip"] for one in subset["addresses"]] == [second["status"]["podIP"]]
        assert [one["ip"] for one in subset["notReadyAddresses"]] == [first["status"]["podIP"]]
        assert subset["ports"] == [{"port": 8080, "protocol": "TCP"}]
        found = {one["targetRef"]["name"]: one for one in slices(lab)[0]["endpoints"]}
        assert found[first["metadata"]["name"]]["conditions"] == {"ready": False, "serving": False, "terminating": False}
        assert found[second["metadata"]["name"]]["conditions"] == {"ready": True, "serving": True, "terminating": False}
        assert slices(lab)[0]["ports"] == [{"name": "", "protocol": "TCP", "port": 8080}]


async def test_a_terminating_pod_still_serves_in_the_slice_but_is_no_endpoint() -> None:
    async with cluster() as lab:
        serve(lab)
        lab.deploy(replicas=1)
        await lab.until(lambda: listed(lab))
        await lab.settle()
        lab.registry.modify(DEPLOYMENT, "demo", "web", lambda one: one["spec"].update(replicas=0))
        await lab.until(lambda: not lab.pods())
        await lab.settle()
        states = [[end["conditions"] for end in event.object["endpoints"] or ()] for event in lab.history(ENDPOINT_SLICE)]
        assert [{"ready": False, "serving": True, "terminating": True}] in states
        assert slices(lab)[0]["endpoints"] is None
        assert "subsets" not in endpoints(lab)


async def test_a_headless_service_may_list_pods_that_are_not_ready_and_names_hosts() -> None:
    async with cluster() as lab:
        serve(lab, clusterIP="None", publishNotReadyAddresses=True, ports=[{"name": "p2p", "port": 7513, "targetPort": "p2p"}])
        container = {"ports": [{"name": "p2p", "containerPort": 7000}]}
        lab.deploy(replicas=1, container=container, pod={"hostname": "one", "subdomain": "web"})
        await lab.until(lambda: listed(lab))
        (pod,) = lab.pods()
        lab.registry.modify(POD, "demo", pod["metadata"]["name"], lambda one: one["status"]["conditions"][0].update(status="False"), "status")
        await lab.settle()
        (end,) = slices(lab)[0]["endpoints"]
        assert end["conditions"] == {"ready": True, "serving": False, "terminating": False}
        assert end["hostname"] == "one"
        assert endpoints(lab)["subsets"][0]["addresses"][0]["hostname"] == "one"
        assert slices(lab)[0]["ports"] == [{"name": "p2p", "protocol": "TCP", "port": 7000}]
        assert slices(lab)[0]["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


async def test_services_without_selector_are_left_alone_and_deleted_ones_take_everything_with_them() -> None:
    async with cluster() as lab:
        lab.registry.create(SERVICE, {"metadata": {"name": "outside"}, "spec": {"ports": [{"port": 80}]}}, "demo")
        serve(lab)
        await lab.settle()
        assert lab.registry.find(ENDPOINTS, "demo", "outside") is None
        lab.registry.delete(SERVICE, "demo", "web")
        await lab.until(lambda: not slices(lab) and lab.registry.find(ENDPOINTS, "demo", "web") is None)


async def test_more_than_a_hundred_pods_take_a_second_slice() -> None:
    async with cluster(nodes=2) as lab:
        serve(lab)
        lab.deploy(replicas=103)
        await lab.until(lambda: len(listed(lab)) == 103)
        await lab.settle()
        assert sorted(len(one["endpoints"]) for one in slices(lab)) == [3, 100]
        assert len(endpoints(lab)["subsets"][0]["addresses"]) == 103


async def test_the_zone_of_the_node_is_told() -> None:
    async with cluster() as lab:
        lab.registry.modify(NODE, "", "node1", lambda node: node["metadata"]["labels"].update({"topology.kubernetes.io/zone": "b"}))
        serve(lab)
        lab.deploy(replicas=1)
        await lab.until(lambda: listed(lab))
        assert slices(lab)[0]["endpoints"][0]["zone"] == "b"
