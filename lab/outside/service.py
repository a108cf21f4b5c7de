"""What the outside systems have in common: an HTTP application with faults in front, rate limits, and a place to set things up and look at them."""

from __future__ import annotations

import json
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from lab.clock import Clock
from lab.faults import Faults
from lab.trouble import with_faults

log = logging.getLogger("lab.outside")

Obj = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_BODY = 256 << 20


class SetupError(ValueError):
    """A wish of the control site that cannot be granted; says why."""


class RateWindow:
    """So many requests in so many lab seconds, as services with fixed windows count them."""

    def __init__(self, clock: Clock, limit: int, seconds: float) -> None:
        self._clock = clock
        self._begin = clock.monotonic()
        self.limit = limit
        self.seconds = seconds
        self.used = 0

    def take(self) -> bool:
        """Count a request; False when it is one too many."""
        if self._clock.monotonic() - self._begin >= self.seconds:
            self._begin, self.used = self._clock.monotonic(), 0
        if self.used >= self.limit:
            return False
        self.used += 1
        return True

    @property
    def remaining(self) -> int:
        """How many are left in this window."""
        return self.limit - self.used

    @property
    def wait(self) -> float:
        """Real seconds until the next window."""
        return max(0.0, self._clock.real(self._begin + self.seconds - self._clock.monotonic()))

    @property
    def retry_after(self) -> str:
        """The same for a header: whole seconds, at least one."""
        return str(max(1, math.ceil(self.wait)))

    @property
    def reset(self) -> int:
        """The same as seconds since 1970."""
        return math.ceil(time.time() + self.wait)


class Service(ABC):
    """One outside system. `app()` once; then `url` is set by who serves it."""

    place: str  # of its faults, and its name everywhere
    base_path = ""  # what clients add paths to, below the service's address

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self.clock = clock
        self.faults = faults
        self.url = ""  # without base_path

    @abstractmethod
    def routes(self) -> list[web.AbstractRouteDef]:
        """What it answers."""

    @abstractmethod
    def refuse(self, code: int, options: Obj) -> web.StreamResponse:
        """A status in the service's own words, for faults, unknown paths and bodies that cannot be read."""

    @abstractmethod
    def show(self) -> Obj:
        """What is in it, for people and tests."""

    def summary(self) -> str:
        """The same in a few words."""
        return ""

    def set_up(self, wish: Obj) -> None:
        """Do what its owner would do in a browser: SetupError for what cannot be done."""
        raise SetupError(f"{self.place}: nothing of this can be set up: {', '.join(wish)}")

    @property
    def base_url(self) -> str:
        """What clients are told."""
        return self.url + self.base_path

    def app(self) -> web.Application:
        """The service as an application."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[with_faults(self.faults, self.place, self.refuse), self._errors()])
        app.router.add_routes(self.routes())
        return app

    def _errors(self) -> Any:
        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            except Refusal as refusal:
                return refusal.answer
            except web.HTTPException as error:
                if error.status < 400:
                    raise
                return self.refuse(error.status, {})
            except Exception:  # a mistake of the lab's: said in the log, and to the client as the service would
                log.exception("%s: %s %s", self.place, request.method, request.path)
                return self.refuse(500, {})

        return middleware


class Refusal(Exception):
    """An answer that ends a request early."""

    def __init__(self, answer: web.StreamResponse) -> None:
        super().__init__(str(answer.status))
        self.answer = answer


async def json_body(request: web.Request, refusal: web.StreamResponse, kinds: tuple[type, ...] = (dict,)) -> Any:
    """The request's body as JSON of these kinds, else Refusal."""
    try:
        value = json.loads(await request.text() or "null")
    except (ValueError, RecursionError):
        raise Refusal(refusal) from None
    if not isinstance(value, kinds):
        raise Refusal(refusal)
    return value


def bearer(request: web.Request) -> str | None:
    """The token that a request brings; None without one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "token") and token.strip() else None


def whole_number(text: str | None, default: int, least: int, most: int) -> int:
    """A number from a query, brought within its bounds; the default when it is none."""
    try:
        value = int(float(text)) if text is not None else default
    except (ValueError, OverflowError):
        return default
    return min(max(value, least), most)


def read_limit(clock: Clock, wish: Any) -> RateWindow:
    """A rate limit from a wish: `{"requests": 3, "seconds": 60}`."""
    if not isinstance(wish, dict) or not isinstance(wish.get("requests"), int) or not isinstance(wish.get("seconds"), int | float):
        raise SetupError('limit: must be like {"requests": 3, "seconds": 60} (seconds of lab time)')
    return RateWindow(clock, wish["requests"], wish["seconds"])
