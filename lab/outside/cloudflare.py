"""Cloudflare's API, version 4: tokens, zones, DNS records.

A token sees its own zones, and does what its permissions say: `zone:read`, `dns:read`, `dns:edit`. What is not its own does not exist for it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from lab.clock import Clock, micro_timestamp
from lab.faults import Faults
from lab.outside.dns_records import RecordError, Records
from lab.outside.service import Handler, RateWindow, Refusal, Service, SetupError, json_body, read_limit, whole_number

Obj = dict[str, Any]

ADMIN_TOKEN = "lab-admin-token-for-all-zones-of-the-lab"  # noqa: S105 - 40 characters as real ones; everyone may know it
PERMISSIONS = ("zone:read", "dns:read", "dns:edit")
DEFAULT_ZONE = "lab.example"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{40,}")
_ID = re.compile(r"[0-9a-f]{32}")
_ZONE_NAME = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


@dataclass(frozen=True)
class Token:
    """What a token may do. `zones` None: all."""

    permissions: tuple[str, ...] = PERMISSIONS
    zones: tuple[str, ...] | None = None
    status: str = "active"


@dataclass
class Zone:
    """A domain and its records."""

    name: str
    records: Records
    created: str
    status: str = "active"

    @property
    def id(self) -> str:
        """32 hexadecimal digits; the same in every lab, so that it can stand in a configuration."""
        return hashlib.blake2b(self.name.encode(), digest_size=16).hexdigest()


class Cloudflare(Service):
    """The service, with one zone, `lab.example`, until there are more."""

    place = "cloudflare"
    base_path = "/client/v4"

    def __init__(self, clock: Clock, faults: Faults) -> None:
        super().__init__(clock, faults)
        self._zones: dict[str, Zone] = {}  # by id
        self._tokens = {ADMIN_TOKEN: Token()}
        self._limit = RateWindow(clock, 1200, 300)
        self.add_zone(DEFAULT_ZONE)

    def add_zone(self, name: str, quota: int = 1000) -> Zone:
        """Another domain."""
        if not _ZONE_NAME.fullmatch(name):
            raise SetupError(f"zones: {name!r} is not a domain name")
        zone = Zone(name, Records(name, self.clock, quota), micro_timestamp(self.clock.now()))
        return self._zones.setdefault(zone.id, zone)

    def set_up(self, wish: Obj) -> None:
        """`{"zones": ["a.example"], "quota": 200, "tokens": {"<40 characters>": {"permissions": [...], "zones": [...]}}, "limit": {...}}`."""
        for name in wish.get("zones") or ():
            self.add_zone(str(name), int(wish.get("quota", 1000)))
        for text, given in (wish.get("tokens") or {}).items():
            permissions = tuple(given.get("permissions", PERMISSIONS))
            if not _TOKEN.fullmatch(text) or any(one not in PERMISSIONS for one in permissions):
                raise SetupError(f"tokens: a token has 40 characters or more, and permissions among {', '.join(PERMISSIONS)}")
            zones = given.get("zones")
            self._tokens[text] = Token(permissions, None if zones is None else tuple(zones), given.get("status", "active"))
        if "limit" in wish:
            self._limit = read_limit(self.clock, wish["limit"])

    def show(self) -> Obj:
        """Zones and their records."""
        return {"zones": [{"id": zone.id, "name": zone.name, "records": zone.records.all()} for zone in self._zones.values()]}

    def summary(self) -> str:
        """Zones, and how many records each has."""
        return ", ".join(f"{zone.name}: {len(zone.records.all())} records" for zone in self._zones.values())

    def refuse(self, code: int, options: Obj) -> web.StreamResponse:
        """The usual envelope around the usual errors."""
        known = {
            429: (971, "Please wait and consider throttling your request speed"), 403: (10000, "Authentication error"),
            404: (7003, "Could not route to the requested resource, perhaps your object identifier is invalid?"), 405: (7001, "Method not allowed."),
        }  # fmt: skip
        number, message = known.get(code, (code * 10, "Internal Server Error" if code >= 500 else "Bad request"))
        del options
        answer = _errors(code, number, message)
        if code == 429:
            answer.headers["Retry-After"] = "1"
        return answer

    def routes(self) -> list[web.AbstractRouteDef]:
        """Below /client/v4."""
        records = "/client/v4/zones/{zone}/dns_records"
        one = records + "/{record:[^/]+}"
        return [
            web.get("/client/v4/user/tokens/verify", self._counted(self._verify)),
            web.get("/client/v4/zones", self._counted(self._list_zones)),
            web.get("/client/v4/zones/{zone}", self._counted(self._get_zone)),
            web.get(records, self._counted(self._list_records)),
            web.post(records, self._counted(self._create_record)),
            web.post(records + "/batch", self._counted(self._batch)),
            web.get(one, self._counted(self._get_record)),
            web.put(one, self._counted(self._update_record)),
            web.patch(one, self._counted(self._update_record)),
            web.delete(one, self._counted(self._delete_record)),
            web.route("*", "/{path:.*}", self._unknown),
        ]

    def _counted(self, handler: Handler) -> Handler:
        async def counted(request: web.Request) -> web.StreamResponse:
            if not self._limit.take():
                answer = self.refuse(429, {})
                answer.headers["Retry-After"] = self._limit.retry_after
                return answer
            try:
                return await handler(request)
            except RecordError as error:
                return _errors(error.status, error.code, error.message)

        return counted

    # Who asks

    def _token(self, request: web.Request) -> Token | None:
        header = request.headers.get("Authorization")
        if header is None:
            raise Refusal(_errors(400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers"))
        scheme, _, text = header.partition(" ")
        if scheme != "Bearer" or not _TOKEN.fullmatch(text):
            chain = [{"code": 6111, "message": "Invalid format for Authorization header"}]
            raise Refusal(_errors(400, 6003, "Invalid request headers", error_chain=chain))
        token = self._tokens.get(text)
        return token if token is not None and token.status == "active" else None

    def _must_have(self, request: web.Request, permission: str) -> Token:
        token = self._token(request)
        if token is None:
            raise Refusal(_errors(403, 9109, "Invalid access token"))
        if permission not in token.permissions and not (permission == "dns:read" and "dns:edit" in token.permissions):
            raise Refusal(_errors(403, 10000, "Authentication error"))
        return token

    def _zone(self, request: web.Request, permission: str) -> Zone:
        zone_id = request.match_info["zone"]
        if not _ID.fullmatch(zone_id):
            raise Refusal(_no_route(request))
        token, zone = self._must_have(request, permission), self._zones.get(zone_id)
        if zone is None or not _sees(token, zone):
            code, message = (9109, "Unauthorized to access requested resource") if permission == "zone:read" else (10000, "Authentication error")
            raise Refusal(_errors(403, code, message))
        return zone

    # Answers

    async def _unknown(self, request: web.Request) -> web.Response:
        return _no_route(request)

    async def _verify(self, request: web.Request) -> web.Response:
        if self._token(request) is None:
            return _errors(401, 1000, "Invalid API Token")
        text = request.headers["Authorization"].partition(" ")[2]
        token_id = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        message = {"code": 10000, "message": "This API Token is valid and active", "type": None}
        return _answer({"id": token_id, "status": "active"}, messages=[message])

    async def _list_zones(self, request: web.Request) -> web.Response:
        token, query = self._must_have(request, "zone:read"), request.query
        found = [zone for zone in self._zones.values() if _sees(token, zone)]
        if name := query.get("name"):
            operator, _, wanted = name.rpartition(":")
            tests = {"": str.__eq__, "equal": str.__eq__, "contains": str.__contains__, "starts_with": str.startswith, "ends_with": str.endswith}
            test = tests.get(operator, str.__eq__)
            found = [zone for zone in found if test(zone.name, wanted)]
        if status := query.get("status"):
            found = [zone for zone in found if zone.status == status]
        return _page([_zone(zone) for zone in found], query, 20, 50)

    async def _get_zone(self, request: web.Request) -> web.Response:
        return _answer(_zone(self._zone(request, "zone:read")))

    async def _list_records(self, request: web.Request) -> web.Response:
        return _page(self._zone(request, "dns:read").records.find(request.query), request.query, 100, 5_000_000)

    async def _get_record(self, request: web.Request) -> web.Response:
        return _answer(self._zone(request, "dns:read").records.get(request.match_info["record"]))

    async def _create_record(self, request: web.Request) -> web.Response:
        records = self._zone(request, "dns:edit").records
        return _answer(records.create(await _body(request)))

    async def _update_record(self, request: web.Request) -> web.Response:
        records = self._zone(request, "dns:edit").records
        return _answer(records.update(request.match_info["record"], await _body(request), whole=request.method == "PUT"))

    async def _delete_record(self, request: web.Request) -> web.Response:
        return _answer({"id": self._zone(request, "dns:edit").records.delete(request.match_info["record"])["id"]})

    async def _batch(self, request: web.Request) -> web.Response:
        records = self._zone(request, "dns:edit").records
        wish = await _body(request)
        parts = [wish.get(key) or [] for key in ("deletes", "patches", "puts", "posts")]
        if any(not isinstance(part, list) or any(not isinstance(one, dict) for one in part) for part in parts):
            return _errors(400, 9207, "Failed to parse DNS record batch")
        return _answer(records.batch(wish))


async def _body(request: web.Request) -> Obj:
    body = await json_body(request, _errors(400, 9207, "Request body is invalid."))
    return dict(body)


def _sees(token: Token, zone: Zone) -> bool:
    return token.zones is None or zone.name in token.zones


def _zone(zone: Zone) -> Obj:
    return {
        "id": zone.id, "name": zone.name, "status": zone.status, "paused": False, "type": "full", "development_mode": 0,
        "name_servers": ["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"], "original_name_servers": None, "original_registrar": None,
        "original_dnshost": None, "modified_on": zone.created, "created_on": zone.created, "activated_on": zone.created,
        "meta": {"step": 2, "custom_certificate_quota": 0, "page_rule_quota": 3, "phishing_detected": False},
        "owner": {"id": None, "type": "user", "email": None}, "account": {"id": "0" * 32, "name": "The lab"}, "tenant": {"id": None, "name": None},
        "tenant_unit": {"id": None}, "permissions": ["#dns_records:edit", "#dns_records:read", "#zone:read"],
        "plan": {"id": "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee", "name": "Free Website", "price": 0, "currency": "USD", "frequency": "",
                 "legacy_id": "free", "is_subscribed": False, "can_subscribe": False, "legacy_discount": False, "externally_managed": False},
    }  # fmt: skip


def _answer(result: Any, messages: list[Obj] | None = None, **more: Any) -> web.Response:
    return web.json_response({"result": result, "success": True, "errors": [], "messages": messages or [], **more})


def _page(items: list[Obj], query: Any, default: int, most: int) -> web.Response:
    size, page = whole_number(query.get("per_page"), default, 1, most), whole_number(query.get("page"), 1, 1, 2**31)
    shown = items[(page - 1) * size : page * size]
    info = {"page": page, "per_page": size, "count": len(shown), "total_count": len(items), "total_pages": -(-len(items) // size)}
    return _answer(shown, result_info=info)


def _errors(status: int, code: int, message: str, **more: Any) -> web.Response:
    errors = [{"code": code, "message": message, **more}]
    return web.json_response({"result": None, "success": False, "errors": errors, "messages": []}, status=status)


def _no_route(request: web.Request) -> web.Response:
    path = request.path.removeprefix("/client/v4")
    first = {"code": 7003, "message": f"Could not route to {path}, perhaps your object identifier is invalid?"}
    errors = [first, {"code": 7000, "message": "No route for that URI"}]
    return web.json_response({"success": False, "errors": errors, "messages": [], "result": None}, status=404)
