"""A flow that says something, for a worker's pod."""

from __future__ import annotations

from prefect import flow


@flow
def greeting(name: str = "nobody") -> str:
    """Greet."""
    print(f"hello {name}")
    return name
