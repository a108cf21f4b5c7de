"""Serve every flow to the Prefect server of PREFECT_API_URL: the forms in its UI then start runs in this process' children."""

from __future__ import annotations

from prefect import serve

from flows.cli import FLOWS, load_flow


def main() -> None:
    """Until interrupted."""
    # Deployments stay active when this process stops: a restart must not need a person to switch them on again.
    serve(*(load_flow(name).to_deployment(name="local", tags=["cosmodrome"]) for name in FLOWS), pause_on_shutdown=False)


if __name__ == "__main__":
    main()
