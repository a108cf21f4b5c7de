"""The few commands that containers of the lab's own programs have: enough to look around. What is not here is not in the image, and said so."""

from __future__ import annotations

import posixpath
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from lab.programs.program import Container, StartError
from lab.programs.sessions import TextSession

Result = tuple[int, str, str]  # exit code, output, errors


def open_command(container: Container, argv: list[str]) -> TextSession:
    """The command's session; StartError when the image has no such command."""
    code, output, errors = run_command(container, argv)

    async def pieces() -> AsyncIterator[tuple[int, bytes]]:
        for stream, text in ((1, output), (2, errors)):
            if text:
                yield stream, text.encode(errors="surrogateescape")

    return TextSession(pieces(), code)


def run_command(container: Container, argv: list[str]) -> Result:
    """What the command prints, and its exit code."""
    name = argv[0] if argv else ""
    base = posixpath.basename(name)
    if base not in _COMMANDS or (name != base and posixpath.dirname(name) not in ("/bin", "/usr/bin")):
        if "/" in name:
            raise StartError(f'unable to start container process: exec: "{name}": stat {name}: no such file or directory')
        raise StartError(f'unable to start container process: exec: "{name}": executable file not found in $PATH')
    return _COMMANDS[base](container, argv[1:])


def _cat(container: Container, names: list[str]) -> Result:
    output, errors = "", ""
    for name in names:
        place = container.path(_inside(container, name))
        try:
            output += place.read_text(errors="surrogateescape")
        except OSError as error:
            errors += f"cat: {name}: {error.strerror}\n"
    return int(bool(errors)), output, errors


def _ls(container: Container, arguments: list[str]) -> Result:
    names = [one for one in arguments if not one.startswith("-")] or ["."]
    output, errors = "", ""
    for name in names:
        inside = _inside(container, name)
        place = container.path(inside)
        if place.is_dir():
            mounted = {
                posixpath.basename(mount.rstrip("/")) for mount in container.volumes if posixpath.dirname(mount.rstrip("/")) == inside.rstrip("/")
            }
            found = sorted({one.name for one in place.iterdir()} | mounted)
            output += "".join(f"{one}\n" for one in found if not one.startswith(".") or "-a" in arguments)
        elif place.exists():
            output += f"{name}\n"
        else:
            errors += f"ls: cannot access '{name}': No such file or directory\n"
    return 2 if errors else 0, output, errors


def _test(container: Container, arguments: list[str]) -> Result:
    arguments = [one for one in arguments if one != "]"]
    if len(arguments) != 2 or arguments[0] not in _TESTS:
        return 2, "", f"test: {' '.join(arguments)}: not understood\n"
    place = container.path(_inside(container, arguments[1]))
    return int(not getattr(place, _TESTS[arguments[0]])()), "", ""


def _environment(container: Container, names: list[str]) -> Result:
    if names:
        found = [container.env[name] for name in names if name in container.env]
        return int(len(found) < len(names)), "".join(f"{value}\n" for value in found), ""
    return 0, "".join(f"{name}={value}\n" for name, value in container.env.items()), ""


def _inside(container: Container, name: str) -> str:
    return posixpath.normpath(posixpath.join(container.working_dir, name))


_TESTS = {"-d": "is_dir", "-f": "is_file", "-e": "exists"}
_COMMANDS: dict[str, Callable[[Container, list[str]], Result]] = {
    "cat": _cat,
    "date": lambda container, arguments: (0, f"{datetime.now(UTC):%a %b %e %H:%M:%S UTC %Y}\n", ""),
    "echo": lambda container, arguments: (0, " ".join(arguments) + "\n", ""),
    "env": _environment,
    "false": lambda container, arguments: (1, "", ""),
    "hostname": lambda container, arguments: (0, container.hostname + "\n", ""),
    "ls": _ls,
    "printenv": _environment,
    "pwd": lambda container, arguments: (0, container.working_dir + "\n", ""),
    "test": _test,
    "true": lambda container, arguments: (0, "", ""),
}
