"""GKE's ClusterManager over REST, version 1, in both of its forms: `locations/…` with `:verbs`, and the older `zones/…`, and tokens."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from lab.clock import Clock
from lab.faults import Faults
from lab.outside import google_json
from lab.outside.fleet import Fleet, Operation
from lab.outside.gke_cluster import GKE_VERSION, GkeCluster
from lab.outside.google import Accounts, GoogleError
from lab.outside.service import Handler, Service, SetupError, json_body

Obj = dict[str, Any]

_MESSAGES = {
    429: "Quota exceeded for quota metric 'Read requests' of service 'container.googleapis.com'.",
    503: "The service is currently unavailable.",
}


class Gke(Service):
    """The service."""

    place = "gke"

    def __init__(self, clock: Clock, faults: Faults, accounts: Accounts, fleet: Fleet) -> None:
        super().__init__(clock, faults)
        self._accounts = accounts
        self._fleet = fleet

    def show(self) -> Obj:
        """Clusters and operations, and the key of the one service account."""
        return {
            "clusters": [cluster.shown() for cluster in self._fleet.clusters.values()],
            "operations": [operation.shown() for operation in self._fleet.operations.values()],
            "quotas": self._fleet.quotas,
            "key": self._accounts.key_file(f"{self.url}/token"),
        }

    def set_up(self, wish: Obj) -> None:
        """`{"quotas": {"CPUS": 24}}`: for every region of every project; null for plenty."""
        quotas = wish.get("quotas")
        if not isinstance(quotas, dict) or not all(value is None or isinstance(value, int) for value in quotas.values()):
            raise SetupError('quotas: must be like {"CPUS": 24}')
        for name, limit in quotas.items():
            if limit is None:
                self._fleet.quotas.pop(name, None)
            else:
                self._fleet.quotas[name] = limit

    def summary(self) -> str:
        """Clusters, how they are and how big."""
        found = self._fleet.clusters.values()
        return ", ".join(f"{one.name}: {one.status}, {sum(len(pool.nodes) for pool in one.pools.values())} nodes" for one in found) or "no clusters"

    def refuse(self, code: int, options: Obj) -> web.StreamResponse:
        """As Google puts it."""
        del options
        if code == 404:
            return web.Response(status=404, text="<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", content_type="text/html")
        return GoogleError(code, _MESSAGES.get(code, "Internal error encountered." if code >= 500 else "Bad Request")).answer()

    def routes(self) -> list[web.AbstractRouteDef]:
        """Below /v1, and /token."""
        place = "/v1/projects/{project}/{kind:locations|zones}/{location}"
        clusters = place + "/clusters"
        one = clusters + "/{cluster:[^/:]+}"
        pools = one + "/nodePools"
        pool = pools + "/{pool:[^/:]+}"
        act = self._checked
        return [
            web.post("/token", self._accounts.exchange),
            web.get(clusters, act(self._list)),
            web.post(clusters, act(self._create)),
            web.get(one, act(self._get)),
            web.put(one, act(self._update)),
            web.delete(one, act(self._delete)),
            *(web.post(one + verb, act(self._set_labels)) for verb in (":setResourceLabels", "/resourceLabels")),
            web.get(pools, act(self._list_pools)),
            web.post(pools, act(self._create_pool)),
            web.get(pool, act(self._get_pool)),
            web.delete(pool, act(self._delete_pool)),
            *(web.post(pool + verb, act(self._set_size)) for verb in (":setSize", "/setSize")),
            *(web.post(pool + verb, act(self._set_autoscaling)) for verb in (":setAutoscaling", "/autoscaling")),
            web.get(place + "/operations", act(self._operations)),
            web.get(place + "/operations/{operation:[^/:]+}", act(self._operation)),
            *(web.get(place + path, act(self._server_config)) for path in ("/serverConfig", "/serverconfig")),
        ]

    def _checked(self, handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            try:
                self._accounts.check(request)
                return await handler(request)
            except GoogleError as error:
                return error.answer()

        return checked

    # Clusters

    async def _list(self, request: web.Request) -> web.Response:
        project, location = request.match_info["project"], request.match_info["location"]
        found = [one for one in self._fleet.clusters.values() if one.project == project and location in ("-", one.location)]
        return web.json_response({"clusters": [one.shown() for one in found]} if found else {})

    async def _create(self, request: web.Request) -> web.Response:
        wish = (await _body(request)).get("cluster")
        if wish is None:
            raise GoogleError(400, "Cluster is required.")
        return _answer(self._fleet.create(request.match_info["project"], request.match_info["location"], wish))

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._fleet.cluster(_path(request)).shown())

    async def _delete(self, request: web.Request) -> web.Response:
        return _answer(self._fleet.delete(_path(request)))

    async def _update(self, request: web.Request) -> web.Response:
        change = (await _body(request)).get("update")
        if not change:
            raise GoogleError(400, "Must specify a field to update.")

        def apply(cluster: GkeCluster) -> None:
            for name, value in change.items():
                key = name.removeprefix("desired")
                cluster.wish[key[:1].lower() + key[1:]] = value

        return _answer(self._fleet.update(_path(request), apply))

    async def _set_labels(self, request: web.Request) -> web.Response:
        return _answer(self._fleet.set_labels(_path(request), await _body(request)))

    # Node pools

    async def _list_pools(self, request: web.Request) -> web.Response:
        cluster = self._fleet.cluster(_path(request))
        return web.json_response({"nodePools": [pool.shown(cluster) for pool in cluster.pools.values()]})

    async def _get_pool(self, request: web.Request) -> web.Response:
        cluster, pool = self._fleet.pool(_path(request), request.match_info["pool"])
        return web.json_response(pool.shown(cluster))

    async def _create_pool(self, request: web.Request) -> web.Response:
        given = (await _body(request)).get("nodePool")
        if given is None:
            raise GoogleError(400, "Node pool is required.")
        return _answer(self._fleet.add_pool(_path(request), given))

    async def _delete_pool(self, request: web.Request) -> web.Response:
        return _answer(self._fleet.delete_pool(_path(request), request.match_info["pool"]))

    async def _set_size(self, request: web.Request) -> web.Response:
        return _answer(self._fleet.set_size(_path(request), request.match_info["pool"], (await _body(request)).get("nodeCount", 0)))

    async def _set_autoscaling(self, request: web.Request) -> web.Response:
        _, pool = self._fleet.pool(_path(request), request.match_info["pool"])
        wanted = dict((await _body(request)).get("autoscaling") or {})

        def apply(_cluster: GkeCluster) -> None:
            pool.autoscaling = wanted

        return _answer(self._fleet.update(_path(request), apply))

    # Operations and the rest

    async def _operations(self, request: web.Request) -> web.Response:
        project, location = request.match_info["project"], request.match_info["location"]
        found = [one for one in self._fleet.operations.values() if one.project == project and location in ("-", one.location)]
        return web.json_response({"operations": [one.shown() for one in found]} if found else {})

    async def _operation(self, request: web.Request) -> web.Response:
        found = self._fleet.operations.get(request.match_info["operation"])
        if found is None or (found.project, found.location) != (request.match_info["project"], request.match_info["location"]):
            raise GoogleError(404, f"Not found: {request.path.removeprefix('/v1/')}.")
        return web.json_response(found.shown())

    async def _server_config(self, _request: web.Request) -> web.Response:
        versions = {"validVersions": [GKE_VERSION], "defaultVersion": GKE_VERSION}
        return web.json_response({
            "defaultClusterVersion": GKE_VERSION, "validNodeVersions": [GKE_VERSION], "validMasterVersions": [GKE_VERSION],
            "defaultImageType": "COS_CONTAINERD", "validImageTypes": ["COS_CONTAINERD"],
            "channels": [{"channel": channel, **versions} for channel in ("RAPID", "REGULAR", "STABLE")],
        })  # fmt: skip


def _path(request: web.Request) -> str:
    return "projects/{project}/locations/{location}/clusters/{cluster}".format(**request.match_info)


async def _body(request: web.Request) -> Obj:
    body = await json_body(request, GoogleError(400, "Invalid JSON payload received.").answer())
    google_json.check(body, google_json.REQUEST)
    return {key: value for key, value in body.items() if value is not None}


def _answer(operation: Operation) -> web.Response:
    return web.json_response(operation.shown())
