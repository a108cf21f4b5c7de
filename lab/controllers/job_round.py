"""What one look at a job finds: its pods by what became of them, its counts, and whether it is decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lab.controllers.job_indexes import failures_of, ignored_failures_of, index_of, parsed
from lab.controllers.job_pods import has_failed, has_failed_index, is_tracked, past_restarts
from lab.controllers.job_policies import FAILED, FAILURE, SUCCESS, match_failure, match_success, new_condition
from lab.controllers.objects import condition, is_active, is_ready, is_terminating, uid_of

Obj = dict[str, Any]


@dataclass
class Round:
    """A job as it stands. `status` is the one to be written, a copy of the job's own."""

    job: Obj
    pods: list[Obj]  # those that are not counted yet or still run
    now: str
    status: Obj = field(init=False)
    active: list[Obj] = field(init=False)
    wants_active: int = field(init=False)  # how many there are after this look
    terminating: int = field(init=False)
    ready: int = field(init=False)
    uncounted_succeeded: set[str] = field(init=False)
    uncounted_failed: set[str] = field(init=False)
    new_succeeded: list[Obj] = field(init=False)
    new_failed: list[Obj] = field(init=False)
    succeeded: int = field(init=False)
    failed: int = field(init=False)
    counted_indexes: set[int] = field(init=False, default_factory=set)  # indexes that the status knows as completed
    completed: set[int] = field(init=False, default_factory=set)
    failed_indexes: set[int] | None = field(init=False, default=None)
    last_failed: dict[int, Obj] = field(init=False, default_factory=dict)  # pods that a new one has to carry on from
    verdict: Obj | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.status = {**self.job.get("status", {})}
        self.status["conditions"] = list(self.status.get("conditions") or ())
        self._count_pods()
        if self.indexed:
            self._count_indexes()

    @property
    def spec(self) -> Obj:
        """The job's spec."""
        return self.job["spec"]  # type: ignore[no-any-return]

    @property
    def indexed(self) -> bool:
        """Whether every pod has an index."""
        return bool(self.spec.get("completionMode") == "Indexed")

    @property
    def suspended(self) -> bool:
        """Whether no pod is wanted now."""
        return bool(self.spec.get("suspend"))

    def _count_pods(self) -> None:
        waiting = self.status.get("uncountedTerminatedPods") or {}
        self.uncounted_succeeded, self.uncounted_failed = set(waiting.get("succeeded") or ()), set(waiting.get("failed") or ())
        self.active = [pod for pod in self.pods if is_active(pod)]
        self.wants_active = len(self.active)
        self.ready = sum(is_ready(pod) for pod in self.active)
        self.terminating = sum(is_terminating(pod) for pod in self.pods)
        tracked = [pod for pod in self.pods if is_tracked(pod) and self._has_valid_index(pod)]
        self.new_succeeded = [pod for pod in tracked if pod["status"].get("phase") == "Succeeded" and uid_of(pod) not in self.uncounted_succeeded]
        self.new_failed = [pod for pod in tracked if has_failed(self.job, pod) and uid_of(pod) not in self.uncounted_failed]
        counted = sum(match_failure(self.job, pod).counts for pod in self.new_failed)
        self.succeeded = self.status.get("succeeded", 0) + len(self.new_succeeded) + len(self.uncounted_succeeded)
        self.failed = self.status.get("failed", 0) + counted + len(self.uncounted_failed)

    def _has_valid_index(self, pod: Obj) -> bool:
        if not self.indexed:
            return True
        index = index_of(pod)
        return index is not None and index < self.spec["completions"]

    def _count_indexes(self) -> None:
        completions = self.spec["completions"]
        self.counted_indexes = parsed(self.status.get("completedIndexes"), completions)
        self.completed = self.counted_indexes | {index for pod in self.new_succeeded if (index := index_of(pod)) is not None}
        self.succeeded = len(self.completed)
        if self.spec.get("backoffLimitPerIndex") is None:
            return
        self.failed_indexes = parsed(self.status.get("failedIndexes"), completions)
        self.failed_indexes |= {index for pod in self.new_failed if has_failed_index(self.job, pod) and (index := index_of(pod)) is not None}
        settled = self.completed | self.failed_indexes | {index_of(pod) for pod in self.active}
        for pod in self.new_failed:
            index = index_of(pod)
            if index is not None and index not in settled and _older(self.last_failed.get(index), pod):
                self.last_failed[index] = pod

    def decide(self, is_past_deadline: Callable[[], bool]) -> None:
        """Whether the job has to end, and why: `verdict`."""
        success, failure = condition(self.job, SUCCESS), condition(self.job, FAILURE)
        if success and success["status"] == "True":
            self.verdict = success
        elif failure and failure["status"] == "True":
            self.verdict = failure
        else:
            self.verdict = self._failure(is_past_deadline)
            if self.verdict is None and self.indexed and (message := match_success(self.job, self.completed)):
                self.verdict = new_condition(SUCCESS, "SuccessPolicy", message, self.now)

    def _failure(self, is_past_deadline: Callable[[], bool]) -> Obj | None:
        for pod in self.pods:
            if has_failed(self.job, pod) and (match := match_failure(self.job, pod)).action == "FailJob":
                return new_condition(FAILURE, "PodFailurePolicy", match.message, self.now)
        if self.failed > self.spec["backoffLimit"] or past_restarts(self.job, self.pods):
            return new_condition(FAILURE, "BackoffLimitExceeded", "Job has reached the specified backoff limit", self.now)
        if is_past_deadline():
            return new_condition(FAILURE, "DeadlineExceeded", "Job was active longer than specified deadline", self.now)
        if not self.failed_indexes:
            return None
        most = self.spec.get("maxFailedIndexes")
        if most is not None and len(self.failed_indexes) > most:
            text = "Job has exceeded the specified maximal number of failed indexes"
            return new_condition(FAILURE, "MaxFailedIndexesExceeded", text, self.now)
        if len(self.failed_indexes) + len(self.completed) >= self.spec["completions"]:
            return new_condition(FAILURE, "FailedIndexes", "Job has failed indexes", self.now)
        return None

    def complete(self) -> None:
        """Decide that the job is done when enough pods have succeeded and none is left."""
        wanted = self.spec.get("completions")
        enough = self.succeeded > 0 if wanted is None else self.succeeded >= wanted
        if enough and self.wants_active == 0:
            self.verdict = new_condition(SUCCESS, "CompletionsReached", "Reached expected number of succeeded pods", self.now)

    def is_lost(self) -> bool:
        """Whether the job is decided, and not in its favour: then every pod that still runs counts as failed."""
        return self.verdict is not None and self.verdict["type"] in (FAILURE, FAILED)

    def missing(self) -> int:
        """How many pods there should be, less those that there are: negative if there are too many."""
        wanted, parallelism = self.spec.get("completions"), int(self.spec["parallelism"])
        if wanted is None:
            return 0 if self.succeeded > 0 else parallelism - len(self.active)
        aim = max(0, min(int(wanted) - self.succeeded, parallelism))
        return aim - len(self.active)

    def set_count(self, name: str, number: int) -> None:
        """A count in the status; one at 0 is left out."""
        if number:
            self.status[name] = number
        else:
            self.status.pop(name, None)

    def condition(self, kind: str) -> Obj | None:
        """A condition of the status to be written."""
        return next((one for one in self.status["conditions"] if one["type"] == kind), None)

    def add_condition(self, new: Obj) -> None:
        """A condition, in the place of an older one of its type."""
        conditions = self.status["conditions"]
        for at, one in enumerate(conditions):
            if one["type"] == new["type"]:
                conditions[at] = new
                return
        conditions.append(new)


def _older(known: Obj | None, pod: Obj) -> bool:
    """Whether a failed pod is a later attempt than the one known."""
    return known is None or _attempt(known) <= _attempt(pod)


def _attempt(pod: Obj) -> int:
    return failures_of(pod) + ignored_failures_of(pod)
