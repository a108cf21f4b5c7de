"""Who we are out there: credentials and places, as Prefect blocks.

Every kind of block stands in `BLOCKS`, so that one call registers all of them with a Prefect server.
"""

from __future__ import annotations

from prefect.blocks.core import Block

from blocks.bucket import Bucket
from blocks.cluster import Cluster

BLOCKS: tuple[type[Block], ...] = (Cluster, Bucket)

__all__ = ["BLOCKS", "Bucket", "Cluster", "register_blocks"]


async def register_blocks() -> list[str]:
    """Make every block type known to the Prefect server, so that the UI has a form for it. Gives their names; safe to repeat."""
    for block in BLOCKS:
        await block.aregister_type_and_schema()
    return [block.get_block_type_slug() for block in BLOCKS]
