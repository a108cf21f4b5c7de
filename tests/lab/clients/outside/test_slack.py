"""Slack's own SDK, unmodified, against the lab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.error import URLError

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.http_retry.builtin_interval_calculators import FixedValueRetryIntervalCalculator
from slack_sdk.web.async_client import AsyncWebClient

from tests.lab.faults import LabFaults

Obj = dict[str, Any]
SetUp = Callable[[str, Obj], Obj]


@pytest.fixture
def slack(outside_lab: Obj) -> WebClient:
    return WebClient(outside_lab["tokens"]["slack"], base_url=outside_lab["slack"])


def channel_id(slack: WebClient, name: str) -> str:
    found: list[Obj] = slack.conversations_list(limit=1000, types="public_channel,private_channel")["channels"]
    return str(next(one["id"] for one in found if one["name"] == name))


def why(error: pytest.ExceptionInfo[SlackApiError]) -> str:
    return str(error.value.response["error"])


def test_messages_and_threads(slack: WebClient) -> None:
    assert slack.auth_test()["team"] == "The lab"
    first = slack.chat_postMessage(channel="#lab", text="net a: deploying")
    channel = str(first["channel"])
    reply = slack.chat_postMessage(channel=channel, text="miner-1 is up", thread_ts=first["ts"], blocks=[{"type": "divider"}])
    assert reply["message"]["thread_ts"] == first["ts"]
    slack.chat_update(channel=channel, ts=first["ts"], text="net a: deployed")
    thread: list[Obj] = slack.conversations_replies(channel=channel, ts=first["ts"])["messages"]
    assert [message["text"] for message in thread] == ["net a: deployed", "miner-1 is up"]
    assert thread[0]["reply_count"] == 1
    history: list[Obj] = slack.conversations_history(channel=channel)["messages"]
    assert history[0]["text"] == "net a: deployed"  # replies stay in their thread
    with pytest.raises(SlackApiError) as error:
        slack.chat_update(channel=channel, ts="1.000000", text="x")
    assert why(error) == "message_not_found"


def test_what_is_not_allowed(slack: WebClient, set_up: SetUp, outside_lab: Obj) -> None:
    set_up("slack", {
        "channels": [{"name": "not-mine", "member": False}, {"name": "secret", "member": False, "private": True}, {"name": "old", "archived": True}],
        "tokens": {"xoxb-narrow": ["chat:write", "channels:read", "channels:join"]},
    })  # fmt: skip
    narrow = WebClient("xoxb-narrow", base_url=outside_lab["slack"])
    refusals = {"not-mine": "not_in_channel", "secret": "channel_not_found", "nowhere": "channel_not_found", "old": "is_archived"}
    for channel, error_name in refusals.items():
        with pytest.raises(SlackApiError) as error:
            narrow.chat_postMessage(channel=channel, text="hello")
        assert why(error) == error_name
    narrow.conversations_join(channel=channel_id(slack, "not-mine"))
    assert narrow.chat_postMessage(channel="not-mine", text="hello")["ok"]
    with pytest.raises(SlackApiError) as error:
        narrow.files_upload_v2(content="x", filename="x.txt")
    assert why(error) == "missing_scope" and error.value.response["needed"] == "files:write"
    with pytest.raises(SlackApiError) as error:
        WebClient("xoxb-nobody", base_url=outside_lab["slack"]).auth_test()
    assert why(error) == "invalid_auth"
    with pytest.raises(SlackApiError) as error:
        WebClient(base_url=outside_lab["slack"]).auth_test()
    assert why(error) == "not_authed"
    with pytest.warns(UserWarning), pytest.raises(SlackApiError) as error:
        slack.chat_postMessage(channel="lab", text="")
    assert why(error) == "no_text"


def test_channels_come_page_by_page(slack: WebClient, set_up: SetUp) -> None:
    set_up("slack", {"channels": [{"name": f"page-{n}"} for n in range(7)]})
    pages = [page["channels"] for page in slack.conversations_list(limit=3)]
    names = [one["name"] for page in pages for one in page]
    assert len(pages) > 2 and max(map(len, pages)) == 3
    assert {f"page-{n}" for n in range(7)} <= set(names) and len(names) == len(set(names))
    with pytest.raises(SlackApiError) as error:
        slack.conversations_list(cursor="?")
    assert why(error) == "invalid_cursor"


def test_files(slack: WebClient, show: Callable[[str], Obj]) -> None:
    channel = channel_id(slack, "lab")
    answer = slack.files_upload_v2(content="layer,verified\n1,1\n", filename="layers.csv", title="Layers", channel=channel, initial_comment="report")
    file_id = answer["file"]["id"]
    assert slack.files_info(file=file_id)["file"]["size"] == 19
    seen = show("slack")
    assert next(file for file in seen["files"] if file["id"] == file_id)["content"] == "layer,verified\n1,1\n"
    messages = next(one for one in seen["channels"] if one["id"] == channel)["messages"]
    assert any(message["text"] == "report" and message["files"][0]["id"] == file_id for message in messages)
    with pytest.raises(SlackApiError) as error:
        slack.files_completeUploadExternal(files=[{"id": file_id, "title": "again"}], channel_id=channel)
    assert why(error) == "file_not_found"


def test_rate_limits(slack: WebClient, lab_faults: LabFaults, set_up: SetUp) -> None:
    lab_faults.add("slack", "^POST /api/chat.postMessage", "status", code=429, retry_after=30, times=1)
    with pytest.raises(SlackApiError) as error:
        slack.chat_postMessage(channel="lab", text="x")
    assert why(error) == "ratelimited" and error.value.response.headers["Retry-After"] == "30"

    lab_faults.add("slack", "chat.postMessage", "status", code=429, retry_after=0, times=2)
    handler = RateLimitErrorRetryHandler(max_retry_count=2, interval_calculator=FixedValueRetryIntervalCalculator(0))
    slack.retry_handlers.append(handler)
    assert slack.chat_postMessage(channel="lab", text="in the end")["ok"]
    assert lab_faults.left() == []

    set_up("slack", {"limits": {"conversations.info": {"requests": 0, "seconds": 1e6}}})  # the service's own counting
    slack.retry_handlers.clear()
    with pytest.raises(SlackApiError) as error:
        slack.conversations_info(channel="C0LAB00001")
    assert error.value.response.status_code == 429


def test_trouble(slack: WebClient, lab_faults: LabFaults) -> None:
    slack.retry_handlers.clear()
    lab_faults.add("slack", "auth.test", "reset", times=1)
    with pytest.raises((URLError, ConnectionError)):
        slack.auth_test()
    lab_faults.add("slack", "auth.test", "wrong-type", body="<html>", times=1)
    with pytest.raises(SlackApiError, match="non-JSON"):
        slack.auth_test()
    lab_faults.add("slack", "auth.test", "hang", times=1)
    slack.timeout = 0.5  # type: ignore[assignment]
    with pytest.raises(TimeoutError):
        slack.auth_test()


async def test_the_asynchronous_client(outside_lab: Obj) -> None:
    client = AsyncWebClient(outside_lab["tokens"]["slack"], base_url=outside_lab["slack"])
    first = await client.chat_postMessage(channel="lab", text="async")
    assert (await client.files_upload_v2(content=b"\x00\x01", filename="a.bin", channel=first["channel"], thread_ts=first["ts"]))["ok"]
    with pytest.raises(SlackApiError):
        await client.chat_postMessage(channel="nowhere", text="async")
