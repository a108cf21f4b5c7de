"""Command lines of Go programs: pflag (cobra) and go-flags agree on the forms, and differ in how they complain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Type = Literal["string", "bool", "int", "duration"]


class FlagError(Exception):
    """The command line cannot be read; the text is the program's own complaint."""


@dataclass(frozen=True)
class Flag:
    """One flag a program knows."""

    name: str
    type: Type = "string"
    short: str = ""


@dataclass
class Parsed:
    """What a command line said: only flags that were given stand in `values`."""

    values: dict[str, str] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)

    def text(self, name: str, default: str = "") -> str:
        """A string flag."""
        return self.values.get(name, default)

    def number(self, name: str, default: int) -> int:
        """An int flag, checked while parsing."""
        return int(self.values.get(name, default))

    def on(self, name: str) -> bool:
        """A bool flag."""
        return self.values.get(name, "false") in TRUE


TRUE = ("1", "t", "T", "true", "TRUE", "True")
FALSE = ("0", "f", "F", "false", "FALSE", "False")


def parse(arguments: list[str], flags: tuple[Flag, ...]) -> Parsed:
    """Read `--name=value`, `--name value`, `--switch`, `-s value`, `-s=value`, as pflag does. FlagError with pflag's words."""
    long = {flag.name: flag for flag in flags}
    short = {flag.short: flag for flag in flags if flag.short}
    parsed = Parsed()
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            parsed.rest += waiting
            break
        if not argument.startswith("-") or argument == "-":
            parsed.rest.append(argument)
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("--"):
            flag = long.get(name)
            if flag is None:
                raise FlagError(f"unknown flag: --{name}")
        else:
            flag = short.get(name[:1])
            if flag is None:
                raise FlagError(f"unknown shorthand flag: {name[:1]!r} in {argument}")
            if len(name) > 1 and not equals:  # -d/path
                equals, value = "=", name[1:]
        if not equals:
            value = _value(flag, argument, waiting)
        _check(flag, value)
        parsed.values[flag.name] = value
    return parsed


def _value(flag: Flag, argument: str, waiting: list[str]) -> str:
    if flag.type == "bool":
        return "true"
    if not waiting:
        raise FlagError(f"flag needs an argument: {argument}")
    return waiting.pop(0)


def _check(flag: Flag, value: str) -> None:
    shown = f'"-{flag.short}, --{flag.name}"' if flag.short else f'"--{flag.name}"'
    if flag.type == "bool" and value not in TRUE + FALSE:
        raise FlagError(f'invalid argument "{value}" for {shown} flag: strconv.ParseBool: parsing "{value}": invalid syntax')
    if flag.type == "int" and not value.lstrip("-").isdigit():
        raise FlagError(f'invalid argument "{value}" for {shown} flag: strconv.ParseInt: parsing "{value}": invalid syntax')
