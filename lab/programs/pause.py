"""What runs when nothing is known of an image: a process that stays up until it is told to stop."""

from __future__ import annotations

from lab.programs.program import Container


class PauseProgram:
    """Prints nothing, uses nothing, ends with 0 on SIGTERM."""

    async def run(self, container: Container) -> int:
        """Wait for the end."""
        await container.stopping.wait()
        return 0
