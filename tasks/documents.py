"""Fetching the documents that a spec names: a node configuration in a file or at an address."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from networks.errors import Permanent, Transient
from networks.spacemesh import node_config
from networks.spacemesh.model import NodeConfigChoice
from networks.spacemesh.node_config import LARGEST
from tasks.retrying import retry_transient

_LIMITS = httpx.Timeout(20.0, connect=5.0)
_PATIENCE = 30.0


async def fetch_node_config(choice: NodeConfigChoice) -> dict[str, Any] | None:
    """What the choice's file or address holds, parsed; None when it names neither."""
    if choice.file:
        return node_config.parse(await asyncio.to_thread(_read, choice.file), source=choice.file)
    if choice.url:
        url = choice.url
        return node_config.parse(await retry_transient(lambda: _download(url), patience=_PATIENCE), source=url)
    return None


def _read(path: str) -> str:
    what = f"cannot read the node configuration {path}"
    try:
        file = Path(path)
        if file.stat().st_size > LARGEST:
            raise Permanent(what, why=f"it is larger than {LARGEST} bytes", advice="name a node's config.json")
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise Permanent(what, why=error.strerror or str(error), advice="the file must be where the flow runs: name a URL otherwise") from None
    except UnicodeDecodeError:
        raise Permanent(what, why="it is not UTF-8 text", advice="name a node's config.json") from None


async def _download(url: str) -> str:
    what = f"cannot fetch the node configuration {url}"
    try:
        async with httpx.AsyncClient(timeout=_LIMITS, follow_redirects=True) as client, client.stream("GET", url) as answer:
            if answer.status_code == 429 or answer.status_code >= 500:
                raise Transient(what, why=f"HTTP {answer.status_code}", advice="try again later")
            if not answer.is_success:
                raise Permanent(what, why=f"HTTP {answer.status_code}", advice="correct the address")
            parts, size = [], 0
            async for part in answer.aiter_bytes():
                size += len(part)
                if size > LARGEST:
                    raise Permanent(what, why=f"it is larger than {LARGEST} bytes", advice="name a node's config.json")
                parts.append(part)
            return b"".join(parts).decode("utf-8")
    except UnicodeDecodeError:
        raise Permanent(what, why="it is not UTF-8 text", advice="name a node's config.json") from None
    except httpx.TransportError as error:
        raise Transient(
            what, why=f"{type(error).__name__}: {error}", advice="check the address, and that it can be reached from where the flow runs"
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Permanent(what, why=str(error)[:300], advice="correct the address") from None
