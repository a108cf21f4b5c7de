"""Telling Prefect of a lab: for the flows it is a cluster and a bucket like any other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from blocks import Bucket, Cluster

CLUSTER = "lab"
BUCKET = "lab-data"


async def register_lab(ready: dict[str, Any]) -> None:
    """Save the blocks of a lab from its ready line: Cluster `lab`, and Bucket `lab-data` in its storage, made there when it is not. Safe to repeat.

    The line's `kubeconfig` is a path, or an address to fetch it from.
    """
    kubeconfig = await _kubeconfig(str(ready["kubeconfig"]))
    await Cluster(kubeconfig=kubeconfig, description=f"The lab at {ready.get('control', ready.get('kubernetes', ''))}").save(CLUSTER, overwrite=True)
    storage = ready.get("storage")
    if storage:
        await _ensure_bucket(str(storage), BUCKET)
        await Bucket(bucket=BUCKET, endpoint=str(storage)).save(BUCKET, overwrite=True)


async def _kubeconfig(where: str) -> str:
    if not where.startswith(("http://", "https://")):
        return await asyncio.to_thread(Path(where).read_text, encoding="utf-8")
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        return (await client.get(where)).raise_for_status().text


async def _ensure_bucket(endpoint: str, name: str) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        answer = await client.post(f"{endpoint.rstrip('/')}/storage/v1/b", params={"project": "lab"}, json={"name": name})
        if answer.status_code != 409:  # there already
            answer.raise_for_status()
