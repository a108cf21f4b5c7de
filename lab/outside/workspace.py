"""A Slack workspace: channels with their messages, and files. No HTTP."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from lab.clock import Clock

Obj = dict[str, Any]

TEAM_ID, BOT_ID, BOT_USER, APP_ID = "T0LAB0000", "B0LAB0000", "U0LAB0000", "A0LAB0000"
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class SlackError(Exception):
    """An `ok: false` answer."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error, self.more = error, more


@dataclass
class Channel:
    """A conversation that bots can be in."""

    name: str
    number: int
    member: bool = True
    private: bool = False
    archived: bool = False
    created: int = field(default_factory=lambda: int(time.time()))
    messages: list[Obj] = field(default_factory=list)

    @property
    def id(self) -> str:
        """`C0LAB00001`."""
        return f"C0LAB{self.number:05d}"

    def described(self) -> Obj:
        """As `conversations.list` shows it."""
        return {
            "id": self.id, "name": self.name, "name_normalized": self.name, "is_channel": not self.private, "is_group": self.private, "is_im": False,
            "is_mpim": False, "is_private": self.private, "is_archived": self.archived, "is_general": self.name == "general", "is_shared": False,
            "is_org_shared": False, "is_ext_shared": False, "is_member": self.member, "created": self.created, "creator": BOT_USER, "unlinked": 0,
            "topic": {"value": "", "creator": "", "last_set": 0}, "purpose": {"value": "", "creator": "", "last_set": 0}, "previous_names": [],
            "num_members": 1 + self.member, "context_team_id": TEAM_ID,
        }  # fmt: skip

    def post(self, content: Obj, thread: Any = None, broadcast: bool = False) -> Obj:
        """A message of the bot's, in a thread if one is given."""
        message: Obj = {"type": "message", "ts": self._stamp(), "user": BOT_USER, "bot_id": BOT_ID, "app_id": APP_ID, "team": TEAM_ID, **content}
        if thread:
            root = next((one for one in self.messages if one["ts"] == str(thread)), None)
            message["thread_ts"] = str(thread)
            if root is not None:
                root["thread_ts"] = root["ts"]
                root["reply_count"] = root.get("reply_count", 0) + 1
                root["latest_reply"] = message["ts"]
            if broadcast:
                message["subtype"] = "thread_broadcast"
        self.messages.append(message)
        return message

    def message(self, stamp: str) -> Obj:
        """One message."""
        found = next((one for one in self.messages if one["ts"] == stamp), None)
        if found is None:
            raise SlackError("message_not_found")
        return found

    def thread(self, stamp: str) -> list[Obj]:
        """A message and its replies."""
        root = next((one for one in self.messages if one["ts"] == stamp), None)
        if root is None:
            raise SlackError("thread_not_found")
        return [root, *(one for one in self.messages if one.get("thread_ts") == stamp and one is not root)]

    def update(self, stamp: str, content: Obj) -> Obj:
        """Other words for a message."""
        message = self.message(stamp)
        for name in ("blocks", "attachments"):
            message.pop(name, None)
        message.update(content, edited={"user": BOT_USER, "ts": f"{time.time():.6f}"})
        return message

    def delete(self, stamp: str) -> None:
        """Forget a message."""
        self.messages.remove(self.message(stamp))

    def _stamp(self) -> str:
        """The message's name in its channel: a time, later than the last one's."""
        last = float(self.messages[-1]["ts"]) if self.messages else 0.0
        return f"{max(time.time(), last + 0.0001):.6f}"


class Workspace:
    """Everything that the bot can see, and what it cannot."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = count(1)
        self._channels: list[Channel] = []
        self._files: dict[str, Obj] = {}
        self._expected: dict[str, str] = {}  # upload key -> file
        for name in ("general", "lab"):
            self.add_channel(name)

    def add_channel(self, name: str, member: bool = True, private: bool = False, archived: bool = False) -> Channel:
        """Make a channel, or change the one of that name."""
        known = next((one for one in self._channels if one.name == name), None)
        if known is None:
            known = Channel(name, next(self._numbers))
            self._channels.append(known)
        known.member, known.private, known.archived = member, private, archived
        return known

    def visible(self) -> list[Channel]:
        """What a bot is shown: no private channels of others."""
        return [one for one in self._channels if one.member or not one.private]

    def channel(self, wanted: Any, by_name: bool = False) -> Channel:
        """A channel by its id; where names do as well, by `name` or `#name`."""
        if not wanted:
            raise SlackError("invalid_arguments", response_metadata={"messages": ["[ERROR] missing required field: channel"]})
        for one in self.visible():
            if one.id == wanted or (by_name and one.name == str(wanted).removeprefix("#")):
                return one
        raise SlackError("channel_not_found")

    def cursor(self, number: int) -> str:
        """Where the next page begins, as text that means nothing to clients."""
        return base64.b64encode(f"team:C{number}".encode()).decode()

    def read_cursor(self, cursor: Any) -> int:
        """The number in a cursor; 0 for none."""
        if not cursor:
            return 0
        try:
            return int(base64.b64decode(str(cursor), validate=True).decode().removeprefix("team:C"))
        except (ValueError, binascii.Error):
            raise SlackError("invalid_cursor") from None

    # Files

    def expect_file(self, name: str, length: int) -> tuple[str, str]:
        """A file is to come; gives its id and the key of its way in."""
        file_id, key = "F" + "".join(secrets.choice(_LETTERS) for _ in range(10)), secrets.token_urlsafe(24)
        self._files[file_id] = {"id": file_id, "name": name, "title": name, "size": length, "created": int(time.time()), "user": BOT_USER}
        self._expected[key] = file_id
        return file_id, key

    def receive(self, key: str, data: bytes) -> bool:
        """The file's bytes; False for a way that leads nowhere."""
        file = self._files.get(self._expected.get(key, ""))
        if file is None:
            return False
        file["content"] = data
        return True

    def complete_file(self, file_id: str, title: Any, channels: list[Channel]) -> Obj:
        """The file has come and is to be shared."""
        file = self._files.get(file_id)
        if file is None or "content" not in file or "channels" in file:
            raise SlackError("file_not_found")
        file.update(title=str(title or file["name"]), size=len(file["content"]), channels=[one.id for one in channels])
        return self.file(file_id)

    def file(self, file_id: str) -> Obj:
        """A file that is complete, without its bytes."""
        file = self._files.get(file_id)
        if file is None or "channels" not in file:
            raise SlackError("file_not_found")
        return {key: value for key, value in file.items() if key != "content"}

    def show(self) -> Obj:
        """Everything, for people and tests; what is no text in a file is shown with replacement characters."""
        files = [{**self.file(key), "content": file["content"].decode(errors="replace")} for key, file in self._files.items() if "channels" in file]
        channels = [{"id": one.id, "name": one.name, "member": one.member, "messages": one.messages} for one in self._channels]
        return {"channels": channels, "files": files}
