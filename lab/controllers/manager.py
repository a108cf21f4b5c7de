"""All controllers and the scheduler, as one thing to run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from lab.controllers.cluster_roles import ClusterRoleAggregation
from lab.controllers.cron_jobs import CronJobController
from lab.controllers.custom_resources import CustomResources
from lab.controllers.daemon_sets import DaemonSetController
from lab.controllers.deployments import DeploymentController
from lab.controllers.disruption import DisruptionController
from lab.controllers.endpoints import EndpointsController
from lab.controllers.ephemeral_volumes import EphemeralVolumeController
from lab.controllers.events import EventExpiry
from lab.controllers.garbage import GarbageCollector
from lab.controllers.job_cleanup import FinishedJobs, OrphanPods
from lab.controllers.jobs import JobController
from lab.controllers.load_balancers import LoadBalancerController
from lab.controllers.namespaces import NamespaceContentController, NamespaceController
from lab.controllers.nodes import NodeLifecycleController, TaintEvictionController
from lab.controllers.replica_sets import ReplicaSetController
from lab.controllers.scheduler import Scheduler
from lab.controllers.stateful_sets import StatefulSetController
from lab.controllers.volumes import VolumeController, VolumeProtection
from lab.faults import Faults
from lab.kubernetes.registry import Registry


class Runs(Protocol):
    """What works until it is cancelled."""

    async def run(self) -> None:
        """Work until cancelled."""


def controllers(registry: Registry, faults: Faults | None = None, root_certificate: str = "", load_balancers: Sequence[str] = ()) -> list[Runs]:
    """Every controller of the lab, and its scheduler. Without addresses for load balancers it is a cluster in no cloud."""
    return [
        NamespaceContentController(registry, root_certificate),
        CustomResources(registry),
        ClusterRoleAggregation(registry),
        DeploymentController(registry),
        ReplicaSetController(registry),
        JobController(registry),
        FinishedJobs(registry),
        OrphanPods(registry),
        StatefulSetController(registry),
        DaemonSetController(registry),
        CronJobController(registry),
        Scheduler(registry, faults),
        EndpointsController(registry),
        EphemeralVolumeController(registry),
        VolumeController(registry),
        VolumeProtection(registry),
        DisruptionController(registry),
        GarbageCollector(registry),
        NamespaceController(registry),
        NodeLifecycleController(registry, faults),
        TaintEvictionController(registry),
        EventExpiry(registry),
        *([LoadBalancerController(registry, load_balancers)] if load_balancers else ()),
    ]


async def run_controllers(registry: Registry, faults: Faults | None = None, root_certificate: str = "", load_balancers: Sequence[str] = ()) -> None:
    """Run them until cancelled. The certificate (PEM) is what pods are given to know the API server by."""
    async with asyncio.TaskGroup() as tasks:
        for one in controllers(registry, faults, root_certificate, load_balancers):
            tasks.create_task(one.run(), name=type(one).__name__)
