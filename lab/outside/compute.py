"""Compute Engine's REST API, as far as it is about disks: list, aggregated list, get, delete, labels; operations; the quotas of a region."""

from __future__ import annotations

import itertools
from typing import Any

from aiohttp import web

from lab.clock import Clock
from lab.faults import Faults
from lab.outside.disks import Disk, Disks, FilterError, fingerprint, numeric_id
from lab.outside.google import Accounts, GoogleError
from lab.outside.service import Handler, Service, json_body, whole_number

Obj = dict[str, Any]

OPERATION_SECONDS = 5.0  # lab time
_API = "https://www.googleapis.com/compute/v1"
_REASONS = {
    400: "invalid", 403: "forbidden", 404: "notFound", 409: "alreadyExists", 412: "conditionNotMet", 429: "rateLimitExceeded", 503: "backendError",
}  # fmt: skip


class Compute(Service):
    """The service."""

    place = "compute"

    def __init__(self, clock: Clock, faults: Faults, accounts: Accounts, disks: Disks) -> None:
        super().__init__(clock, faults)
        self._accounts = accounts
        self._disks = disks
        self._numbers = itertools.count(1)
        self._operations: dict[str, tuple[Obj, float]] = {}  # with the lab time when it is done

    def show(self) -> Obj:
        """All disks."""
        return {"disks": [disk.shown() for disk in self._disks.all()]}

    def set_up(self, wish: Obj) -> None:
        """`{"disks": [{"project", "zone", "name", "sizeGb", "labels", "description"}]}`: such as others have left behind."""
        for one in wish.get("disks") or ():
            disk = Disk(one.get("project", "lab"), one.get("zone", "us-central1-a"), one["name"], int(one.get("sizeGb", 10)))
            disk.labels, disk.description = dict(one.get("labels") or {}), str(one.get("description", ""))
            self._disks.add(disk)

    def summary(self) -> str:
        """How many disks."""
        return f"{len(self._disks.all())} disks"

    def refuse(self, code: int, options: Obj) -> web.StreamResponse:
        """As Compute puts it."""
        del options
        messages = {404: "Not Found", 429: "Rate Limit Exceeded", 503: "Backend Error. Try again later."}
        return _error(code, messages.get(code, "Internal error. Please try again or contact Google Support." if code >= 500 else "Bad Request"))

    def routes(self) -> list[web.AbstractRouteDef]:
        """Below /compute/v1."""
        project = "/compute/v1/projects/{project}"
        zone = project + "/zones/{zone}"
        return [
            web.get(project + "/aggregated/disks", self._checked(self._aggregated)),
            web.get(zone + "/disks", self._checked(self._list)),
            web.get(zone + "/disks/{name}", self._checked(self._get)),
            web.delete(zone + "/disks/{name}", self._checked(self._delete)),
            web.post(zone + "/disks/{name}/setLabels", self._checked(self._set_labels)),
            web.get(zone + "/operations/{operation}", self._checked(self._operation)),
            web.post(zone + "/operations/{operation}/wait", self._checked(self._wait)),
        ]

    def _checked(self, handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            try:
                self._accounts.check(request)
                return await handler(request)
            except GoogleError as error:
                return _error(error.code, error.message, error.status)
            except FilterError as error:
                return _error(400, str(error))

        return checked

    def _disk(self, request: web.Request) -> Disk:
        key = request.match_info["project"], request.match_info["zone"], request.match_info["name"]
        disk = self._disks.get(key)
        if disk is None:
            raise GoogleError(404, f"The resource 'projects/{key[0]}/zones/{key[1]}/disks/{key[2]}' was not found", "notFound")
        return disk

    async def _list(self, request: web.Request) -> web.Response:
        project, zone = request.match_info["project"], request.match_info["zone"]
        shown, more = self._page(request, self._disks.find(project, zone, request.query.get("filter", "")))
        scope = f"projects/{project}/zones/{zone}/disks"
        items = [disk.shown() for disk in shown]
        return web.json_response({"kind": "compute#diskList", "id": scope, "selfLink": f"{_API}/{scope}", "items": items, **more})

    async def _aggregated(self, request: web.Request) -> web.Response:
        project = request.match_info["project"]
        shown, more = self._page(request, self._disks.find(project, None, request.query.get("filter", "")))
        items: Obj = {}
        for zone, disks in itertools.groupby(shown, key=lambda disk: disk.zone):
            items[f"zones/{zone}"] = {"disks": [disk.shown() for disk in disks]}
        scope = f"projects/{project}/aggregated/disks"
        return web.json_response({"kind": "compute#diskAggregatedList", "id": scope, "selfLink": f"{_API}/{scope}", "items": items, **more})

    @staticmethod
    def _page(request: web.Request, found: list[Disk]) -> tuple[list[Disk], Obj]:
        size, start = whole_number(request.query.get("maxResults"), 500, 1, 500), request.query.get("pageToken", "")
        if start:
            found = [disk for disk in found if f"{disk.zone}/{disk.name}" > start]
        last = found[size - 1] if len(found) > size else None
        return found[:size], {"nextPageToken": f"{last.zone}/{last.name}"} if last else {}

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._disk(request).shown())

    async def _delete(self, request: web.Request) -> web.Response:
        disk = self._disk(request)
        if users := disk.users():
            user = f"projects/{disk.project}/zones/{disk.zone}/instances/{users[0]}"
            raise GoogleError(400, f"The disk resource '{disk.path}' is already being used by '{user}'", "resourceInUseByAnotherResource")
        self._disks.remove(disk.key)
        return web.json_response(self._begin(disk, "delete"))

    async def _set_labels(self, request: web.Request) -> web.Response:
        disk = self._disk(request)
        wish = await json_body(request, _error(400, "Invalid JSON payload received."))
        if wish.get("labelFingerprint") != fingerprint(disk.labels):
            raise GoogleError(412, "Labels fingerprint either invalid or resource labels have changed", "conditionNotMet")
        disk.labels = {str(key): str(value) for key, value in (wish.get("labels") or {}).items()}
        return web.json_response(self._begin(disk, "setLabels"))

    # Operations

    def _begin(self, disk: Disk, kind: str) -> Obj:
        name = f"operation-{numeric_id(disk.path)[:13]}-{next(self._numbers):08x}"
        zone = f"{_API}/projects/{disk.project}/zones/{disk.zone}"
        now = self.clock.now().isoformat(timespec="milliseconds")
        operation = {
            "kind": "compute#operation", "id": numeric_id(name), "name": name, "zone": zone, "operationType": kind,
            "targetLink": f"{_API}/{disk.path}", "targetId": numeric_id(disk.path + disk.created), "status": "RUNNING", "progress": 0,
            "insertTime": now, "startTime": now,
            "selfLink": f"{zone}/operations/{name}",
        }  # fmt: skip
        self._operations[name] = operation, self.clock.monotonic() + OPERATION_SECONDS
        return operation

    async def _operation(self, request: web.Request) -> web.Response:
        operation, done = self._find(request)
        if self.clock.monotonic() >= done and operation["status"] != "DONE":
            operation.update(status="DONE", progress=100, endTime=self.clock.now().isoformat(timespec="milliseconds"))
        return web.json_response(operation)

    async def _wait(self, request: web.Request) -> web.Response:
        _, done = self._find(request)
        await self.clock.sleep(max(0.0, done - self.clock.monotonic()))
        return await self._operation(request)

    def _find(self, request: web.Request) -> tuple[Obj, float]:
        found = self._operations.get(request.match_info["operation"])
        if found is None:
            where = "projects/{project}/zones/{zone}/operations/{operation}".format(**request.match_info)
            raise GoogleError(404, f"The resource '{where}' was not found", "notFound")
        return found


def _error(code: int, message: str, reason: str = "") -> web.Response:
    error = {"message": message, "domain": "global", "reason": reason or _REASONS.get(code, "internalError")}
    return web.json_response({"error": {"code": code, "message": message, "errors": [error]}}, status=code)


