"""Slack's Web API: messages and threads, channels, files.

Answers are HTTP 200 with `ok`; only a rate limit is a 429. Bots post where they are members, or with `chat:write.public` in any public channel.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from lab.clock import Clock
from lab.faults import Faults
from lab.outside.service import RateWindow, Service, SetupError, bearer, read_limit
from lab.outside.workspace import BOT_ID, BOT_USER, TEAM_ID, Channel, SlackError, Workspace

Obj = dict[str, Any]
Method = Callable[[Obj, frozenset[str]], Obj]

ADMIN_TOKEN = "xoxb-lab-admin"  # noqa: S105 - everyone may know it
SCOPES = ("channels:history", "channels:join", "channels:read", "chat:write", "chat:write.public", "files:read", "files:write", "groups:read")


class Slack(Service):
    """The service: one workspace, one bot, channels `general` and `lab`."""

    place = "slack"
    base_path = "/api/"

    def __init__(self, clock: Clock, faults: Faults) -> None:
        super().__init__(clock, faults)
        self._space = Workspace(clock)
        self._tokens = {ADMIN_TOKEN: frozenset(SCOPES)}
        self._limits: dict[str, RateWindow] = {}  # by method, "" for all together
        self._methods: dict[str, tuple[tuple[str, ...], Method]] = {  # with the scopes of which one is needed
            "auth.test": ((), self._auth_test),
            "chat.delete": (("chat:write",), self._delete),
            "chat.getPermalink": ((), self._permalink),
            "chat.postMessage": (("chat:write",), self._post),
            "chat.update": (("chat:write",), self._update),
            "conversations.history": (("channels:history",), self._history),
            "conversations.info": (("channels:read", "groups:read"), self._info),
            "conversations.join": (("channels:join",), self._join),
            "conversations.list": (("channels:read", "groups:read"), self._list),
            "conversations.replies": (("channels:history",), self._replies),
            "files.completeUploadExternal": (("files:write",), self._complete),
            "files.getUploadURLExternal": (("files:write",), self._upload_url),
            "files.info": (("files:read",), self._file_info),
        }

    def set_up(self, wish: Obj) -> None:
        """`{"channels": [{"name", "member", "private", "archived"}], "tokens": {"xoxb-…": [scopes]}, "limits": {"chat.postMessage": {…}}}`."""
        for given in wish.get("channels") or ():
            name = given.get("name") if isinstance(given, dict) else None
            if not isinstance(name, str) or not name:
                raise SetupError("channels: each needs a name")
            self._space.add_channel(name, bool(given.get("member", True)), bool(given.get("private")), bool(given.get("archived")))
        for token, scopes in (wish.get("tokens") or {}).items():
            self._tokens[token] = frozenset(scopes)
        for method, limit in (wish.get("limits") or {}).items():
            if method and method not in self._methods:
                raise SetupError(f"limits: there is no method {method}")
            self._limits[method] = read_limit(self.clock, limit)

    def show(self) -> Obj:
        """Channels with their messages, and files."""
        return self._space.show()

    def summary(self) -> str:
        """Channels, and how many messages each has."""
        return ", ".join(f"#{channel['name']}: {len(channel['messages'])} messages" for channel in self._space.show()["channels"])

    def refuse(self, code: int, options: Obj) -> web.StreamResponse:
        """Slack's own: JSON for a rate limit, plain text for what does not come from its application."""
        del options
        if code == 429:
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "1"})
        if code >= 500:
            return web.json_response({"ok": False, "error": "internal_error" if code == 500 else "service_unavailable"}, status=code)
        return web.Response(status=code, text=f"{code}")

    def routes(self) -> list[web.AbstractRouteDef]:
        """Methods below /api, and where files are sent to."""
        return [web.route("*", "/api/{method}", self._call), web.post("/upload/v1/{key}", self._receive)]

    async def _call(self, request: web.Request) -> web.Response:
        name = request.match_info["method"]
        if name not in self._methods:
            return web.json_response({"ok": False, "error": "unknown_method", "req_method": name})
        for key in ("", name):
            limit = self._limits.get(key)
            if limit is not None and not limit.take():
                return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": limit.retry_after})
        try:
            given = await _arguments(request)
            scopes = self._scopes(request, given)
            needed, method = self._methods[name]
            if needed and not scopes.intersection(needed):
                more = {"needed": ",".join(needed), "provided": ",".join(sorted(scopes))}
                raise SlackError("missing_scope", **more)
            return web.json_response({"ok": True, **method(given, scopes)}, headers={"X-OAuth-Scopes": ",".join(sorted(scopes))})
        except SlackError as error:
            return web.json_response({"ok": False, "error": error.error, **error.more})

    def _scopes(self, request: web.Request, given: Obj) -> frozenset[str]:
        token = bearer(request) or given.get("token")
        if not token:
            raise SlackError("not_authed")
        if token not in self._tokens:
            raise SlackError("invalid_auth")
        return self._tokens[str(token)]

    async def _receive(self, request: web.Request) -> web.Response:
        """The middle of an upload: the file's bytes, bare or as a form."""
        if request.content_type.startswith("multipart/"):
            parts = [part for part in (await request.post()).values() if isinstance(part, web.FileField)]
            data = parts[0].file.read() if parts else b""
        else:
            data = await request.read()
        if not self._space.receive(request.match_info["key"], data):
            return web.Response(status=404, text="Not found")
        return web.Response(text=f"OK - {len(data)}")

    # Methods

    def _auth_test(self, _given: Obj, _scopes: frozenset[str]) -> Obj:
        return {"url": "https://lab.slack.com/", "team": "The lab", "user": "cosmodrome", "team_id": TEAM_ID, "user_id": BOT_USER, "bot_id": BOT_ID,
                "is_enterprise_install": False}  # fmt: skip

    def _post(self, given: Obj, scopes: frozenset[str]) -> Obj:
        channel = self._space.channel(given.get("channel"), by_name=True)
        self._may_write(channel, scopes)
        message = channel.post(_content(given), given.get("thread_ts"), _truth(given.get("reply_broadcast")))
        return {"channel": channel.id, "ts": message["ts"], "message": message}

    def _update(self, given: Obj, _scopes: frozenset[str]) -> Obj:
        channel = self._space.channel(given.get("channel"))
        message = channel.update(str(given.get("ts", "")), _content(given))
        return {"channel": channel.id, "ts": message["ts"], "text": message["text"], "message": message}

    def _delete(self, given: Obj, _scopes: frozenset[str]) -> Obj:
        channel = self._space.channel(given.get("channel"))
        channel.delete(str(given.get("ts", "")))
        return {"channel": channel.id, "ts": given["ts"]}

    def _permalink(self, given: Obj, _scopes: frozenset[str]) -> Obj:
        channel = self._space.channel(given.get("channel"))
        stamp = channel.message(str(given.get("message_ts", "")))["ts"]
        return {"channel": channel.id, "permalink": f"https://lab.slack.com/archives/{channel.id}/p{stamp.replace('.', '')}"}

    def _history(self, given: Obj, _scopes: frozenset[str]) -> Obj:
        channel = self._space.channel(given.get("channel"))
        if not channel.member:
            raise SlackError("not_in_channel")
        shown = [one for one in reversed(channel.messages) if one.get("thread_ts", one["ts"]) == one["ts"]]
        return {"messages": shown[: _limit(given, 100)], "has_more": len(shown) > _limit(given, 100)}

    def _replies(self, given: Obj, _scopes: frozenset[str]) -> Obj:
        channel = self._space.channel(given.get("channel"))
        found = channel.thread(str(given.get("ts", "")))
        return {"messages": found[: _limit(given, 1000)], "has_more": len(found) > _limit(given, 1000)}

    def _info(self, given: Obj, _scopes: frozenset[str]) -> Obj:
        return {"channel": self._space.channel(given.get("channel")).described()}

    def _join(self, given: Obj, _scopes: frozenset[str]) -> Obj:
        channel = self._space.channel(given.get("channel"))
        if channel.archived:
            raise SlackError("is_archived")
        if channel.private:
            raise SlackError("method_not_supported_for_channel_type")
        channel.member = True
        return {"channel": channel.described()}

    def _list(self, given: Obj, _scopes: frozenset[str]) -> Obj:
        limit = _limit(given, 100)
        wanted = {kind.strip() for kind in str(given.get("types") or "public_channel").split(",")}
        if wanted - {"public_channel", "private_channel", "mpim", "im"}:
            raise SlackError("invalid_types")
        found = [one for one in self._space.visible() if ("private_channel" if one.private else "public_channel") in wanted]
        if _truth(given.get("exclude_archived")):
            found = [one for one in found if not one.archived]
        start = self._space.read_cursor(given.get("cursor"))
        after = [one for one in found if one.number > start]
        more = self._space.cursor(after[limit - 1].number) if len(after) > limit else ""
        return {"channels": [one.described() for one in after[:limit]], "response_metadata": {"next_cursor": more}}

    def _upload_url(self, given: Obj, _scopes: frozenset[str]) -> Obj:
        name, length = given.get("filename"), str(given.get("length") or "")
        if not name or not length:
            missing = "length" if name else "filename"
            raise SlackError("invalid_arguments", response_metadata={"messages": [f"[ERROR] missing required field: {missing}"]})
        if not length.isdigit():
            raise SlackError("invalid_arguments", response_metadata={"messages": ["[ERROR] must be an integer [json-pointer:/length]"]})
        file_id, key = self._space.expect_file(str(name), int(length))
        return {"upload_url": f"{self.url}/upload/v1/{key}", "file_id": file_id}

    def _complete(self, given: Obj, scopes: frozenset[str]) -> Obj:
        files = given.get("files")
        if isinstance(files, str):
            try:
                files = json.loads(files)
            except ValueError:
                files = None
        if not isinstance(files, list) or not files or not all(isinstance(one, dict) for one in files):
            raise SlackError("invalid_arguments", response_metadata={"messages": ["[ERROR] missing required field: files"]})
        named = [name for name in (given.get("channel_id"), *str(given.get("channels") or "").split(",")) if name]
        channels = [self._space.channel(name) for name in dict.fromkeys(named)]
        for channel in channels:
            self._may_write(channel, scopes - {"chat:write.public"})
        done = [self._space.complete_file(str(one.get("id", "")), one.get("title"), channels) for one in files]
        for channel in channels:
            channel.post({"text": given.get("initial_comment") or "", "files": done, "upload": True}, given.get("thread_ts"))
        return {"files": done}

    def _file_info(self, given: Obj, _scopes: frozenset[str]) -> Obj:
        return {"file": self._space.file(str(given.get("file", "")))}

    @staticmethod
    def _may_write(channel: Channel, scopes: frozenset[str]) -> None:
        if channel.archived:
            raise SlackError("is_archived")
        if not channel.member and "chat:write.public" not in scopes:
            raise SlackError("not_in_channel")


