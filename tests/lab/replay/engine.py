"""Sends a scenario's requests to a lab in the recorded order, each when the lab has come as far as the recording had, and compares."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.lab.replay import conversations
from tests.lab.replay.accepted import ACCEPTED, passing
from tests.lab.replay.bindings import RECORDED_API_PORT, Bindings
from tests.lab.replay.compare import MISSING, Difference, canonical, differences, parsed
from tests.lab.replay.moving import moving
from tests.lab.replay.preparation import prepare
from tests.lab.replay.transcript import Record, load
from tests.lab.replay.transport import Answer, Stream, Transport
from tests.lab.replay.unrecorded import Unrecorded, unrecorded
from tests.lab.replay.watches import GONE, last_differences, learn, outline, partners, watch_differences

Json = Any
HEADERS = ("warning", "retry-after", "cache-control", "vary", "expires", "accept-ranges")
PROTOBUF = "application/vnd.kubernetes.protobuf"
HEADERS_PRESENT = ("etag", "last-modified")
# Controllers write these kinds' status while requests are under way: what an answer to a write shows of it is chance.
ROLLOUT = ("body.metadata.resourceVersion", "body.metadata.annotations.deployment.kubernetes.io/revision")
ON_THE_MOVE = ("Deployment", "ReplicaSet", "StatefulSet", "Pod", "Scale", "PodDisruptionBudget", "Job", "DaemonSet")
LONG_MS = 5000  # a write that takes longer than this waits for something
AT_ONCE_MS = 60  # events of a watch this soon are what was there when it began


def _state(event: dict[str, Any], bindings: Bindings | None) -> Json:
    if event["object"].get("kind") == "Event":
        return event["type"] == "DELETED"
    return GONE if event["type"] == "DELETED" else canonical(outline(event["object"]), bindings)


class Replay:
    """One scenario on one lab."""

    def __init__(self, scenario: str, transport: Transport, only: set[int] | None = None, patience: float = 1.5) -> None:
        self.scenario = scenario
        self.records = load(scenario)
        self.only = only
        self.patience = patience  # seconds that a state may be late
        self.transport = transport
        self.bindings = Bindings()
        self.bindings.ports[RECORDED_API_PORT] = int(transport.url.rpartition(":")[2])
        self.streams: list[Stream] = []
        self.given_up: set[tuple[int, str, int]] = set()  # states that the lab did not reach in time
        self.found: list[Difference] = []
        self.late: list[tuple[Record, asyncio.Task[None]]] = []
        self.moment = 0  # recorded milliseconds until which everything has been sent

    @property
    def by_commands(self) -> bool:
        """Whether commands asked, one after the other and each in the middle of what the ones before had set off."""
        return self.scenario.startswith(("11", "14"))

    @property
    def watched(self) -> bool:
        """Whether long watches show what controllers do: then lists of versions mean nothing."""
        return any(record.ended_by == "client" and record.is_watch for record in self.records)

    async def run(self) -> list[Difference]:
        """Everything, in order; gives the differences."""
        await prepare(self.scenario, self.transport)
        async with unrecorded(self.scenario, self.transport, self.bindings) as around:
            await self._run(around)
        wanted = [one for one in self.found if not self.only or one.n in self.only]
        return sorted(wanted, key=lambda one: one.n)

    async def _run(self, around: Unrecorded) -> None:
        for record in self.records:
            if self.only and record.n > max(self.only):
                break
            await self._until(record.t_ms, record.writes or (record.streams and self._written_during(record)))
            await around.before(record.n)
            await self._join(record.t_ms)
            if record.streams:
                await self._settle(record)
                self.streams.append(await self.transport.open(record, self.bindings))
            elif self._overtaken(record):
                self.late.append((record, asyncio.create_task(self._ask(record))))
            else:
                await self._ask(record)
        await self._join(None)
        end = max(record.end_ms for record in self.records)
        await self._until(end + 1 if not self.only else self.moment, writes=True)
        for stream in list(self.streams):
            await self._finish(stream)

    def _overtaken(self, record: Record) -> bool:
        """A write that takes long, while others go on."""
        return record.writes and record.duration_ms > LONG_MS and any(record.t_ms < one.t_ms < record.end_ms for one in self.records)

    async def _join(self, moment: int | None) -> None:
        """Wait for long writes that had been answered by a moment."""
        for record, task in list(self.late):
            if moment is None or record.end_ms <= moment:
                await task
                self.late.remove((record, task))

    def _written_during(self, stream: Record) -> bool:
        """Whether others write while it is open: then it must be opened when they are about to, not while an earlier one still runs."""
        return any(one.writes and stream.t_ms < one.t_ms < stream.end_ms for one in self.records)

    # -- when

    async def _until(self, moment: int, writes: bool) -> None:
        """Lets the lab come to where the recording was at a moment: ends streams that had ended, waits for what watches had shown."""
        for stream in sorted(self.streams, key=lambda one: one.record.end_ms):
            self._learn(moment)
            if stream.record.end_ms <= moment and (stream.record.ended_by == "client" or writes):
                await self._pace(stream.record.end_ms)
                await self._finish(stream)
        await self._pace(moment)
        self._learn(moment)

    async def _pace(self, moment: int) -> None:
        """Waits as long as the recording did, but so many times quicker, and until its states are reached."""
        gap = (moment - self.moment) / 1000 / self.transport.speed
        if gap > 0.01 and not self._seen_between(self.moment, moment):
            await asyncio.sleep(gap)
        for stream in self.streams:
            if stream.record.ended_by == "client" and stream.record.is_watch:
                await self._reach(stream, moment, self.patience + 3 * max(gap, 0))
        self.moment = max(self.moment, moment)

    def _seen_between(self, begin: int, end: int) -> bool:
        """Whether an open watch had shown something then: its states are waited for, and a lab that is that far need not be given time."""
        watches = [one.record for one in self.streams if one.record.ended_by == "client" and one.record.is_watch]
        return any(begin < record.t_ms + event["ms"] <= end for record in watches for event in record.events)

    async def _reach(self, stream: Stream, moment: int, limit: float) -> None:
        recorded = self._recorded_until(stream, moment)
        deadline = time.monotonic() + limit
        while missing := [one for one in self._behind(recorded, stream) if one not in self.given_up]:
            stream.changed.clear()
            try:
                await asyncio.wait_for(stream.changed.wait(), deadline - time.monotonic())
                await asyncio.sleep(0.01)  # events come in bunches
            except TimeoutError:
                self.given_up.update(missing)

    async def _settle(self, record: Record) -> None:
        """Before a watch that began with what was there: waits until that is there in the same states."""
        wanted = [event for event in record.events if event["ms"] < AT_ONCE_MS and event["type"] == "ADDED" and record.ended_by == "client"]
        if not wanted:
            return
        collection = self.bindings.path(record.path.partition("?")[0])
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            listed = await self.transport.get(collection) or {}
            kind = wanted[0]["object"].get("kind")
            there = [{"type": "ADDED", "object": {"kind": kind, **item}} for item in listed.get("items", [])]
            trial = self.bindings.copy()
            learn(wanted, there, trial)
            if all(new and _state(old[-1], trial) == _state(new[-1], None) for old, new in partners(wanted, there, trial) if old):
                return
            await asyncio.sleep(0.04)

    @staticmethod
    def _recorded_until(stream: Stream, moment: int) -> list[dict[str, Any]]:
        return [event for event in stream.record.events if stream.record.t_ms + event["ms"] <= moment]

    def _behind(self, recorded: list[dict[str, Any]], stream: Stream) -> Iterator[tuple[int, str, int]]:
        """Objects whose last recorded state the lab has not shown yet: watch, uid, which state."""
        learn(recorded, stream.events, self.bindings, stream.learned)
        for event in stream.events[len(stream.outlines) :]:
            stream.outlines.append(_state(event, None))
        at = {id(event): number for number, event in enumerate(stream.events)}
        for old, new in partners(recorded, stream.events, self.bindings):
            if old is None or old[-1]["object"].get("kind") in ("Event", "Node"):  # nodes report again and again
                continue
            state = str(old[-1]["object"]["metadata"].get("uid")), len(old)
            if state in stream.reached:
                continue
            wanted = _state(old[-1], self.bindings)
            if any(stream.outlines[at[id(one)]] == wanted for one in new or []):
                stream.reached.add(state)
            else:
                yield stream.record.n, *state

    def _learn(self, moment: int) -> None:
        for stream in sorted(self.streams, key=lambda one: "/pods" not in one.record.path):  # what Pods are called shows in everything else
            if stream.record.is_watch:
                learn(self._recorded_until(stream, moment), stream.events, self.bindings, stream.learned)

    # -- asking

    async def _ask(self, record: Record) -> None:
        """One request; a question whose answer is not yet the recorded one is asked again for a while."""
        await self._fill_cache(record)
        before = [one for one in self.records if one.n < record.n and one.end_ms <= record.t_ms]
        gap = record.t_ms - before[-1].end_ms if before else 0
        patience = (self.patience / 3 if gap < 300 else self.patience) + 3 * gap / 1000 / self.transport.speed
        deadline = time.monotonic() + (patience if record.method == "GET" and record.status in (200, 404, 429) else 0)
        best: tuple[list[Difference], Bindings, Answer] | None = None
        while True:
            answer = await self.transport.send(record, self.bindings)
            trial = self.bindings.copy()
            found = list(self._compare(record, answer, trial))
            if best is None or len(found) <= len(best[0]):  # some answers were right only for a moment
                best = found, trial, answer
            if all(any(row.covers(one) for row in ACCEPTED) for one in found) or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.04)
        found, self.bindings, answer = best
        if isinstance(answer.body, dict) and isinstance(answer.body.get("status"), dict) and "token" in answer.body["status"]:
            self.transport.tokens["service account"] = answer.body["status"]["token"]
        self.found += found

    async def _fill_cache(self, record: Record) -> None:
        """A client that asks for changes since an earlier scenario has to have the lab's answer of then."""
        tag = record.headers.get("If-None-Match")
        if record.status == 304 and tag and tag not in self.bindings.words:
            headers = {name: value for name, value in record.headers.items() if not name.startswith("If-")}
            answer = await self.transport.send(replace(record, headers=headers), self.bindings)
            if "etag" in answer.headers:
                self.bindings.words[tag] = answer.headers["etag"]

    def _compare(self, record: Record, answer: Answer, bindings: Bindings) -> Iterator[Difference]:
        blank = Difference(self.scenario, record.n, record.step, "", None, None)
        for where, one, other in self._places(record, answer, bindings):
            if not passing(record, where) and not self._on_the_move(record, where) and not (self.by_commands and moving(record.answer, where)):
                yield replace(blank, where=where, recorded=one, lab=other)

    def _on_the_move(self, record: Record, where: str) -> bool:
        kind = record.answer.get("kind") if isinstance(record.answer, dict) else ""
        status = where.startswith(("body.status", "managedFields.kube-controller-manager Update status")) or where in ROLLOUT
        return kind in ON_THE_MOVE and status and record.writes and "/status" not in record.path and record.status < 300

    def _places(self, record: Record, answer: Answer, bindings: Bindings) -> Iterator[tuple[str, Json, Json]]:
        if {record.status, answer.status} == {200, 304} and "If-Modified-Since" in record.headers:
            return  # whether it is the same whole second still
        if record.status != answer.status:
            yield "status", record.status, f"{answer.status}: {answer.body}"
            return
        protobuf = record.content_type == PROTOBUF and answer.content_type == "application/json"  # the lab's answers are JSON
        if record.content_type != answer.content_type and record.status not in (204, 304) and not protobuf:
            yield "content-type", record.content_type, answer.content_type
        yield from self._header_places(record, answer, bindings)
        if record.method == "HEAD" or str(record.answer).startswith(("<JSON", "<protobuf")):
            return
        said = conversations.recorded(record) if record.status == 101 else record.answer
        recorded, lab = parsed(said, record.content_type), parsed(answer.body, answer.content_type)
        bindings.learn(recorded, lab)
        strict = not self.watched
        one, other = canonical(recorded, bindings, versions=strict), canonical(lab, None, versions=strict)
        yield from differences(one, other, "body", bindings)
        if record.managed_fields is not None and isinstance(lab, dict) and isinstance(lab.get("metadata"), dict):
            yield from self._managed_places(record.managed_fields, lab.get("metadata", {}).get("managedFields"), bindings)

    @staticmethod
    def _managed_places(recorded: Json, lab: Json, bindings: Bindings) -> Iterator[tuple[str, Json, Json]]:
        """Entries by manager, operation and subresource: their order follows from whole seconds."""

        def by_manager(entries: Json) -> dict[str, Json]:
            if not isinstance(entries, list):
                return {"": entries}
            return {f"{one['manager']} {one['operation']} {one.get('subresource', '')}": canonical(one, bindings) for one in entries}

        yield from differences(by_manager(recorded), by_manager(lab), "managedFields", bindings)

    @staticmethod
    def _header_places(record: Record, answer: Answer, bindings: Bindings) -> Iterator[tuple[str, Json, Json]]:
        for name in HEADERS:
            bindings.learn(record.answer_headers.get(name), answer.headers.get(name))
            one = canonical(record.answer_headers.get(name, MISSING), bindings)
            other = canonical(answer.headers.get(name, MISSING), None)
            if one != other and (name in record.answer_headers or name in ("warning", "retry-after")):
                yield f"header {name}", one, other
        for name in HEADERS_PRESENT:
            one, other = record.answer_headers.get(name), answer.headers.get(name)
            if one and other:
                bindings.words.setdefault(one, other)
            if bool(one) != bool(other):
                yield f"header {name}", one or MISSING, other or MISSING

    # -- streams

    async def _finish(self, stream: Stream) -> None:
        """Ends a stream, or waits for its end, and compares it."""
        self.streams.remove(stream)
        record = stream.record
        blank = Difference(self.scenario, record.n, record.step, "", None, None)
        if stream.task and record.ended_by == "client":
            if stream.ended:
                self.found.append(replace(blank, where="ended by", recorded="client", lab=f"server {stream.failure}"))
            stream.task.cancel()
        elif stream.task:
            _, late = await asyncio.wait([stream.task], timeout=record.duration_ms / 1000 + 5)
            if late:
                self.found.append(replace(blank, where="ended by", recorded="server", lab="nobody: it stayed open"))
                stream.task.cancel()
        places = [(where, one, other) for where, one, other in self._stream_places(record, stream) if not passing(record, where)]
        self.found += [replace(blank, where=where, recorded=one, lab=other) for where, one, other in places]

    def _stream_places(self, record: Record, stream: Stream) -> Iterator[tuple[str, Json, Json]]:
        if record.status != stream.status:
            yield "status", record.status, f"{stream.status}: {stream.text[:500]}{stream.failure}"
        elif record.content_type != stream.content_type:
            yield "content-type", record.content_type, stream.content_type
        if stream.failure:
            yield "stream", "no failure", stream.failure
        if record.is_watch:
            if self.by_commands:
                yield from last_differences(record.events, stream.events, self.bindings)
                return
            controllers = record.ended_by == "client" or "/pods" in record.path or "/events" in record.path
            yield from watch_differences(record.events, stream.events, self.bindings, exact=not controllers)
        elif record.ended_by == "server" and record.answer != stream.text:
            yield "text", record.answer, stream.text
