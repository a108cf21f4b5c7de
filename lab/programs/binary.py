"""A real binary in the place of an image's program: a real process in the pod's own surroundings, as images of a shell have it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path, PurePosixPath

from lab.programs.program import Container, Streams
from lab.programs.rooms import search_path
from lab.programs.sessions import CommandSession
from lab.programs.shell import ShellProgram


class BinaryProgram(ShellProgram):
    """Runs `binary` wherever the pod asks for one of `names`: the file that the image has it in, or the image's own name.

    The file stands at its own path in the container, read-only, and alone: libraries have to be the machine's (/usr, /lib).
    """

    def __init__(self, binary: Path, names: frozenset[str]) -> None:
        super().__init__()
        self._binary, self._names = binary, names

    async def prepare(self, container: Container) -> None:
        """Start the process; StartError when there is no such command."""
        container.volumes = {**container.volumes, str(self._binary): self._binary}
        container.read_only = container.read_only | {str(self._binary)}
        container.argv = self._command(container.argv)
        await super().prepare(container)

    async def execute(self, container: Container, argv: list[str], seconds: float) -> tuple[int, bytes]:
        """One more command beside the process."""
        return await super().execute(container, self._command(argv), seconds)

    async def open(self, container: Container, argv: list[str], streams: Streams) -> CommandSession:
        """One more command beside the process, for somebody who holds its input and output."""
        return await super().open(container, self._command(argv), streams)

    def _command(self, argv: list[str]) -> list[str]:
        if argv and PurePosixPath(argv[0]).name in self._names:
            return [str(self._binary), *argv[1:]]
        return argv


@lru_cache
def virtual_environment(binary: Path) -> tuple[Path, Path] | None:
    """The virtual environment whose Python the file is, and the directory of the Python below it; None for every other file."""
    settings = binary.parent.parent / "pyvenv.cfg"
    if not binary.name.startswith("python") or not settings.is_file():
        return None
    pairs = (line.partition("=") for line in settings.read_text().splitlines())
    home = next((value.strip() for name, _, value in pairs if name.strip() == "home"), None)
    return (binary.parent.parent, Path(home).parent) if home else None


class EnvironmentProgram(ShellProgram):
    """The command line runs with a virtual environment's Python and commands, as in an image that its packages are installed in.

    The environment stands at its own path, read-only, as does the Python below it.
    """

    def __init__(self, environment: Path, base: Path) -> None:
        super().__init__()
        self._environment, self._base = environment, base

    async def prepare(self, container: Container) -> None:
        """Start the process; StartError when there is no such command."""
        places = {str(place): place for place in (self._environment, self._base) if not place.is_relative_to("/usr")}
        container.volumes = {**container.volumes, **places}
        container.read_only = container.read_only | frozenset(places)
        container.env = {"VIRTUAL_ENV": str(self._environment), "PATH": f"{self._environment / 'bin'}:{search_path(container)}", **container.env}
        await super().prepare(container)