async def _arguments(request: web.Request) -> Obj:
    """What a method was given: in the query, as a form, or as JSON."""
    given: Obj = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.text() or "{}")
        except (ValueError, RecursionError):
            raise SlackError("invalid_json") from None
        if not isinstance(body, dict):
            raise SlackError("json_not_object")
        return given | body
    try:
        return given | {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
    except ValueError:
        raise SlackError("invalid_form_data") from None


def _content(given: Obj) -> Obj:
    """What a message says; blocks and attachments may come as JSON in text."""
    content: Obj = {"text": str(given.get("text") or "")}
    for name in ("blocks", "attachments"):
        value = given.get(name)
        if isinstance(value, str) and value:
            try:
                value = json.loads(value)
            except ValueError:
                raise SlackError(f"invalid_{name}_format" if name == "blocks" else "invalid_attachments") from None
        if value:
            content[name] = value
    if not content["text"] and len(content) == 1:
        raise SlackError("no_text")
    if len(content["text"]) > 40_000:
        raise SlackError("msg_too_long")
    return content


def _limit(given: Obj, default: int) -> int:
    text = str(given.get("limit") or default)
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise SlackError("invalid_limit")
    return int(text)


def _truth(value: Any) -> bool:
    return str(value).lower() in ("1", "true")
