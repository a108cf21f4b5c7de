"""Comparing what commands print: what must differ (times, addresses, made-up names) set aside."""

from __future__ import annotations

import re

MADE_UP = "bcdfghjklmnpqrstvwxz2456789"
PATTERNS = (
    (r"(LIVE|MERGED)-\d+", r"\1-<number>"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?[+]0000)?( UTC)?Z?", "<time>"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +(\d+ \w{3}|\w{3} +\d+) (\d{4} )?\d\d:\d\d:\d\d( [+]\d{4}| \d{4})?", "<time>"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
    (r"https?://127\.0\.0\.1:\d+", "<url>"),
    (r"\b(10\.(96|244)|127\.\d{1,3})(\.\d{1,3}){2}\b", "<address>"),
    (rf"-[{MADE_UP}]{{7,10}}-[{MADE_UP}]{{5}}\b", "-<hash>-<id>"),
    (rf"([-=\"])[{MADE_UP}]{{7,10}}\b", r"\1<hash>"),
    (rf"-[{MADE_UP}]{{5}}\b", "-<id>"),
    (r'"?resourceVersion"?: "?\d+"?', "resourceVersion: <number>"),
    (r"^[EIW]\d{4} .*\n", ""),  # the client's own log
    (r"\b(\d+(\.\d+)?(ms|[smhd]))+( ago)?(?=\s|$|\))", "<age>"),
    (r"(sha256:|containerd://)[0-9a-f]+", r"\1<hash>"),
    (r"[ \t]+", " "),
    (r" $", ""),
)
COMPILED = [(re.compile(pattern, re.MULTILINE), replacement) for pattern, replacement in PATTERNS]


def plain(text: str) -> str:
    """A text without what must differ."""
    for pattern, replacement in COMPILED:
        text = pattern.sub(replacement, text)
    return text.strip()


def lines(text: str) -> list[str]:
    """The lines of a text, for what is in an order that follows from made-up names."""
    return sorted(plain(text).splitlines())


def different_lines(text: str) -> set[str]:
    """For what comes in any order and any number of times."""
    return set(plain(text).splitlines())
