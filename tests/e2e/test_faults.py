"""What goes wrong ends the flow soon, with the reason and what to do; or the flow rides it out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from networks import diagnosis
from networks.errors import Permanent, SpecError, Transient
from tasks.kubernetes import connection
from tasks.spacemesh import checks
from tests.e2e.cluster import Target, keys_of

TINY: dict[str, Any] = {"miners": 2, "bootnodes": 0, "poets": {"gateways": 1}}


# Somebody else's pods, which hold the host port that miner-1 needs, on every node.
BLOCKER = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "blocker"},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "blocker"}},
        "template": {
            "metadata": {"labels": {"app": "blocker"}},
            "spec": {"containers": [{"name": "c", "image": "example/pause:1", "ports": [{"containerPort": 5001, "hostPort": 5001}]}]},
        },
    },
}


async def deploy(spec: dict[str, Any], **options: Any) -> Any:
    from flows.deploy_network import deploy_network

    return await deploy_network(spec, **options)


async def trouble_of(network: str) -> str:
    """The markdown artifact about what went wrong."""
    from prefect.artifacts import Artifact

    artifact = await Artifact.aget(f"{network}-trouble")
    assert artifact is not None
    return str(artifact.data)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What mends itself often enough is given less time to do so."""
    monkeypatch.setattr(diagnosis, "PATIENCE", diagnosis.PATIENCE / 20)


async def test_wrong_image(lab: Target, network: str) -> None:
    """The reason, and the events of the pod that wanted it."""
    lab.fault("image", "go-spacemesh-dev:nowhere", "pull-error")
    with pytest.raises(Permanent) as caught:
        await deploy(lab.spec(network, **TINY, images={"node": "spacemeshos/go-spacemesh-dev:nowhere"}))
    assert "miner-1" in str(caught.value)
    assert "cannot be pulled" in str(caught.value)
    text = await trouble_of(network)
    assert "check the image's name and tag" in text
    assert "Failed to pull image" in text


async def test_crashing_node(lab: Target, network: str) -> None:
    """The last log lines say why the node stopped."""
    lab.fault("program", f"{network}/miner-1", "crash", code=3, line="FATAL the proof of everything is missing")
    with pytest.raises(Permanent, match="exit code 3"):
        await deploy(lab.spec(network, **TINY))
    text = await trouble_of(network)
    assert "the proof of everything is missing" in text
    assert "Back-off restarting failed container" in text


async def test_no_room(lab: Target, network: str) -> None:
    """Seen before anything is made."""
    with pytest.raises(SpecError, match=r"poets\.count|miners\.count"):
        await deploy({"name": network, "preset": "testnet"})
    assert not lab.has_namespace(network)


