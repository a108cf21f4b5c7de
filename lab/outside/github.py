"""GitHub's REST API: releases with drafts and assets, tags and references, issues, rate limits."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from lab.clock import Clock
from lab.faults import Faults
from lab.outside.github_shapes import Shapes
from lab.outside.repository import USER_ID, GithubError, Repository, not_found
from lab.outside.service import RateWindow, Service, SetupError, bearer, json_body, read_limit, whole_number

Obj = dict[str, Any]
Answer = Callable[[web.Request, Repository], Any]

ADMIN_TOKEN = "ghp_labadminlabadminlabadminlabadmin0000"  # noqa: S105 - everyone may know it
DEFAULT_REPOSITORY = "cosmodrome/lab"
_DOCUMENTATION = "https://docs.github.com/rest"


@dataclass(frozen=True)
class Token:
    """What a token may do. `repositories` None: all."""

    write: bool = True
    repositories: tuple[str, ...] | None = None


class Github(Service):
    """The service, with one repository, `cosmodrome/lab`, until there are more."""

    place = "github"

    def __init__(self, clock: Clock, faults: Faults) -> None:
        super().__init__(clock, faults)
        self._ids = itertools.count(1)
        self._repositories: dict[str, Repository] = {}
        self._tokens = {ADMIN_TOKEN: Token()}
        self._limit = RateWindow(clock, 5000, 3600)
        self._shapes = Shapes(self)
        self.add_repository(DEFAULT_REPOSITORY)

    def add_repository(self, full_name: str, private: bool = False) -> Repository:
        """Another repository."""
        owner, _, name = full_name.partition("/")
        if not owner or not name or "/" in name:
            raise SetupError(f"repositories: {full_name!r} is not like owner/name")
        made = Repository(owner, name, self.clock, lambda: next(self._ids), private)
        return self._repositories.setdefault(full_name.lower(), made)

    def set_up(self, wish: Obj) -> None:
        """`{"repositories": ["owner/name"], "private": false, "tokens": {"ghp_…": {"write": true, "repositories": [...]}}, "limit": {...}}`."""
        for name in wish.get("repositories") or ():
            self.add_repository(str(name), bool(wish.get("private")))
        for token, given in (wish.get("tokens") or {}).items():
            names = given.get("repositories")
            self._tokens[token] = Token(bool(given.get("write", True)), None if names is None else tuple(names))
        if "limit" in wish:
            self._limit = read_limit(self.clock, wish["limit"])

    def show(self) -> Obj:
        """Repositories and what is in them."""
        return {"repositories": [one.show() for one in self._repositories.values()]}

    def summary(self) -> str:
        """Repositories, and how much is in each."""
        return ", ".join(f"{one.full_name}: {len(one.releases)} releases, {len(one.issues)} issues" for one in self._repositories.values())

    def refuse(self, code: int, options: Obj) -> web.StreamResponse:
        """GitHub's own; 403 is the primary rate limit, 429 the secondary one."""
        del options
        if code == 403:
            return self._with_limit(_error(403, f"API rate limit exceeded for user ID {USER_ID}."), remaining=0)
        if code == 429:
            answer = _error(429, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
            answer.headers["Retry-After"] = "60"
            return answer
        messages = {404: "Not Found", 413: "Request Entity Too Large", 500: "Server Error", 502: "Server Error", 503: "Service unavailable"}
        return _error(code, messages.get(code, "Bad Request"))

    def routes(self) -> list[web.AbstractRouteDef]:
        """All paths."""
        repo, shapes = "/repos/{owner}/{repo}", self._shapes
        release, asset, issue = repo + r"/releases/{id:\d+}", repo + r"/releases/assets/{id:\d+}", repo + r"/issues/{id:\d+}"
        table: list[tuple[str, str, Answer]] = [
            ("GET", repo, lambda _r, one: shapes.repository(one)),
            ("GET", repo + "/releases", lambda r, one: self._page(r, [shapes.release(one, x) for x in reversed(self._visible(r, one))])),
            ("GET", repo + "/releases/latest", lambda _r, one: shapes.release(one, one.latest())),
            ("GET", repo + "/releases/tags/{tag:.+}", lambda r, one: shapes.release(one, one.by_tag(r.match_info["tag"]))),
            ("GET", release, lambda r, one: shapes.release(one, one.release(_id(r)))),
            ("GET", release + "/assets", lambda r, one: self._page(r, [shapes.asset(one, x) for x in one.release(_id(r))["assets"]])),
            ("GET", asset, self._get_asset),
            ("GET", repo + "/tags", lambda r, one: self._page(r, shapes.tags(one))),
            ("GET", repo + "/branches/{branch:.+}", lambda r, one: shapes.branch(one, r.match_info["branch"])),
            ("GET", repo + "/commits/{ref:.+}", lambda r, one: shapes.commit(one, one.commit_of(r.match_info["ref"]))),
            ("GET", repo + "/git/{refs:refs?}/{ref:.+}", self._get_ref),
            ("GET", repo + "/git/matching-refs/{ref:.+}", lambda r, one: self._page(r, shapes.refs(one, "refs/" + r.match_info["ref"]))),
            ("GET", repo + "/git/refs", lambda r, one: self._page(r, shapes.refs(one, ""))),
            ("GET", repo + "/git/tags/{sha}", lambda r, one: shapes.tag(one, r.match_info["sha"])),
            ("GET", repo + "/issues", self._list_issues),
            ("GET", issue, lambda r, one: shapes.issue(one, one.issue(_id(r)))),
            ("GET", issue + "/comments", lambda r, one: self._page(r, [shapes.comment(one, _id(r), x) for x in one.issue(_id(r))["thread"]])),
        ]
        plain = [web.get("/user", self._user), web.get("/rate_limit", self._rate_limit)]
        plain.append(web.get("/{owner}/{repo}/releases/download/{tag}/{name}", self._download))
        reads = [web.route(method, path, self._answering(answer)) for method, path, answer in table]
        return [*plain, *reads, *self._writes(repo, release, asset, issue)]

    def _writes(self, repo: str, release: str, asset: str, issue: str) -> list[web.AbstractRouteDef]:
        shapes = self._shapes
        change: Callable[..., Any] = self._changing
        table: list[tuple[str, str, Any]] = [
            ("POST", repo + "/releases", change(201, lambda _r, one, w: shapes.release(one, one.create_release(w)))),
            ("PATCH", release, change(200, lambda r, one, w: shapes.release(one, one.update_release(_id(r), w)))),
            ("DELETE", release, change(204, lambda r, one, _w: one.delete_release(_id(r)))),
            ("POST", release + "/assets", self._answering(self._upload, write=True)),
            ("PATCH", asset, change(200, lambda r, one, w: shapes.asset(one, one.update_asset(_id(r), w)))),
            ("DELETE", asset, change(204, lambda r, one, _w: one.delete_asset(_id(r)))),
            ("POST", repo + "/git/refs", change(201, lambda _r, one, w: shapes.ref(one, one.create_ref(w.get("ref"), w.get("sha"))))),
            ("PATCH", repo + "/git/refs/{ref:.+}", change(200, lambda r, one, w: shapes.ref(one, one.move_ref(_ref(r), w.get("sha"))))),
            ("DELETE", repo + "/git/refs/{ref:.+}", change(204, lambda r, one, _w: one.delete_ref(_ref(r)))),
            ("POST", repo + "/git/tags", change(201, lambda _r, one, w: shapes.tag(one, one.create_tag(w)["sha"]))),
            ("POST", repo + "/issues", change(201, lambda _r, one, w: shapes.issue(one, one.create_issue(w)))),
            ("PATCH", issue, change(200, lambda r, one, w: shapes.issue(one, one.update_issue(_id(r), w)))),
            ("POST", issue + "/comments", change(201, lambda r, one, w: shapes.comment(one, _id(r), one.comment(_id(r), w)))),
        ]
        return [web.route(method, path, handler) for method, path, handler in table]

    # Every request

    def _answering(self, answer: Answer, write: bool = False) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            refusal = self._enter(request)
            if refusal is not None:
                return refusal
            try:
                found = answer(request, self._repository(request, write))
                found = await found if hasattr(found, "__await__") else found
            except GithubError as error:
                return self._with_limit(_error(error.status, error.message, error.errors))
            return self._with_limit(found if isinstance(found, web.StreamResponse) else web.json_response(found))

        return handle

    def _changing(self, status: int, change: Callable[[web.Request, Repository, Obj], Any]) -> Any:
        async def read(request: web.Request, one: Repository) -> web.StreamResponse:
            wish = await json_body(request, _error(400, "Problems parsing JSON")) if request.method != "DELETE" else {}
            done = change(request, one, wish)
            return web.Response(status=204) if status == 204 else web.json_response(done, status=status)

        return self._answering(read, write=True)

    def _enter(self, request: web.Request) -> web.StreamResponse | None:
        """What keeps a request out: bad credentials, too many requests."""
        if not request.headers.get("User-Agent"):
            text = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header."
            return web.Response(status=403, text=text)
        token = bearer(request)
        if token is not None and token not in self._tokens:
            return _error(401, "Bad credentials")
        if not self._limit.take():
            return self._with_limit(_error(403, f"API rate limit exceeded for user ID {USER_ID}."))
        return None

    def _token(self, request: web.Request) -> Token | None:
        return self._tokens.get(bearer(request) or "")

    def _repository(self, request: web.Request, write: bool) -> Repository:
        name = "{owner}/{repo}".format(**request.match_info)
        one, token = self._repositories.get(name.lower()), self._token(request)
        sees = token is not None and (token.repositories is None or name in token.repositories)
        if one is None or (one.private and not sees):
            raise not_found()
        if write and token is None:
            raise GithubError(401, "Requires authentication")
        if write and not (sees and token is not None and token.write):
            raise GithubError(403, "Resource not accessible by personal access token")
        return one

    def _with_limit(self, answer: web.StreamResponse, remaining: int | None = None) -> web.StreamResponse:
        limit = self._limit
        left = limit.remaining if remaining is None else remaining
        answer.headers.update({
            "X-RateLimit-Limit": str(limit.limit), "X-RateLimit-Remaining": str(left), "X-RateLimit-Used": str(limit.limit - left),
            "X-RateLimit-Reset": str(limit.reset), "X-RateLimit-Resource": "core", "X-GitHub-Request-Id": secrets.token_hex(12).upper(),
            "X-GitHub-Media-Type": "github.v3; format=json", "X-OAuth-Scopes": "repo",
        })  # fmt: skip
        return answer

    def _page(self, request: web.Request, items: list[Obj]) -> web.Response:
        """A page, and in the Link header where the others are."""
        size, page = whole_number(request.query.get("per_page"), 30, 1, 100), whole_number(request.query.get("page"), 1, 1, 2**31)
        last = max(1, -(-len(items) // size))
        places = {"prev": page - 1 if page > 1 else None, "next": page + 1 if page < last else None, "last": last if page < last else None,
                  "first": 1 if page > 1 else None}  # fmt: skip
        links = [f'<{self.url}{request.rel_url.update_query(page=number)}>; rel="{name}"' for name, number in places.items() if number]
        shown = items[(page - 1) * size : page * size]
        return web.json_response(shown, headers={"Link": ", ".join(links)} if links else {})

    # Answers that need more than a line

    async def _user(self, request: web.Request) -> web.StreamResponse:
        refusal = self._enter(request)
        if refusal is None and self._token(request) is None:
            refusal = _error(401, "Requires authentication")
        return self._with_limit(refusal or web.json_response(self._shapes.user()))

    async def _rate_limit(self, request: web.Request) -> web.StreamResponse:
        if bearer(request) is not None and self._token(request) is None:
            return _error(401, "Bad credentials")
        limit = self._limit
        core = {"limit": limit.limit, "remaining": limit.remaining, "used": limit.used, "reset": limit.reset, "resource": "core"}
        return self._with_limit(web.json_response({"resources": {"core": core, "search": core, "graphql": core}, "rate": core}))

    def _visible(self, request: web.Request, one: Repository) -> list[Obj]:
        """Drafts are shown to those who may publish them."""
        token = self._token(request)
        drafts = token is not None and token.write and (token.repositories is None or one.full_name in token.repositories)
        return [release for release in one.releases.values() if drafts or not release["draft"]]

    def _get_asset(self, request: web.Request, one: Repository) -> Any:
        asset, _ = one.asset(_id(request))
        if "octet-stream" not in request.headers.get("Accept", ""):
            return self._shapes.asset(one, asset)
        asset["download_count"] += 1
        return web.Response(body=one.contents[asset["id"]], content_type="application/octet-stream")

    async def _download(self, request: web.Request) -> web.StreamResponse:
        """What browsers and curl get, without any token."""
        one = self._repositories.get("{owner}/{repo}".format(**request.match_info).lower())
        try:
            if one is None or one.private:
                raise not_found()
            assets: Iterable[Obj] = one.by_tag(request.match_info["tag"])["assets"]
            asset = next((found for found in assets if found["name"] == request.match_info["name"]), None)
            if asset is None:
                raise not_found()
        except GithubError:
            return web.Response(status=404, text="Not Found")
        asset["download_count"] += 1
        return web.Response(body=one.contents[asset["id"]], content_type="application/octet-stream")

    async def _upload(self, request: web.Request, one: Repository) -> web.Response:
        query, kind = request.query, request.headers.get("Content-Type", "application/octet-stream")
        asset = one.add_asset(_id(request), query.get("name", ""), query.get("label", ""), kind, await request.read())
        return web.json_response(self._shapes.asset(one, asset), status=201)

    def _get_ref(self, request: web.Request, one: Repository) -> Obj:
        if _ref(request) not in one.refs:
            raise not_found()
        return self._shapes.ref(one, _ref(request))

    def _list_issues(self, request: web.Request, one: Repository) -> web.Response:
        state, labels = request.query.get("state", "open"), [name for name in request.query.get("labels", "").split(",") if name]
        found = [issue for issue in one.issues.values() if state in ("all", issue["state"]) and set(labels) <= set(issue["labels"])]
        if request.query.get("direction", "desc") == "desc":
            found.reverse()
        return self._page(request, [self._shapes.issue(one, issue) for issue in found])


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])


def _ref(request: web.Request) -> str:
    return "refs/" + request.match_info["ref"].removeprefix("refs/")


def _error(status: int, message: str, errors: list[Obj] | None = None) -> web.Response:
    body: Obj = {"message": message, "documentation_url": _DOCUMENTATION, "status": str(status)}
    return web.json_response(body | ({"errors": errors} if errors else {}), status=status)
