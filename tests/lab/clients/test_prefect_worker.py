"""Prefect's own Kubernetes worker, unmodified: a flow run becomes a Job whose pod executes the flow, and one that cannot start ends as Crashed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from kubernetes import client, config
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect_kubernetes.credentials import KubernetesClusterConfig
from prefect_kubernetes.worker import KubernetesWorker

from lab.programs.rooms import namespaces_work
from tests.lab.labs import RunningLab, running_lab

FLOWS = Path(__file__).parents[2] / "data" / "flows"
IMAGE = "registry.example/flows:1"  # an image with Prefect: this environment's Python stands for it
MISSING = "registry.example/nosuch/flows:1"
POOL = "kubernetes-on-the-lab"
OPTIONS = ("--no-storage", "--no-outside", "--nodes", "1", "--program", f"{IMAGE}={sys.executable}")
PATIENCE = 120  # seconds, before the test says that a flow run hangs


async def job_template(kubeconfig: str) -> dict[str, Any]:
    """The worker's default template with what a user adds to it: the cluster, the flows' code from a ConfigMap, a deadline."""
    template = KubernetesWorker.get_default_base_job_template()
    block = await cast(Any, KubernetesClusterConfig.from_file(Path(kubeconfig)).save("lab-cluster", overwrite=True))
    properties = template["variables"]["properties"]
    properties["cluster_config"]["default"] = {"$ref": {"block_document_id": str(block)}}
    properties["deadline"] = {"type": "integer", "default": 3600}
    spec = template["job_configuration"]["job_manifest"]["spec"]
    spec["activeDeadlineSeconds"] = "{{ deadline }}"
    spec["template"]["spec"]["volumes"] = [{"name": "flows", "configMap": {"name": "flows"}}]
    spec["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": "flows", "mountPath": "/srv/flows", "readOnly": True}]
    return template


@contextlib.asynccontextmanager
async def worker(lab: RunningLab, server: str) -> AsyncIterator[None]:
    """`prefect worker start`, as people start it."""
    env = {**os.environ, "KUBECONFIG": lab.kubeconfig, "PREFECT_API_URL": server, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    command = (sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "kubernetes", "--install-policy", "never")
    child = await asyncio.create_subprocess_exec(*command, env=env)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(child.wait(), 20)
        except TimeoutError:
            child.kill()
            await child.wait()


async def deployed(prefect: PrefectClient, flow: UUID, name: str, **variables: Any) -> FlowRun:
    """A run of a deployment of its own."""
    steps = [{"prefect.deployments.steps.set_working_directory": {"directory": "/srv/flows"}}]
    deployment = await prefect.create_deployment(
        flow, name, work_pool_name=POOL, entrypoint="greeting.py:greeting", pull_steps=steps, job_variables=variables
    )
    return await prefect.create_flow_run_from_deployment(deployment, parameters={"name": name})


async def ended(prefect: PrefectClient, run: FlowRun) -> FlowRun:
    """The run in its last state."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await prefect.read_flow_run(run.id)
            if found.state and found.state.is_final():
                return found
            await asyncio.sleep(0.3)


async def finished(batch: client.BatchV1Api, run: FlowRun) -> client.V1Job:
    """The run's only Job once it has ended; a flow run ends a moment before its pod does."""
    async with asyncio.timeout(PATIENCE):
        while True:
            (job,) = batch.list_namespaced_job("default", label_selector=f"prefect.io/flow-run-id={run.id}").items
            if {one.type for one in job.status.conditions or []} & {"Complete", "Failed"}:
                return job
            await asyncio.sleep(0.1)


async def logged(prefect: PrefectClient, run: FlowRun) -> str:
    """What a run's page in the UI shows."""
    logs = await prefect.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])))
    return "\n".join(log.message for log in logs)


@pytest.mark.skipif(not namespaces_work(), reason="without user namespaces a pod has no paths of its own, and the deployment names one")
async def test_flow_runs_become_jobs(prefect_server: str) -> None:
    async with running_lab(speed=20, arguments=OPTIONS) as lab, get_client() as prefect:
        api = config.new_client_from_config(lab.kubeconfig)
        core, batch = client.CoreV1Api(api), client.BatchV1Api(api)
        code = {"metadata": {"name": "flows"}, "data": {"greeting.py": (FLOWS / "greeting.py").read_text()}}
        core.create_namespaced_config_map("default", cast(Any, code))
        await prefect.create_work_pool(WorkPoolCreate(name=POOL, type="kubernetes", base_job_template=await job_template(lab.kubeconfig)))
        flow = await prefect.create_flow_from_name("greeting")
        good = await deployed(prefect, flow, "somebody", image=IMAGE)
        lost = await deployed(prefect, flow, "anybody", image=MISSING, deadline=60)

        async with worker(lab, prefect_server):
            good, lost = await asyncio.gather(ended(prefect, good), ended(prefect, lost))
            assert good.state and good.state.is_completed(), (good.state, await logged(prefect, good))
            assert lost.state and lost.state.is_crashed(), (lost.state, await logged(prefect, lost))

        job = await finished(batch, good)
        wanted = {"prefect.io/flow-name": "greeting", "prefect.io/deployment-name": "somebody", "app.kubernetes.io/managed-by": "prefect"}
        assert wanted.items() <= job.metadata.labels.items()
        assert job.status.succeeded == 1
        assert good.infrastructure_pid == f"default:{job.metadata.name}"
        (pod,) = core.list_namespaced_pod("default", label_selector=f"job-name={job.metadata.name}").items
        assert pod.spec.containers[0].args == ["prefect", "flow-run", "execute"]
        assert "hello somebody\n" in core.read_namespaced_pod_log(pod.metadata.name, "default")

        job = await finished(batch, lost)
        assert ("Failed", "DeadlineExceeded") in [(one.type, one.reason) for one in job.status.conditions]
        assert MISSING in await logged(prefect, lost)
        assert lost.state.message == "No active or succeeded pods found for any job"
