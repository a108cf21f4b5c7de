"""`curl` in a container of the lab: enough for the probes of charts, which ask the program beside them. The request is a real one."""

from __future__ import annotations

import asyncio
import posixpath
import re
import shlex

import aiohttp

from lab.addresses import real_port
from lab.programs.commands import run_command
from lab.programs.program import Container, StartError

_SHELLS = ("sh", "bash")
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_ASSIGNMENT = re.compile(r"^(\w+)=(.*)$")
_WITH_VALUE = ("-u", "-o", "--output", "-w", "-X", "--max-time", "-m", "-H")
_FAILED, _REFUSED = 22, 7  # curl's exit codes


async def execute(container: Container, argv: list[str], seconds: float) -> tuple[int, bytes]:
    """Run a command or a shell's script: exit code and output. TimeoutError after so many real seconds.

    Of a script only assignments, `if [ … ]; then NAME=value; fi`, `touch` and `curl` count.
    """
    async with asyncio.timeout(seconds):
        if len(argv) > 2 and posixpath.basename(argv[0]) in _SHELLS and argv[1] in ("-c", "-ec"):
            return await _script(container, argv[2])
        return await _command(container, argv)


async def _script(container: Container, script: str) -> tuple[int, bytes]:
    env, output = dict(container.env), b""
    for line in script.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["if"]:
            condition, _, rest = line.partition("; then ")
            tested = shlex.split(_expand(condition.removeprefix("if").strip(" []"), env))
            if run_command(container, ["test", *tested])[0]:
                continue
            words = shlex.split(rest.removesuffix("fi").rstrip("; "))
        if not words or words[0] == "set":
            continue
        words = [_expand(word, env) for word in words]
        if len(words) == 1 and (assigned := _ASSIGNMENT.match(words[0])):
            env[assigned[1]] = assigned[2]
            continue
        code, more = await _command(container, words)
        output += more
        if code:
            return code, output
    return 0, output


def _expand(text: str, env: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda match: env.get(match[1] or match[2], ""), text)


async def _command(container: Container, words: list[str]) -> tuple[int, bytes]:
    name = posixpath.basename(words[0])
    if name == "curl":
        return await _curl(container, words[1:])
    if name == "touch":
        for place in words[1:]:
            file = container.path(place)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return 0, b""
    try:
        code, output, errors = run_command(container, words)
    except StartError as error:
        return 127, str(error).encode()
    return code, (output + errors).encode(errors="surrogateescape")


async def _curl(container: Container, words: list[str]) -> tuple[int, bytes]:
    values: dict[str, str] = {}
    plain, waiting = [], ""
    for word in words:
        if waiting:
            values[waiting], waiting = word, ""
        elif word in _WITH_VALUE:
            waiting = word
        else:
            plain.append(word)
    url = next((word for word in plain if not word.startswith("-")), "")
    user, _, password = values.get("-u", "").partition(":")
    auth = aiohttp.BasicAuth(user, password) if user else None
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=container.source), timeout=aiohttp.ClientTimeout()) as session,
            session.get(_place(container, url), auth=auth, ssl=False, headers={"User-Agent": "curl/8.5.0"}) as answer,
        ):
            body = await answer.read()
    except (aiohttp.ClientError, OSError) as error:
        return _REFUSED, f"curl: (7) {error}\n".encode()
    if "--fail" in plain and answer.status >= 400:
        return _FAILED, f"curl: (22) The requested URL returned error: {answer.status}\n".encode()
    return 0, b"" if "--output" in values or "-o" in values else body


def _place(container: Container, url: str) -> str:
    """The container's own address in place of its loopback."""
    match = re.match(r"^(?:(https?)://)?(?:127\.0\.0\.1|localhost)(?::(\d+))?(.*)$", url)
    if not match:
        return url
    scheme = match[1] or "http"
    return f"{scheme}://{container.ip}:{real_port(int(match[2] or (443 if scheme == 'https' else 80)))}{match[3] or '/'}"
