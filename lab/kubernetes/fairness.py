"""API Priority and Fairness: FlowSchemas sort requests into levels, and a level that is full turns them away with 429.

Only what somebody has configured is limited. Levels share the server's seats as in a real server; a level always has at least one seat to give
when nobody sits there. Watches give their seat back as soon as they run. Fair queuing among flows is not imitated: who waits is served in order.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from lab.kubernetes.auth import User
from lab.kubernetes.call import Call
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import FLOW_SCHEMA, PRIORITY_LEVEL_CONFIGURATION

if TYPE_CHECKING:
    from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

TOTAL_SEATS = 600  # of a real server: 400 requests that read and 200 that write
_BUILT_IN_SHARES = 245  # of the levels that every server has
_INSISTENT = 3  # turned away per second asked to wait: then they are asked to wait twice as long
_LONGEST_AWAY = 32  # seconds
_LONGEST_WAIT = 15.0  # real seconds in a queue: a quarter of the time that a request has


def too_many(retry_after: int = 1) -> ApiError:
    """429 as overload protection sends it: plain text."""
    text = "Too many requests, please try again later.\n"
    return ApiError(429, text.strip(), "TooManyRequests", text=text, headers={"Retry-After": str(retry_after)})


class Level:
    """One priority level at work."""

    def __init__(self) -> None:
        self.seats_taken = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.retry_after = 1
        self._turned_away: dict[int, int] = {}  # by second
        self._judged = 0

    def turn_away(self, now: float) -> ApiError:
        """429; the more were turned away in the seconds before, the longer they are asked to stay away."""
        second = int(now)
        self._turned_away = {one: count for one, count in self._turned_away.items() if second - one <= self.retry_after}
        lately = sum(count for one, count in self._turned_away.items() if one < second)
        self._turned_away[second] = self._turned_away.get(second, 0) + 1
        if second - self._judged >= self.retry_after:
            if lately >= _INSISTENT * self.retry_after:
                self.retry_after, self._judged = min(2 * self.retry_after, _LONGEST_AWAY), second
            elif lately <= self.retry_after and self.retry_after > 1:
                self.retry_after, self._judged = self.retry_after - 1, second
        return too_many(self.retry_after)

    def leave(self) -> None:
        """Give a seat back; the next in the queue gets it."""
        self.seats_taken -= 1
        while self.waiting:
            first = self.waiting.popleft()
            if not first.done():
                first.set_result(None)
                return


class Fairness:
    """Finds each request a seat."""

    def __init__(self, registry: Registry, in_flight: int | None = None) -> None:
        self._registry = registry
        self._in_flight = in_flight  # of all requests together; None: no limit
        self._all = Level()
        self._levels: dict[str, Level] = {}

    @asynccontextmanager
    async def seat(self, user: User, call: Call) -> AsyncIterator[None]:
        """Hold a seat while a request is worked on; ApiError 429 when there is none."""
        levels = self._seats(user, call)
        if not levels:
            yield
            return
        taken: list[Level] = []
        try:
            for level, seats, queue in levels:
                await self._take(level, seats, queue)
                taken.append(level)
            if call.long_running:
                while taken:
                    taken.pop().leave()
            yield
        finally:
            for level in taken:
                level.leave()

    def _seats(self, user: User, call: Call) -> list[tuple[Level, int, int]]:
        """Levels in which the request needs a seat, how many seats and how long a queue each has."""
        if "system:masters" in user.groups:
            return []
        found = [(self._all, self._in_flight, 0)] if self._in_flight is not None else []
        if (schema := self._schema(user, call)) is not None:
            name = ((schema.get("spec") or {}).get("priorityLevelConfiguration") or {}).get("name", "")
            level = self._registry.find(PRIORITY_LEVEL_CONFIGURATION, "", name)
            spec = (level or {}).get("spec") or {}
            if spec.get("type") == "Limited":
                found.append((self._levels.setdefault(name, Level()), self._share(spec), _queue_length(spec)))
        return found

    def _schema(self, user: User, call: Call) -> Obj | None:
        """The FlowSchema with the lowest precedence that wants the request."""
        if not self._registry.store.count(FLOW_SCHEMA):
            return None
        schemas = self._registry.list(FLOW_SCHEMA)
        schemas.sort(key=lambda one: ((one.get("spec") or {}).get("matchingPrecedence", 1000), one["metadata"]["name"]))
        return next((one for one in schemas if any(_wants(rule, user, call) for rule in (one.get("spec") or {}).get("rules") or ())), None)

    def _share(self, spec: Obj) -> int:
        levels = self._registry.list(PRIORITY_LEVEL_CONFIGURATION)
        shares = sum(_shares(one.get("spec") or {}) for one in levels) + _BUILT_IN_SHARES
        return math.ceil(TOTAL_SEATS * _shares(spec) / shares)

    async def _take(self, level: Level, seats: int, queue: int) -> None:
        if level.seats_taken < max(seats, 1):
            level.seats_taken += 1
            return
        if len(level.waiting) >= queue:
            raise level.turn_away(self._registry.clock.monotonic())
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        level.waiting.append(turn)
        try:
            async with asyncio.timeout(_LONGEST_WAIT):
                await turn
        except TimeoutError:
            raise level.turn_away(self._registry.clock.monotonic()) from None
        level.seats_taken += 1


def _shares(spec: Obj) -> int:
    limited = spec.get("limited") or {}
    shares = limited.get("nominalConcurrencyShares")
    return 30 if shares is None else int(shares)


def _queue_length(spec: Obj) -> int:
    response = (spec.get("limited") or {}).get("limitResponse") or {}
    queuing = response.get("queuing") or {}
    return int(queuing.get("queues", 64)) * int(queuing.get("queueLengthLimit", 50)) if response.get("type") == "Queue" else 0


def _wants(rule: Obj, user: User, call: Call) -> bool:
    if not any(_is(subject, user) for subject in rule.get("subjects") or ()):
        return False
    target = call.target
    if not target.resource:
        return any(_path_fits(one, call) for one in rule.get("nonResourceRules") or ())
    return any(_resource_fits(one, call) for one in rule.get("resourceRules") or ())


def _is(subject: Obj, user: User) -> bool:
    kind = subject.get("kind")
    if kind == "ServiceAccount":
        account = subject.get("serviceAccount") or {}
        prefix = f"system:serviceaccount:{account.get('namespace', '')}:"
        return user.name == prefix + account.get("name", "") or (account.get("name") == "*" and user.name.startswith(prefix))
    name = (subject.get("user" if kind == "User" else "group") or {}).get("name", "")
    return name == "*" or (name == user.name if kind == "User" else name in user.groups)


def _has(values: Any, wanted: str) -> bool:
    return bool(values) and ("*" in values or wanted in values)


def _resource_fits(rule: Obj, call: Call) -> bool:
    target = call.target
    resource = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
    where = _has(rule.get("namespaces"), target.namespace) if target.in_namespace else bool(rule.get("clusterScope"))
    return where and _has(rule.get("verbs"), call.verb) and _has(rule.get("apiGroups"), target.group) and _has(rule.get("resources"), resource)


def _path_fits(rule: Obj, call: Call) -> bool:
    path = call.request.path
    paths = rule.get("nonResourceURLs") or ()
    return _has(rule.get("verbs"), call.verb) and any(one in ("*", path) or (one.endswith("*") and path.startswith(one[:-1])) for one in paths)
