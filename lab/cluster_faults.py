"""Faults that befall a cluster as a whole: pods evicted, watches ended, the history forgotten. Looked for five times a second.

What stands (a fault that is not used up) also befalls what comes later. Each pod and each watch is one match, however long it is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from lab.faults import Fault, Faults
from lab.kubernetes.context import SYSTEM, Context
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import POD
from lab.kubernetes.registry import Registry
from lab.kubernetes.subresources import evict

_PERIOD = 0.2  # real seconds between looks
_COMPACTION = 300.0  # lab seconds between compactions, as in a real cluster
_DRY = Context(SYSTEM.user, SYSTEM.groups, SYSTEM.manager, dry_run=True)


class ClusterFaults:
    """Lets them happen. `run` until cancelled."""

    def __init__(self, registry: Registry, faults: Faults) -> None:
        self._registry = registry
        self._faults = faults
        self._judged: dict[int, set[Hashable]] = {}  # by fault: what it has been matched with
        self._compacted: dict[int, float] = {}  # by fault: when, in lab seconds

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(_PERIOD)
            self.look()

    def look(self) -> None:
        """Do what is asked for now."""
        standing = self._faults.all()
        for known in (self._judged, self._compacted):
            for gone in set(known) - {fault.id for fault in standing}:
                del known[gone]
        for fault in standing:
            if fault.place == "pod" and fault.effect == "evict":
                self._evict(fault)
            elif fault.place == "watch":
                self._expire(fault)
            elif fault.place == "history":
                self._compact(fault)

    def _evict(self, fault: Fault) -> None:
        pods = [pod for pod in self._registry.store.items(POD) if not pod["metadata"].get("deletionTimestamp") and _unfinished(pod)]
        judged = self._judged.setdefault(fault.id, set())
        judged &= {pod["metadata"]["uid"] for pod in pods}
        for pod in pods:
            namespace, name, uid = (pod["metadata"][key] for key in ("namespace", "name", "uid"))
            if uid in judged or not self._faults.fits(fault, f"{namespace}/{name}"):
                continue
            try:
                evict(self._registry, namespace, name, {}, _DRY)
            except ApiError:  # a disruption budget forbids it: asked again, as those who drain nodes do
                continue
            judged.add(uid)
            if self._faults.hit(fault):
                evict(self._registry, namespace, name, {}, SYSTEM)

    def _expire(self, fault: Fault) -> None:
        watches = [one for one in self._registry.store.all_subscriptions() if one.name]
        judged = self._judged.setdefault(fault.id, set())
        judged &= set(watches)
        for one in watches:
            if one not in judged and self._faults.fits(fault, one.name):
                judged.add(one)
                if self._faults.hit(fault):
                    one.expire()

    def _compact(self, fault: Fault) -> None:
        now = self._registry.clock.monotonic()
        last = self._compacted.get(fault.id)
        if last is not None and now - last < float(fault.options.get("seconds", _COMPACTION)):
            return
        self._compacted[fault.id] = now
        if self._faults.hit(fault):
            self._registry.store.compact()


def _unfinished(pod: dict[str, dict[str, str]]) -> bool:
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