async def test_unschedulable_miner(lab: Target, network: str, impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room that is taken between the look and the deployment: the scheduler's own words, and what to do."""
    real = checks.worker_nodes

    async def before_others_came(*arguments: Any) -> Any:
        nodes, seen = await real(*arguments)
        return tuple(replace(node, taken_ports=frozenset()) for node in nodes), seen

    monkeypatch.setattr(checks, "worker_nodes", before_others_came)
    lab.create("/apis/apps/v1/namespaces/default/deployments", BLOCKER)
    try:
        await pods_running(lab, "default", 3)
        with pytest.raises(Permanent) as caught:
            await deploy(lab.spec(network, **TINY))
    finally:
        lab.delete("/apis/apps/v1/namespaces/default/deployments/blocker")
    assert "didn't have free ports" in str(caught.value)
    assert "host port" in caught.value.advice
    assert "FailedScheduling" in await trouble_of(network)


async def pods_running(target: Target, namespace: str, count: int) -> None:
    """Until so many pods have found a place."""
    async with asyncio.timeout(30):
        while sum("nodeName" in pod["spec"] for pod in target.objects(namespace, "Pod")["Pod"]) < count:
            await asyncio.sleep(0.1)


async def test_poet_that_refuses(lab: Target, network: str) -> None:
    """What it said, and what it may not reach."""
    lab.fault("program", f"{network}/poet-0", "refuse-activation", status=400, message="gateway miner-1 is out of step")
    with pytest.raises(Permanent, match="refuses to be activated") as caught:
        await deploy(lab.spec(network, **TINY))
    assert "gateway miner-1 is out of step" in str(caught.value)
    lab.no_faults()
    report = await deploy(lab.spec(network, **TINY))
    assert report.changes.created == 0


@pytest.mark.parametrize(
    ("effect", "options"),
    [("status", {"code": 429, "retry_after": 1}), ("status", {"code": 500}), ("reset", {}), ("reset-after", {})],
    ids=["429", "500", "reset", "reset after the work was done"],
)
async def test_api_server_in_trouble(lab: Target, network: str, effect: str, options: dict[str, Any]) -> None:
    """Some requests of every kind fail: ridden out, and nothing is made twice or lost."""
    for verb in ("GET", "PATCH", "POST"):
        lab.fault("api", rf"^{verb} /\S*{network}", effect, times=2, after=1, **options)
    report = await deploy(lab.spec(network, **TINY))
    assert all(row.ready for row in report.miners)
    assert lab.faults() == [], "there was less trouble than asked for"
    objects = lab.objects(network)
    assert len(keys_of(objects)) == 2
    assert len(objects["Pod"]) == 3
    assert (await deploy(lab.spec(network, **TINY))).changes.created == 0


async def test_api_server_that_stays_down(lab: Target, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The patience is spent once, not again by the task around it."""
    tries = []
    real = checks.find_record

    async def counted(*arguments: Any) -> Any:
        tries.append(arguments)
        return await real(*arguments)

    monkeypatch.setattr(checks, "find_record", counted)
    monkeypatch.setattr(connection, "PATIENCE", 1)
    lab.fault("api", rf"^GET /api/v1/namespaces/{network}", "status", code=500)
    with pytest.raises(Transient, match="HTTP 500"):
        await deploy(lab.spec(network, **TINY))
    assert len(tries) == 1


async def test_missing_right(lab: Target, network: str) -> None:
    """The verb and the resource are named; it is not tried again and again."""
    message = 'services is forbidden: User "ci" cannot patch resource "services" in API group "" in the namespace'
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": "Forbidden", "code": 403}
    lab.fault("api", rf"^PATCH /api/v1/namespaces/{network}/services", "status", code=403, body=body)
    with pytest.raises(Permanent, match='cannot patch resource "services"'):
        await deploy(lab.spec(network, **TINY))


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machines of the cluster are not reached from here: only its API server is."""
    from tasks.spacemesh import reach

    async def nothing(host: str, port: int, seconds: float) -> bool:
        return False

    monkeypatch.setattr(reach, "accepts", nothing)
    monkeypatch.setattr(reach, "_DIRECT_SECONDS", 0.1)


async def test_node_ports_that_cannot_be_reached(lab: Target, network: str, far_away: None) -> None:
    """Private machines: nodes and PoETs are reached through the API server; said once, and the addresses are those that others will use."""
    report = await deploy(lab.spec(network, miners=3, bootnodes=1))
    assert all("/p2p/" in row.p2p_address for row in report.miners)
    assert [row.state for row in report.poets] == ["activated"]
    assert len(report.warnings) == 1
    assert "reached through the API server" in report.warnings[0]
    assert not any(row.grpc.startswith("127.0.0.1:") for row in report.miners)
    again = await deploy(lab.spec(network, miners=3, bootnodes=1))
    assert again.miners == report.miners
    assert [row.state for row in again.poets] == ["already active"]

    from flows.list_networks import list_networks

    listed = next(one for one in (await list_networks()).networks if one.network == network)
    assert [row.p2p_address for row in listed.miners] == [row.p2p_address for row in report.miners]
    assert listed.synced == "3/3"


async def test_no_way_to_the_pods_at_all(lab: Target, network: str, far_away: None) -> None:
    """Identities are still to be had from logs; a PoET that must be activated is not, and both ways are named."""
    refusal = {"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no port-forward"}
    lab.fault("api", rf"^GET /api/v1/namespaces/{network}/pods/\S*/portforward", "status", code=403, body=refusal)
    with pytest.raises(Permanent, match="cannot be reached from where this flow runs") as caught:
        await deploy(lab.spec(network, **TINY))
    assert "node port" in caught.value.advice
    assert "pods/portforward" in caught.value.advice
