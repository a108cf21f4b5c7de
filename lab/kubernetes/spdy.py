"""SPDY/3.1 frames as far as Kubernetes clients use them: streams that one side opens with headers, data both ways, each end closed by itself.

There is no flow control: neither side of Kubernetes has it. The dictionary is the one of the SPDY/3 draft, section 2.6.10.1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 1
_VERSION = 3
_NAMES = (
    "options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding", "accept-language", "accept-ranges", "age",
    "allow", "authorization", "cache-control", "connection", "content-base", "content-encoding", "content-language", "content-length",
    "content-location", "content-md5", "content-range", "content-type", "date", "etag", "expect", "expires", "from", "host", "if-match",
    "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified", "location", "max-forwards", "pragma",
    "proxy-authenticate", "proxy-authorization", "range", "referer", "retry-after", "server", "te", "trailer", "transfer-encoding", "upgrade",
    "user-agent", "vary", "via", "warning", "www-authenticate", "method", "get", "status", "200 OK", "version", "HTTP/1.1", "url", "public",
    "set-cookie", "keep-alive", "origin",
)  # fmt: skip
_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content"
    "301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
    "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(name)) + name.encode() for name in _NAMES) + _REST.encode()


class SpdyError(Exception):
    """What came is not SPDY/3."""


@dataclass(frozen=True)
class Frame:
    """One frame. `kind` 0 is data; the others are the control frames above."""

    kind: int
    stream: int
    flags: int = 0
    data: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def last(self) -> bool:
        """Whether the sender says no more on this stream."""
        return bool(self.flags & FIN)


class Codec:
    """Both directions of one connection: headers are compressed with what came before."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Bytes that came; gives the frames that are complete. SpdyError for what is none."""
        self._rest += data
        while len(self._rest) >= 8:
            length = int.from_bytes(self._rest[5:8], "big")
            if len(self._rest) < 8 + length:
                return
            head, body, self._rest = self._rest[:8], self._rest[8 : 8 + length], self._rest[8 + length :]
            yield self._frame(head, body)

    def _frame(self, head: bytes, body: bytes) -> Frame:
        first, flags = struct.unpack(">IB", head[:5])
        if not first >> 31:
            return Frame(0, first, flags, body)
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != _VERSION or (kind in (SYN_STREAM, SYN_REPLY, RST_STREAM, HEADERS, PING) and len(body) < 4):
            raise SpdyError(f"frame of type {kind}, version {version}, {len(body)} bytes")
        stream = int.from_bytes(body[:4], "big") & 0x7FFFFFFF if len(body) >= 4 else 0
        skipped = {SYN_STREAM: 10, SYN_REPLY: 4, HEADERS: 4}.get(kind)
        return Frame(kind, stream, flags, body, self._headers(body[skipped:]) if skipped else {})

    def _headers(self, data: bytes) -> dict[str, str]:
        try:
            text = self._inflate.decompress(data)
            (count,), at, found = struct.unpack_from(">I", text), 4, []
            for _ in range(count * 2):
                (length,) = struct.unpack_from(">I", text, at)
                found.append(text[at + 4 : at + 4 + length].decode())
                at += 4 + length
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise SpdyError(f"headers: {error}") from error
        return {name.lower(): value for name, value in zip(found[::2], found[1::2], strict=True)}

    def _block(self, headers: dict[str, str]) -> bytes:
        parts = [struct.pack(">I", len(headers))]
        for pair in headers.items():
            parts += [struct.pack(">I", len(one)) + one.encode() for one in pair]
        return self._deflate.compress(b"".join(parts)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def open(self, stream: int, headers: dict[str, str]) -> bytes:
        """A new stream."""
        return control(SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + self._block(headers))

    def reply(self, stream: int) -> bytes:
        """The other side's stream is taken."""
        return control(SYN_REPLY, struct.pack(">I", stream) + self._block({}))


def data_frame(stream: int, data: bytes, last: bool = False) -> bytes:
    """Data on a stream."""
    return struct.pack(">II", stream, (FIN if last else 0) << 24 | len(data)) + data


def control(kind: int, body: bytes, flags: int = 0) -> bytes:
    """A control frame."""
    return struct.pack(">II", 1 << 31 | _VERSION << 16 | kind, flags << 24 | len(body)) + body
